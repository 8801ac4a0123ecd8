package job

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"testing"
	"time"
)

// drawer is a Drive of one file and a storage of one object.
type drawer struct {
	file    File
	content []byte
	object  []byte

	asked, opened int
}

func (d *drawer) GetFile(context.Context, string, string) (File, error) {
	d.asked++
	return d.file, nil
}

func (d *drawer) OpenFile(_ context.Context, _, _ string, offset int64) (Download, error) {
	d.opened++
	if d.file.State == FileGone {
		return Download{}, &Failure{Kind: NotFound, Code: CodeFileGone}
	}
	return Download{Body: io.NopCloser(bytes.NewReader(d.content[offset:])), Offset: offset, Size: int64(len(d.content))}, nil
}

func (d *drawer) ShareFile(context.Context, string, string, string) error { return nil }

func (d *drawer) Reserve(ctx context.Context, _ Demand) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func (d *drawer) URI(key string) string { return "mem://" + key }

func (d *drawer) Create(context.Context, string, int64) (Draft, error) { return &draft{to: d}, nil }

func (d *drawer) Open(context.Context, string) (io.ReadCloser, int64, error) {
	if d.object == nil {
		return nil, 0, &Failure{Kind: Gone}
	}
	return io.NopCloser(bytes.NewReader(d.object)), int64(len(d.object)), nil
}

func (d *drawer) Delete(context.Context, string) error { return nil }

type draft struct {
	bytes.Buffer
	to *drawer
}

func (d *draft) Kept(io.Writer) (int64, error) { return 0, nil }

func (d *draft) Commit() error {
	d.to.object = d.Bytes()
	return nil
}

func (d *draft) Abandon(bool) {}

func factsOf(content []byte) File {
	sum := sha256.Sum256(content)
	return File{State: FilePresent, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

func TestDriveIsAskedAboutAFileOnlyWhereWhatItSaidIsNotKnownOrWrong(t *testing.T) {
	content := []byte("a recording")
	other := []byte("another one")
	for name, c := range map[string]struct {
		known         File
		drive         File
		object        []byte
		asked, opened int
		gone          bool
	}{
		"known":                                 {known: factsOf(content), drive: factsOf(content), opened: 1},
		"known, and written before":             {known: factsOf(content), drive: factsOf(content), object: content},
		"known and written before, then gone":   {known: factsOf(content), drive: File{State: FileGone}, object: content},
		"it had no checksum":                    {known: File{State: FilePresent, Size: 11}, drive: factsOf(content), asked: 1, opened: 1},
		"nothing is known":                      {drive: factsOf(content), asked: 1, opened: 1},
		"the file was changed":                  {known: factsOf(other), drive: factsOf(content), asked: 1, opened: 2},
		"the file is longer than it was":        {known: factsOf(content[:3]), drive: factsOf(content), asked: 1, opened: 2},
		"the file went, which is asked twice":   {known: factsOf(content), drive: File{State: FileGone}, asked: 2, opened: 1, gone: true},
		"the file went, and nothing of it came": {drive: File{State: FileGone}, asked: 2, gone: true},
		"it was trashed, and can be read":       {known: factsOf(content), drive: File{State: FileTrashed}, opened: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := &drawer{file: c.drive, content: content, object: c.object}
			timing := DefaultExportTiming()
			timing.SecondLook, timing.Pauses = 0, nil
			e := NewExports(d, d, d, time.Now, timing, slog.New(slog.DiscardHandler))
			out, ok := e.Export(t.Context(), Export{Account: "a@clinic.example", FileID: "f", Key: "k", File: c.known})
			if !ok || out.SourceGone != c.gone || (out.Failure == nil) == c.gone {
				t.Fatalf("%+v, %v, failure %v", out, ok, out.Failure)
			}
			if !c.gone && (out.SHA256 != factsOf(content).SHA256 || !bytes.Equal(d.object, content)) {
				t.Errorf("the copy is %q, SHA-256 %s", d.object, out.SHA256)
			}
			if d.asked != c.asked || d.opened != c.opened {
				t.Errorf("Drive was asked %d times and read %d times, want %d and %d", d.asked, d.opened, c.asked, c.opened)
			}
		})
	}
}
