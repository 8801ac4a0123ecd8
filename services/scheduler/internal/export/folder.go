package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// partsDir is where files are written; only whole ones leave it.
	partsDir = ".parts"
	// syncEvery is how many bytes are written before the disk is made to have them: a disk that is slower than the network should
	// slow the network down, and not fill the memory.
	syncEvery = 64 << 20
	// partKept is how long what a crash left waits for the next attempt.
	partKept = 7 * 24 * time.Hour

	fileMode, dirMode = 0o640, 0o750
)

// folder is a folder of the machine, or one that is mounted. It is opened anew each time, so that what is mounted later is seen.
type folder struct {
	path string
	log  *slog.Logger
}

// URI is [job.Storage].
func (f *folder) URI(key string) string {
	return (&url.URL{Scheme: schemeFile, Path: path.Join(filepath.ToSlash(f.path), key)}).String()
}

func (f *folder) root() (*os.Root, error) {
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, fileFailure("open the folder", err)
	}
	return root, nil
}

// usableFolder tells whether there is a folder that takes files.
func usableFolder(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return cause(err)
	}
	defer func() { _ = root.Close() }() // a handle, no data
	if err := root.MkdirAll(partsDir, dirMode); err != nil {
		return cause(err)
	}
	name := partsDir + "/.check-" + hex.EncodeToString([]byte(time.Now().Format("150405.000000000"))) // two programs may check at once
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return cause(err)
	}
	return cause(errors.Join(file.Close(), root.Remove(name)))
}

// cause is err without the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (f *folder) check(context.Context) error { return usableFolder(f.path) }

func (f *folder) close() error { return nil }

// partName is where the file of a key is written: the same in every attempt, so that the next one finds it.
func partName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return partsDir + "/" + hex.EncodeToString(sum[:16])
}

// Create is [job.Storage].
func (f *folder) Create(ctx context.Context, key string, size int64) (job.Draft, error) {
	root, err := f.root()
	if err != nil {
		return nil, err
	}
	d := &fileDraft{ctx: ctx, root: root, key: key, part: partName(key), log: f.log, size: size}
	if err := d.begin(); err != nil {
		_ = root.Close()
		return nil, err
	}
	return d, nil
}

// fileDraft is a file that is being written, and locked meanwhile: the kernel frees the lock of whoever dies.
type fileDraft struct {
	ctx       context.Context //nolint:containedctx // the draft is the call
	root      *os.Root
	key, part string
	log       *slog.Logger
	size      int64
	file      *os.File
	settled   bool  // what was there was taken up, or thrown away
	unsynced  int64 // bytes
}

func (d *fileDraft) begin() (err error) {
	if err := d.root.MkdirAll(partsDir, dirMode); err != nil {
		return fileFailure("make the folder of parts", err)
	}
	if d.file, err = lockPart(d.root, d.part, os.O_CREATE); err != nil {
		return err
	}
	have, err := d.file.Stat()
	if err == nil {
		// Said before, not found out at the end: a disk that is full harms all that is on it.
		if free, known := freeBytes(d.file); known && free < d.size-min(have.Size(), d.size) {
			err = &job.Failure{Kind: job.Transient, Code: job.CodeStorageFull, Message: "the export folder has no room for the recording; make room, and it goes on by itself"}
			d.Abandon(false)
			return err
		}
		return nil
	}
	_ = d.file.Close()
	return fileFailure("look at what is there", err)
}

// lockPart opens a part that nobody else has open. flags may be [os.O_CREATE].
func lockPart(root *os.Root, name string, flags int) (*os.File, error) {
	for {
		file, err := root.OpenFile(name, os.O_RDWR|flags, fileMode)
		if err != nil {
			return nil, fileFailure("open what is being written", err)
		}
		if err := lockFile(file); err != nil {
			_ = file.Close()
			return nil, err
		}
		// Between the opening and the lock its owner may have finished it: then it is the object by now.
		mine, errMine := file.Stat()
		now, errNow := root.Stat(name)
		if errMine == nil && errNow == nil && os.SameFile(mine, now) {
			return file, nil
		}
		_ = file.Close()
		if errMine != nil {
			return nil, fileFailure("look at what is being written", errMine)
		}
		if errNow != nil && !errors.Is(errNow, fs.ErrNotExist) {
			return nil, fileFailure("look at what is being written", errNow)
		}
	}
}

// Kept is [job.Draft].
func (d *fileDraft) Kept(into io.Writer) (int64, error) {
	have, err := d.file.Stat()
	if err != nil {
		return 0, fileFailure("look at what is there", err)
	}
	if have.Size() > d.size { // of another version of the file
		return 0, nil
	}
	n, err := io.Copy(into, &cancelled{d.ctx, d.file})
	if err != nil {
		return n, fileFailure("read what is there", err)
	}
	d.settled = true
	return n, nil
}

// Write is [job.Draft].
func (d *fileDraft) Write(p []byte) (int, error) {
	if err := d.ctx.Err(); err != nil {
		return 0, err
	}
	if err := d.restart(); err != nil {
		return 0, err
	}
	n, err := d.file.Write(p)
	if err != nil {
		return n, fileFailure("write", err)
	}
	if d.unsynced += int64(n); d.unsynced >= syncEvery {
		d.unsynced = 0
		if err := d.file.Sync(); err != nil {
			return n, fileFailure("write to the disk", err)
		}
	}
	return n, nil
}

