package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

func TestTheSettingIsRead(t *testing.T) {
	for text, want := range map[string]target{
		"s3://recordings":                                                           {scheme: "s3", bucket: "recordings"},
		"s3://recordings/a/b/?region=eu-west-1":                                     {scheme: "s3", bucket: "recordings", prefix: "a/b/", region: "eu-west-1"},
		"s3://recordings?endpoint=https://minio:9000/":                              {scheme: "s3", bucket: "recordings", endpoint: "https://minio:9000", region: "us-east-1", pathStyle: true},
		"s3://recordings?endpoint=http%3A%2F%2F10.0.0.1":                            {scheme: "s3", bucket: "recordings", endpoint: "http://10.0.0.1", region: "us-east-1", pathStyle: true},
		"s3://recordings?endpoint=https://s3.example&use_path_style=false&region=x": {scheme: "s3", bucket: "recordings", endpoint: "https://s3.example", region: "x"},
		"s3://recordings?ssetype=aws:kms&kmskeyid=k&profile=p":                      {scheme: "s3", bucket: "recordings", sse: "aws:kms", key: "k", profile: "p"},
		"gs://recordings/klinik":                                                    {scheme: "gs", bucket: "recordings", prefix: "klinik/"},
		"file:///srv/recordings/":                                                   {scheme: "file", path: "/srv/recordings"},
		"file://localhost/srv/a%20b":                                                {scheme: "file", path: "/srv/a b"},
	} {
		if got, err := parse(text); err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", text, got, err, want)
		}
	}
}

func TestASettingThatIsWrongIsExplainedWithoutBeingQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"/srv/hunter2":                "of no kind that is known",
		"http://hunter2":              "of no kind that is known",
		"s3://key:hunter2@recordings": "holds credentials",
		"s3://recordings?endpoint=https://u:hunter2@minio": "no address",
		"s3://recordings?secret_access_key=hunter2":        "a parameter that is not known",
		"s3://recordings?region=hunter2&region=b":          "or twice",
		"s3://recordings?region=":                          "without a value",
		"s3://recordings?endpoint=hunter2:9000":            "no address",
		"s3://recordings?use_path_style=hunter2":           "neither true nor false",
		"s3://recordings?ssetype=hunter2":                  "S3 does not know",
		"s3://recordings/../hunter2":                       "a prefix that is not possible",
		"s3:///hunter2":                                    "names no bucket",
		"s3://minio:9000/hunter2":                          "names no bucket",
		"gs://recordings?key=hunter2":                      "gs:// knows none",
		"gs://recordings#hunter2":                          "no URL of a storage",
		"file://srv/hunter2":                               "names no folder",
		"file:///":                                         "names no folder",
		"file:hunter2":                                     "no URL of a storage",
		"s3://%zzhunter2":                                  "is no URL",
	} {
		err := Config{URL: text}.Check()
		problems := config.Problems(err)
		if p, ok := err.(config.Problem); ok { //nolint:errorlint // it is returned bare
			problems = append(problems, p)
		}
		if len(problems) != 1 || problems[0].Variable != "MEET_EXPORT_URL" || !strings.Contains(problems[0].Text, want) || strings.Contains(problems[0].Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTheFolderIsLookedAtWhenTheProgramStarts(t *testing.T) {
	dir := t.TempDir()
	if err := (Config{URL: "file://" + dir}).Check(); err != nil {
		t.Error(err)
	}
	if err := (Config{}).Check(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), file} {
		if err := (Config{URL: "file://" + path}).Check(); err == nil {
			t.Errorf("%s is taken for a folder", path)
		}
	}
}

func TestPartsGrowOnlyWhereTheirNumberWouldNotDo(t *testing.T) {
	for size, want := range map[int64]int{0: partSize, 10 << 30: partSize, 40 << 30: partSize, 1 << 40: 105 << 20} {
		got := partSizeOf(size)
		if got != want || size/int64(got) >= maxParts {
			t.Errorf("%d bytes: parts of %d", size, got)
		}
	}
}

func FuzzTheSettingIsSafe(f *testing.F) {
	for _, text := range []string{
		"s3://recordings/a?region=eu&endpoint=https://minio:9000&use_path_style=1&ssetype=AES256", "gs://b-b/c", "file:///srv/x/../y", "s3://a:b@c", "file://h/x", "s3://abc/%2e%2e/x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text)
		if err != nil {
			return
		}
		switch got.scheme {
		case schemeFile:
			if !filepath.IsAbs(got.path) || got.path != filepath.Clean(got.path) || got.path == "/" {
				t.Errorf("%q: path %q", text, got.path)
			}
		case schemeS3, schemeGCS:
			if got.bucket == "" || strings.ContainsAny(got.bucket, "/:@?") || got.prefix != "" && (!strings.HasSuffix(got.prefix, "/") || checkKey(strings.TrimSuffix(got.prefix, "/")) != nil) {
				t.Errorf("%q: %+v", text, got)
			}
		default:
			t.Errorf("%q: scheme %q", text, got.scheme)
		}
	})
}
