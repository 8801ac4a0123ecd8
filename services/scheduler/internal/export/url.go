package export

import (
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// The schemes of MEET_EXPORT_URL.
const (
	schemeS3   = "s3"
	schemeGCS  = "gs"
	schemeFile = "file"
)

// target is what MEET_EXPORT_URL says.
type target struct {
	scheme string
	// bucket, and prefix, which is empty or ends with a slash.
	bucket, prefix string
	// path is the folder's.
	path string

	// endpoint is of a server that speaks S3's protocol; empty: Amazon's own.
	endpoint, region, profile string
	pathStyle                 bool
	// sse is S3's server-side encryption, key its KMS key; both may be empty.
	sse, key string
}

// parse reads the setting. Its errors quote nothing of it: somebody may have put a secret there.
func parse(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, bad("is no URL", "use s3://bucket/prefix, gs://bucket/prefix or file:///folder; escape what is unusual as in any URL")
	}
	if u.User != nil {
		return target{}, bad("holds credentials", "take them out of the URL; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return target{}, bad("is no URL of a storage", "use s3://bucket/prefix, gs://bucket/prefix or file:///folder")
	}
	t := target{scheme: u.Scheme}
	switch u.Scheme {
	case schemeFile:
		return t.file(u, query)
	case schemeGCS:
		if len(query) > 0 {
			return target{}, bad("has a parameter, and gs:// knows none", "use gs://bucket/prefix alone")
		}
		return t.object(u)
	case schemeS3:
		if t, err = t.object(u); err != nil {
			return target{}, err
		}
		return t.s3(query)
	}
	return target{}, bad("is of no kind that is known", "use s3://bucket/prefix, gs://bucket/prefix or file:///folder")
}

func (t target) file(u *url.URL, query url.Values) (target, error) {
	t.path = filepath.FromSlash(path.Clean(u.Path))
	if len(query) > 0 || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") || t.path == string(filepath.Separator) || strings.ContainsRune(u.Path, 0) {
		return target{}, bad("names no folder", "use file:///srv/recordings: three slashes, a folder of its own on this machine, no parameters")
	}
	return t, nil
}

func (t target) object(u *url.URL) (target, error) {
	t.bucket = u.Host
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	}
	if len(t.bucket) < 3 || len(t.bucket) > 222 || strings.ContainsFunc(t.bucket, odd) { // 222: GCS, with dots
		return target{}, bad("names no bucket", "use "+t.scheme+"://bucket/prefix, and endpoint= for a server that is not Amazon's")
	}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if checkKey(prefix) != nil {
			return target{}, bad("has a prefix that is not possible", "use names separated by single slashes, at most 512 bytes")
		}
		t.prefix = prefix + "/"
	}
	return t, nil
}

func (t target) s3(query url.Values) (target, error) {
	for name, values := range query {
		value := values[0]
		if len(values) != 1 || value == "" {
			return target{}, bad("has a parameter without a value, or twice", "write each as name=value, once")
		}
		switch name {
		case "region":
			t.region = value
		case "profile":
			t.profile = value
		case "endpoint":
			e, err := url.Parse(value)
			if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || strings.Trim(e.Path, "/") != "" || e.RawQuery != "" || e.Fragment != "" {
				return target{}, bad("has an endpoint that is no address", "use endpoint=https://host:port")
			}
			t.endpoint = e.Scheme + "://" + e.Host
		case "use_path_style":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return target{}, bad("has a use_path_style that is neither true nor false", "leave it out: it is true with an endpoint")
			}
			t.pathStyle = on
		case "ssetype":
			if !slices.Contains([]string{"AES256", "aws:kms", "aws:kms:dsse"}, value) {
				return target{}, bad("has an ssetype that S3 does not know", "use AES256, aws:kms or aws:kms:dsse")
			}
			t.sse = value
		case "kmskeyid":
			t.key = value
		default:
			return target{}, bad("has a parameter that is not known", "s3:// knows region, endpoint, use_path_style, profile, ssetype and kmskeyid")
		}
	}
	if t.endpoint != "" {
		t.pathStyle = t.pathStyle || query.Get("use_path_style") == ""
		if t.region == "" {
			t.region = "us-east-1" // what servers that are not Amazon's take
		}
	}
	return t, nil
}

// checkFolder tells what is wrong with the folder.
func checkFolder(dir string) error {
	if err := usableFolder(dir); err != nil {
		return config.Bad(variable, "names a folder that can't be used: "+err.Error(), "make it, mount what belongs there, and let the scheduler's user write to it")
	}
	return nil
}