// restart throws away what is there, where it was not taken up.
func (d *fileDraft) restart() error {
	if d.settled {
		return nil
	}
	if err := d.file.Truncate(0); err != nil {
		return fileFailure("begin anew", err)
	}
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return fileFailure("begin anew", err)
	}
	d.settled = true
	return nil
}

// Commit is [job.Draft].
func (d *fileDraft) Commit() error {
	err := d.restart() // an empty file
	if err == nil {
		err = fileFailure("write to the disk", d.file.Sync())
	}
	if err != nil {
		return err
	}
	dir := path.Dir(d.key)
	if err := d.root.MkdirAll(dir, dirMode); err != nil {
		return fileFailure("make the object's folder", err)
	}
	failpoint.Here("scheduler.export_synced")
	if err := d.root.Rename(d.part, d.key); err != nil {
		return fileFailure("name the object", err)
	}
	failpoint.Here("scheduler.export_renamed")
	for ; ; dir = path.Dir(dir) { // the names themselves, new folders' included
		if err := syncDir(d.root, dir); err != nil {
			return err
		}
		if dir == "." {
			break
		}
	}
	if err := errors.Join(d.file.Close(), d.root.Close()); err != nil {
		d.log.WarnContext(d.ctx, "object was not closed cleanly", "object", d.key, "error", err)
	}
	return nil
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return fileFailure("open the object's folder", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems have nothing to sync there
		return fileFailure("write the object's name to the disk", err)
	}
	return nil
}

// Abandon is [job.Draft].
func (d *fileDraft) Abandon(keep bool) {
	var err error
	if !keep {
		err = d.root.Remove(d.part) // while it is locked
	}
	if err = errors.Join(err, d.file.Close(), d.root.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.WarnContext(d.ctx, "part of an object was not removed", "object", d.key, "error", err)
	}
}

// Open is [job.Storage].
func (f *folder) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	root, err := f.root()
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = root.Close() }() // a handle, no data
	file, err := root.Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, &job.Failure{Kind: job.Gone, Code: job.CodeStorageMissing, Message: "the object is not in the export folder", Err: cause(err)}
	}
	if err != nil {
		return nil, 0, fileFailure("open the object", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no file")
	}
	if err != nil {
		return nil, 0, errors.Join(fileFailure("look at the object", err), file.Close())
	}
	return &openFile{file, cancelled{ctx, file}}, info.Size(), nil
}

type openFile struct {
	*os.File
	cancelled cancelled
}

func (o *openFile) Read(p []byte) (int, error) {
	n, err := o.cancelled.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fileFailure("read the object", err)
	}
	return n, err
}

// cancelled is a reader that ends with its ctx.
type cancelled struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to it
	io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// Delete is [job.Storage]. Folders that are empty then go too.
func (f *folder) Delete(_ context.Context, key string) error {
	root, err := f.root()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a handle, no data
	part, err := lockPart(root, partName(key), 0)
	switch {
	case err == nil:
		err = errors.Join(root.Remove(partName(key)), part.Close())
		if err != nil {
			return fileFailure("remove what was begun", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileFailure("delete the object", err)
	}
	dir := path.Dir(key)
	for ; dir != "." && root.Remove(dir) == nil; dir = path.Dir(dir) { // one that is not empty stays
	}
	if err := syncDir(root, dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweep removes parts that nobody has come back for in a week.
func (f *folder) sweep(ctx context.Context) error {
	root, err := f.root()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // a handle, no data
	parts, err := fs.ReadDir(root.FS(), partsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileFailure("list what was begun", err)
	}
	for _, p := range parts {
		info, err := p.Info()
		if err != nil || time.Since(info.ModTime()) < partKept { // the disk's clock
			continue
		}
		name := partsDir + "/" + p.Name()
		file, err := lockPart(root, name, 0)
		if err != nil {
			continue // somebody is at it
		}
		f.log.InfoContext(ctx, "what an export left long ago is removed", "part", p.Name(), "bytes", info.Size())
		if err := errors.Join(root.Remove(name), file.Close()); err != nil {
			return fileFailure("remove what was begun", err)
		}
	}
	return nil
}

// fileFailure is err as the job knows it; nil for nil.
func fileFailure(what string, err error) error {
	var known *job.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known), errors.Is(err, context.Canceled):
		return err
	}
	f := &job.Failure{Kind: job.Transient, Code: job.CodeStorageUnavailable, Message: "the export folder fails; it is tried again by itself", Err: fmt.Errorf("%s: %w", what, err)}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Code, f.Message = job.CodeStorageFull, "the export folder has no room for the recording; make room, and it goes on by itself"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		f.Code, f.Message = job.CodeStorageDenied, "the scheduler's user may not write to the export folder"
	case errors.Is(err, fs.ErrNotExist):
		f.Code, f.Message = job.CodeStorageMissing, "the folder of MEET_EXPORT_URL is not there; make it or mount it"
	}
	return f
}
