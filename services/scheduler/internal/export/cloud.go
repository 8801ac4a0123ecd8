package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// partSize is what is sent at once: the least that S3 takes. Two of them are in memory for each export, one that is sent and one that fills.
const partSize = 5 << 20

// cloud is a bucket of an object storage.
type cloud struct {
	target target
	// open connects: it reads credentials, which may not be there yet.
	open func(context.Context, target) (*connection, error)
	log  *slog.Logger

	mu   sync.Mutex
	conn *connection
}

// connection is an open bucket.
type connection struct {
	*blob.Bucket
	// create and abort are what differs from one storage to the other: how an object is written, and what is left of one that was not
	// finished.
	create func(ctx context.Context, key string, size int64) (job.Draft, error)
	abort  func(ctx context.Context, key string) error
}

// URI is [job.Storage].
func (c *cloud) URI(key string) string {
	return c.target.scheme + "://" + c.target.bucket + "/" + c.target.prefix + key
}

func (c *cloud) connect(ctx context.Context) (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		conn, err := c.open(context.WithoutCancel(ctx), c.target) // it outlives the job that opens it
		if err != nil {
			return nil, &job.Failure{Kind: job.Transient, Code: job.CodeStorageDenied, Message: "the export storage has no credentials that can be read; check AWS_… or GOOGLE_APPLICATION_CREDENTIALS of the scheduler", Err: err}
		}
		c.conn = conn
	}
	return c.conn, nil
}

func (c *cloud) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("close the export storage: %w", err)
	}
	return nil
}

func (c *cloud) check(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	_, _, err = conn.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: c.target.prefix})
	return cloudFailure("list", err)
}

// sweep has nothing to do: what is left of an object goes when its next attempt begins, or by the bucket's own rules.
func (c *cloud) sweep(context.Context) error { return nil }

// Create is [job.Storage].
func (c *cloud) Create(ctx context.Context, key string, size int64) (job.Draft, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.abortAll(ctx, conn, key)
	return conn.create(ctx, c.target.prefix+key, size)
}

// abortAll is not worth failing for: what is left costs room and harms nothing.
func (c *cloud) abortAll(ctx context.Context, conn *connection, key string) {
	if err := conn.abort(ctx, c.target.prefix+key); err != nil {
		c.log.WarnContext(ctx, "uploads that were not finished could not be removed", "object", key, "error", err)
	}
}

// Open is [job.Storage].
func (c *cloud) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, 0, err
	}
	r, err := conn.NewReader(ctx, c.target.prefix+key, nil)
	if err != nil {
		if gcerrors.Code(err) == gcerrors.NotFound && !isNoBucket(err) {
			return nil, 0, &job.Failure{Kind: job.Gone, Code: job.CodeStorageMissing, Message: "the object is not in the bucket", Err: err}
		}
		return nil, 0, cloudFailure("open the object", err)
	}
	return &cloudReader{r}, r.Size(), nil
}

// cloudReader tells its errors as the job knows them.
type cloudReader struct{ *blob.Reader }

func (r *cloudReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = cloudFailure("read the object", err)
	}
	return n, err
}

// WriteTo hides the embedded one, which would pass its errors on as they are.
func (r *cloudReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

// Delete is [job.Storage].
func (c *cloud) Delete(ctx context.Context, key string) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	c.abortAll(ctx, conn, key)
	err = conn.Delete(ctx, c.target.prefix+key)
	if gcerrors.Code(err) == gcerrors.NotFound && !isNoBucket(err) {
		return nil
	}
	return cloudFailure("delete the object", err)
}

// contentType is what browsers are told.
func contentType(key string) string {
	switch path.Ext(key) {
	case ".mp4":
		return "video/mp4"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// cloudFailure is err as the job knows it; nil for nil. Everything may heal: a person can mend it while the row waits.
func cloudFailure(what string, err error) error {
	var known *job.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	}
	f := &job.Failure{Kind: job.Transient, Code: job.CodeStorageUnavailable, Message: "the export storage fails or can't be reached; it is tried again by itself", Err: fmt.Errorf("%s: %w", what, err)}
	switch {
	case isFull(err) || errors.Is(err, syscall.ENOSPC):
		f.Code, f.Message = job.CodeStorageFull, "the export storage has no room for the recording; make room, and it goes on by itself"
	case isDenied(err) || gcerrors.Code(err) == gcerrors.PermissionDenied || errors.Is(err, fs.ErrPermission):
		f.Code, f.Message = job.CodeStorageDenied, "the export storage refuses the scheduler's credentials, or they lack a right; check them"
	case isNoBucket(err) || gcerrors.Code(err) == gcerrors.NotFound:
		f.Code, f.Message = job.CodeStorageMissing, "the bucket of MEET_EXPORT_URL is not there; make it, or correct its name and region"
	}
	return f
}
