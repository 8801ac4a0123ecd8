package export

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// openGCS connects to Google Cloud Storage with the machine's usual credentials.
func openGCS(ctx context.Context, t target) (*connection, error) {
	client := &gcp.HTTPClient{Client: http.Client{Transport: transport()}}
	if os.Getenv("STORAGE_EMULATOR_HOST") == "" { // the client library's own variable: such a server asks for no credentials
		credentials, err := gcp.DefaultCredentials(ctx)
		if err != nil {
			return nil, fmt.Errorf("find credentials of Google: %w", err)
		}
		if client, err = gcp.NewHTTPClient(transport(), gcp.CredentialsTokenSource(credentials)); err != nil {
			return nil, fmt.Errorf("make the client of Google Cloud Storage: %w", err)
		}
	}
	bucket, err := gcsblob.OpenBucket(ctx, client, t.bucket, nil)
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	return &connection{
		Bucket: bucket,
		create: func(ctx context.Context, key string, _ int64) (job.Draft, error) {
			writing, cancel := context.WithCancel(ctx)
			w, err := bucket.NewWriter(writing, key, &blob.WriterOptions{BufferSize: partSize, ContentType: contentType(key), DisableContentTypeDetection: true})
			if err != nil {
				cancel()
				return nil, cloudFailure("begin the object", err)
			}
			return &resumable{w, cancel}, nil
		},
		// A session that was not finished is not seen by anybody and ends by itself after a week.
		abort: func(context.Context, string) error { return nil },
	}, nil
}

// resumable is a resumable upload, of which nothing is seen before it is closed.
type resumable struct {
	w      *blob.Writer
	cancel context.CancelFunc
}

// Kept is [job.Draft]: a session is lost with the process that began it.
func (r *resumable) Kept(io.Writer) (int64, error) { return 0, nil }

// Write is [job.Draft].
func (r *resumable) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	return n, cloudFailure("write the object", err)
}

// Commit is [job.Draft].
func (r *resumable) Commit() error {
	err := cloudFailure("finish the object", r.w.Close())
	r.cancel()
	return err
}

// Abandon is [job.Draft].
func (r *resumable) Abandon(bool) {
	r.cancel()      // before it is closed: then no object is made
	_ = r.w.Close() // it says that it was given up
}
