// Package export keeps copies of recordings in object storage: Amazon S3 and what speaks its protocol, Google Cloud Storage, or a
// folder. It exists so that a copy is seen under its key only when it is whole and on the disk, so that what a crash leaves is
// taken up or removed, and so that a file of any size passes through a few megabytes of memory. It knows nothing of recordings:
// what is copied, and what a copy is compared with, is the job's.
package export

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// Config of the storage.
type Config struct {
	URL string `env:"MEET_EXPORT_URL" help:"where copies of recordings are kept: s3://bucket/prefix?region=…, with endpoint=https://host:port for MinIO and its like, gs://bucket/prefix, or file:///folder; credentials are AWS's and Google's usual ones (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, the machine's own) and never part of it; absent: no copies are made"`
}

// Check names what is wrong with the settings. It says nothing of whether the storage can be reached: that is /readyz's.
func (c Config) Check() error {
	if c.URL == "" {
		return nil
	}
	t, err := parse(c.URL)
	if err != nil {
		return err
	}
	if t.scheme == schemeFile {
		return checkFolder(t.path)
	}
	return nil
}

func bad(text, fix string) error { return config.Bad(variable, text, fix) }

const (
	variable = "MEET_EXPORT_URL"
	// checkEvery is how long an answer about the storage is believed, checkAgain the same for a bad one.
	checkEvery, checkAgain = time.Minute, 15 * time.Second
	// maxKey is S3's and GCS's longest key in bytes, the prefix included.
	maxKey = 1024
	// maxPart is the longest name of a file.
	maxPart = 255

	codeKeyInvalid = "EXPORT_KEY_INVALID"
)

// backend is one kind of storage. Keys are valid.
type backend interface {
	job.Storage
	// check tells whether the storage can be reached and used, by one cheap call.
	check(ctx context.Context) error
	// sweep removes what crashed attempts left long ago and nobody came back for.
	sweep(ctx context.Context) error
	close() error
}

// Storage is where copies are kept. It is made once and used by all jobs side by side.
type Storage struct {
	backend
	on    bool
	log   *slog.Logger
	bytes *prometheus.CounterVec

	mu      sync.Mutex
	checked time.Time // real time: it bounds calls over a network
	said    error
}

// New makes the storage of c, which was checked. Nothing is called yet.
func New(c Config, metrics prometheus.Registerer, log *slog.Logger) (*Storage, error) {
	s := &Storage{on: c.URL != "", log: log, bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meet_export_bytes_total", Help: "Bytes of recordings that were written to the export storage, kept from an attempt that died, or read back.",
	}, []string{"direction"})}
	if err := metrics.Register(s.bytes); err != nil {
		return nil, fmt.Errorf("register the metric of exports: %w", err)
	}
	if !s.on {
		s.backend = off{}
		return s, nil
	}
	t, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	switch t.scheme {
	case schemeFile:
		s.backend = &folder{path: t.path, log: log}
	case schemeS3:
		s.backend = &cloud{target: t, open: openS3, log: log}
	case schemeGCS:
		s.backend = &cloud{target: t, open: openGCS, log: log}
	}
	return s, nil
}

// Start says where copies go, and removes what was left long ago.
func (s *Storage) Start(ctx context.Context) error {
	if !s.on {
		s.log.InfoContext(ctx, "recordings are not exported: MEET_EXPORT_URL is not set")
		return nil
	}
	s.log.InfoContext(ctx, "recordings are exported", "to", s.URI(""))
	return nil
}

// Run removes what was left long ago, now and once a day.
func (s *Storage) Run(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour) // of the disk, not of the domain
	defer tick.Stop()
	for {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "what crashed exports left could not be removed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Check is nil while the storage can be reached. The storage is asked at most once a minute.
func (s *Storage) Check(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	good := checkEvery
	if s.said != nil {
		good = checkAgain
	}
	if s.checked.IsZero() || time.Since(s.checked) > good {
		err := s.check(ctx)
		if err != nil {
			err = httpserver.Degraded(fmt.Errorf("%s: %w", s.URI(""), err)) // recordings wait in Drive meanwhile
		}
		s.checked, s.said = time.Now(), err
	}
	return s.said
}

// Create is [job.Storage].
func (s *Storage) Create(ctx context.Context, key string, size int64) (job.Draft, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	d, err := s.backend.Create(ctx, key, size)
	if err != nil {
		return nil, err
	}
	return &countedDraft{d, s.bytes}, nil
}

// Open is [job.Storage].
func (s *Storage) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	r, size, err := s.backend.Open(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	return &countedReader{r, s.bytes.WithLabelValues("read_back")}, size, nil
}

// Delete is [job.Storage].
func (s *Storage) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return s.backend.Delete(ctx, key)
}

type countedDraft struct {
	job.Draft
	bytes *prometheus.CounterVec
}

func (d *countedDraft) Write(p []byte) (int, error) {
	n, err := d.Draft.Write(p)
	d.bytes.WithLabelValues("written").Add(float64(n))
	return n, err
}

func (d *countedDraft) Kept(into io.Writer) (int64, error) {
	n, err := d.Draft.Kept(into)
	d.bytes.WithLabelValues("kept").Add(float64(n))
	return n, err
}

type countedReader struct {
	io.ReadCloser
	bytes prometheus.Counter
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.bytes.Add(float64(n))
	return n, err
}

// checkKey refuses a key that is not the same thing in every kind of storage, or that leaves its place.
func checkKey(key string) error {
	ok := fs.ValidPath(key) && key != "." && len(key) <= maxKey/2 && !strings.HasPrefix(key, partsDir+"/") && key != partsDir &&
		!strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' })
	for part := range strings.SplitSeq(key, "/") {
		ok = ok && len(part) <= maxPart
	}
	if ok {
		return nil
	}
	return &job.Failure{Kind: job.Refused, Code: codeKeyInvalid, Message: "the object's key is not possible; check MEET_EXPORT_KEY"}
}

// off is no storage.
type off struct{}

// offPause is how long a job rests that no scheduler can do.
const offPause = 10 * time.Minute

func (off) failure() error {
	return &job.Failure{Kind: job.Transient, Code: job.CodeExportOff, After: offPause, Message: "this scheduler has no MEET_EXPORT_URL; set it to what the meetings service has"}
}

func (off) URI(string) string { return "" }

func (o off) Create(context.Context, string, int64) (job.Draft, error) { return nil, o.failure() }

func (o off) Open(context.Context, string) (io.ReadCloser, int64, error) { return nil, 0, o.failure() }

func (o off) Delete(context.Context, string) error { return o.failure() }

func (off) check(context.Context) error { return nil }

func (off) sweep(context.Context) error { return nil }

func (off) close() error { return nil }

// Module keeps copies of recordings. Needs Config, prometheus.Registerer, *slog.Logger; provides *Storage, also as job.Storage.
var Module = fx.Module("scheduler/export", fx.Provide(
	fx.Annotate(func(lc fx.Lifecycle, c Config, metrics prometheus.Registerer, log *slog.Logger) (*Storage, error) {
		s, err := New(c, metrics, log)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		var sweeping sync.WaitGroup
		lc.Append(fx.Hook{
			OnStart: func(start context.Context) error {
				sweeping.Go(func() { s.Run(ctx) })
				return s.Start(start)
			},
			OnStop: func(context.Context) error {
				cancel()
				sweeping.Wait()
				return s.close()
			},
		})
		return s, nil
	}, fx.As(fx.Self()), fx.As(new(job.Storage))),
))
