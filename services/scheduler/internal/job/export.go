package job

import (
	"context"
	"crypto/md5" //nolint:gosec // Drive may have no other checksum; what is kept is named by its SHA-256
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
)

// The codes of exports.
const (
	// CodeFileGone: Drive no longer has the file, or does not show it to the account.
	CodeFileGone = "GOOGLE_FILE_GONE"
	// CodeExportMismatch: what Drive gives out has another checksum than Drive says, or what is stored is not what was stored.
	CodeExportMismatch = "EXPORT_MISMATCH"
	// CodeExportBusy: another scheduler writes the same object.
	CodeExportBusy = "EXPORT_BUSY"
	// CodeExportStalled: the object storage took nothing for minutes.
	CodeExportStalled = "EXPORT_STORAGE_STALLED"
	// CodeFileCut: downloads of the file break off again and again.
	CodeFileCut = "GOOGLE_FILE_CUT"
)

// Recorded is what is asked of Google Drive about the file of a recording. Errors are [*Failure].
type Recorded interface {
	Files
	// OpenFile reads a file from an offset on. [NotFound]: it is not shown. [Stale]: the offset is beyond its end. The reader ends
	// with ctx.
	OpenFile(ctx context.Context, account, id string, offset int64) (Download, error)
	// ShareFile lets somebody read a file, without telling them by mail; somebody who may already is no error.
	ShareFile(ctx context.Context, account, id, email string) error
}

// Download is a file's content from Offset on, which is less than was asked for where Drive sends the file whole.
type Download struct {
	Body   io.ReadCloser
	Offset int64
	// Size is the whole file's; negative: Drive does not say.
	Size int64
}

// Storage is where copies are kept. Errors are [*Failure].
type Storage interface {
	// URI names an object for a person; it holds no credentials.
	URI(key string) string
	// Create begins an object of size bytes. It is not seen under its key before it is committed. What an attempt that died left
	// of the same object is removed, or taken up by the draft. Its [Busy] failure: somebody else is writing it.
	Create(ctx context.Context, key string, size int64) (Draft, error)
	// Open reads an object, whose size it tells. [Gone]: there is none.
	Open(ctx context.Context, key string) (io.ReadCloser, int64, error)
	// Delete removes an object and what was begun of it; that there is none is no error.
	Delete(ctx context.Context, key string) error
}

// Draft is an object that is being written, by one goroutine. Its ctx is the one that it was created with.
type Draft interface {
	io.Writer
	// Kept copies what is there of an attempt that died, to go on behind it; 0 bytes where there is nothing or it can't go on.
	Kept(into io.Writer) (int64, error)
	// Commit makes the object be there, whole and on the disk. Nothing is there after an error, or all is.
	Commit() error
	// Abandon ends a draft that was not committed. keep leaves what was written for the next attempt where the storage can
	// take it up; else nothing is left. It works after ctx has ended.
	Abandon(keep bool)
}

// ExportTiming is how long exports wait for what. Use [DefaultExportTiming].
type ExportTiming struct {
	// Stall is how long Drive may send nothing before the download is broken off and taken up again.
	Stall time.Duration
	// StoreStall is how long the storage may take for what it is given at once, Commit for making it an object.
	StoreStall, Commit time.Duration
	// Pauses lie before each try to take up a download that broke; tries that brought nothing at all use them up.
	Pauses []time.Duration
	// SecondLook is how long after a file was not found it is looked for again.
	SecondLook time.Duration
	// Long is the first pause of a row that failed; it doubles up to LongMax.
	Long, LongMax time.Duration
}

// DefaultExportTiming is what the scheduler runs with.
func DefaultExportTiming() ExportTiming {
	return ExportTiming{
		Stall: time.Minute, StoreStall: 5 * time.Minute, Commit: 15 * time.Minute,
		Pauses:     []time.Duration{0, time.Second, 4 * time.Second, 15 * time.Second, time.Minute},
		SecondLook: 5 * time.Second,
		Long:       time.Minute, LongMax: time.Hour,
	}
}

// Export is a copy that is wanted.
type Export struct {
	// Account is in whose name Drive is read.
	Account, FileID, Key string
	// SHA256 is set once the object was written: then it is only checked. Size is its length then.
	SHA256 string
	Size   int64
	// File is what Drive said of the file before; without a checksum Drive is asked.
	File File
	// Failed attempts before this one.
	Failed int
}

// Exported is what came of an [Export].
type Exported struct {
	URI, SHA256 string
	Size        int64
	// ComparedWith is which of Drive's facts the copy was compared with: sha256, md5, or size where Drive has no checksum. Empty
	// where Drive was not asked.
	ComparedWith string
	// Verified: the object was read back and is what was written.
	Verified bool
	// SourceGone: Drive no longer has the file. Mismatch: the bytes are wrong, also after they were fetched anew.
	SourceGone, Mismatch bool
	// Failure is nil on success; RetryAt is when to try again where it is not for good.
	Failure *Failure
	RetryAt time.Time
}

// bufferSize is what is read at once; the storage's own buffers come on top.
const bufferSize = 256 << 10

// Exports makes checked copies of files in Drive, each in two steps of one row: written, then read back. A step that is run twice
// ends in the same object: it is written under its key only when it is whole and equals what Drive says of the file, and one
// that is there and does so is adopted.
type Exports struct {
	drive   Recorded
	storage Storage
	quotas  Quotas
	now     clock.Clock
	timing  ExportTiming
	log     *slog.Logger
	buffers sync.Pool
}

// NewExports makes the jobs.
func NewExports(drive Recorded, storage Storage, quotas Quotas, now clock.Clock, timing ExportTiming, log *slog.Logger) *Exports {
	return &Exports{
		drive: drive, storage: storage, quotas: quotas, now: now, timing: timing, log: log,
		buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }},
	}
}

// Later is the time after d.
func (e *Exports) Later(d time.Duration) time.Time { return clock.Cut(e.now().Add(d)) }

// Export takes the next step. When ctx ends first, or somebody else is at it, the message is to come again, which ok tells.
func (e *Exports) Export(ctx context.Context, w Export) (out Exported, ok bool) {
	out, err := e.export(ctx, w)
	out.URI = e.storage.URI(w.Key)
	if err == nil {
		return out, true
	}
	if ctx.Err() != nil || codeIs(err, CodeExportBusy) {
		return out, false
	}
	out.Failure, out.RetryAt = e.failed(ctx, "recording could not be exported", err, w.Failed)
	out.Mismatch = out.Failure.Code == CodeExportMismatch
	out.SourceGone = out.SourceGone || out.Failure.Code == CodeFileGone
	return out, true
}

func (e *Exports) export(ctx context.Context, w Export) (Exported, error) {
	if w.SHA256 == "" {
		return e.fetch(ctx, w, true)
	}
	known := Exported{SHA256: w.SHA256, Size: w.Size}
	err := e.compare(ctx, w.Key, w.SHA256, w.Size)
	switch {
	case err == nil:
		known.Verified = true
		return known, nil
	case !is(err, Gone) && !codeIs(err, CodeExportMismatch):
		return known, err
	}
	e.log.WarnContext(ctx, "the stored object is not what was written, it is fetched anew", "object", w.Key, "error", err)
	anew, fetchErr := e.fetch(ctx, w, false)
	switch {
	case is(fetchErr, NotFound, Gone): // what is wrong stays wrong
		known.SourceGone = true
		return known, &Failure{Kind: Refused, Code: CodeExportMismatch, Message: "the stored object is damaged or gone, and Drive no longer has the file", Err: errors.Join(err, fetchErr)}
	case fetchErr != nil:
		return known, fetchErr
	}
	failpoint.Here("scheduler.export_fetched_anew")
	if err := e.compare(ctx, w.Key, anew.SHA256, anew.Size); err != nil {
		if is(err, Gone) {
			err = mismatch("the object that was just written is not there")
		}
		return anew, err
	}
	anew.Verified = true
	return anew, nil
}

// fetch makes the object be what Drive has. Bytes that are not what Drive says are fetched once more, after asking it again. adopt
// lets an object be that is there already and right.
func (e *Exports) fetch(ctx context.Context, w Export, adopt bool) (Exported, error) {
	known := w.File.SHA256 != "" || w.File.MD5 != ""
	for second := false; ; second = true {
		file := w.File
		if !known || second {
			var err error
			if file, err = e.file(ctx, w); err != nil {
				return Exported{}, err
			}
		}
		if file.State == FileGone {
			if found, ok := e.orphan(ctx, w, adopt); ok {
				return found, nil
			}
			return Exported{}, &Failure{Kind: NotFound, Code: CodeFileGone, Message: "Drive no longer has the file, or does not show it to the account"}
		}
		if adopt && !second {
			switch found, err := e.adopt(ctx, w.Key, file); {
			case err == nil:
				e.log.InfoContext(ctx, "an object that was written before is adopted", "object", w.Key)
				return found, nil
			case ctx.Err() != nil:
				return Exported{}, err
			}
		}
		out, err := e.copy(ctx, w, file)
		switch {
		case second:
			return out, err
		case codeIs(err, CodeExportMismatch):
			e.log.WarnContext(ctx, "the bytes are not what Drive says of the file, they are fetched anew", "object", w.Key, "error", err)
		case known && codeIs(err, CodeFileGone):
			e.log.WarnContext(ctx, "Drive does not give out a file that it had, it is asked about it", "object", w.Key, "error", err)
		default:
			return out, err
		}
	}
}

// file asks Drive about the file, twice where it is not shown: one answer is not believed when it ends a recording.
func (e *Exports) file(ctx context.Context, w Export) (f File, err error) {
	for second := false; ; second = true {
		err = e.ask(ctx, w.Account, func(ctx context.Context) (err error) {
			f, err = e.drive.GetFile(ctx, w.Account, w.FileID)
			return err
		})
		if err != nil || f.State != FileGone || second {
			return f, err
		}
		if err := sleep(ctx, e.timing.SecondLook); err != nil {
			return f, err
		}
	}
}

// ask makes one call to Drive when nobody who waits wants the quota.
func (e *Exports) ask(ctx context.Context, account string, call func(context.Context) error) error {
	with, release, err := e.quotas.Reserve(ctx, Demand{Organizer: account, Calls: []Class{ClassDrive}})
	if err != nil {
		return err
	}
	defer release()
	return call(with)
}

// sums hashes what is copied.
type sums struct {
	sha256, md5 hash.Hash
	size        int64
}

func newSums() *sums { return &sums{sha256: sha256.New(), md5: md5.New()} } //nolint:gosec // see the import

func (s *sums) Write(p []byte) (int, error) {
	_, _ = s.sha256.Write(p) // a hash never fails
	_, _ = s.md5.Write(p)
	s.size += int64(len(p))
	return len(p), nil
}

// against compares with what Drive says, by the best that it has.
func (s *sums) against(f File) (Exported, error) {
	out := Exported{SHA256: hex.EncodeToString(s.sha256.Sum(nil)), Size: s.size}
	if s.size != f.Size {
		return out, mismatch("%d bytes came, Drive says %d", s.size, f.Size)
	}
	switch {
	case f.SHA256 != "":
		out.ComparedWith = "sha256"
		if !strings.EqualFold(f.SHA256, out.SHA256) {
			return out, mismatch("SHA-256 is %s, Drive says %s", out.SHA256, f.SHA256)
		}
	case f.MD5 != "":
		out.ComparedWith = "md5"
		if have := hex.EncodeToString(s.md5.Sum(nil)); !strings.EqualFold(f.MD5, have) {
			return out, mismatch("MD5 is %s, Drive says %s", have, f.MD5)
		}
	default:
		out.ComparedWith = "size"
	}
	return out, nil
}

func mismatch(format string, args ...any) *Failure {
	return refused(CodeExportMismatch, fmt.Sprintf(format, args...))
}

// adopt finds an object that an attempt wrote whose outcome was lost.
func (e *Exports) adopt(ctx context.Context, key string, f File) (Exported, error) {
	have, err := e.read(ctx, key, f.Size)
	if err != nil {
		return Exported{}, err
	}
	return have.against(f)
}

// orphan is an object that was written whole, and compared, before its source was deleted.
func (e *Exports) orphan(ctx context.Context, w Export, adopt bool) (Exported, bool) {
	if !adopt {
		return Exported{}, false
	}
	have, err := e.read(ctx, w.Key, -1)
	if err != nil {
		return Exported{}, false
	}
	return Exported{SHA256: hex.EncodeToString(have.sha256.Sum(nil)), Size: have.size}, true
}

// compare reads an object back. A mismatch or [Gone] says that it is not what it should be.
func (e *Exports) compare(ctx context.Context, key, sum string, size int64) error {
	have, err := e.read(ctx, key, size)
	if err != nil {
		return err
	}
	if now := hex.EncodeToString(have.sha256.Sum(nil)); !strings.EqualFold(now, sum) {
		return mismatch("the object's SHA-256 is %s and was %s", now, sum)
	}
	return nil
}

// read hashes an object. One of another size than wanted, where that is not negative, is not read.
func (e *Exports) read(ctx context.Context, key string, size int64) (*sums, error) {
	ctx, dog := watch(ctx, e.timing.StoreStall)
	defer dog.end()
	body, length, err := e.storage.Open(ctx, key)
	if err != nil {
		return nil, dog.explain(err)
	}
	defer body.Close()
	if size >= 0 && length != size {
		return nil, mismatch("the object has %d bytes and should have %d", length, size)
	}
	buffer := e.buffers.Get().(*[bufferSize]byte)
	defer e.buffers.Put(buffer)
	have := newSums()
	for ctx.Err() == nil { // a file's reader knows no ctx
		n, err := body.Read(buffer[:])
		dog.feed()
		_, _ = have.Write(buffer[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, dog.explain(err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, dog.explain(err)
	}
	if have.size != length {
		return nil, &Failure{Kind: Transient, Code: CodeExportStalled, Message: "the object was cut off while it was read back"}
	}
	return have, nil
}

// copy streams the file into the object.
func (e *Exports) copy(ctx context.Context, w Export, file File) (out Exported, err error) {
	storing, dog := watch(ctx, e.timing.StoreStall)
	defer dog.end()
	draft, err := e.storage.Create(storing, w.Key, file.Size)
	if err != nil {
		return Exported{}, dog.explain(err)
	}
	failpoint.Here("scheduler.export_created")
	keep := false
	defer func() {
		if err != nil {
			draft.Abandon(keep)
		}
	}()
	have := newSums()
	if file.SHA256 != "" || file.MD5 != "" { // without one, nothing would tell what a crash did to what is there
		dog.rest()
		if _, err := draft.Kept(have); err != nil {
			return Exported{}, err
		}
		if have.size > 0 {
			e.log.InfoContext(ctx, "export goes on behind what was written before", "object", w.Key, "bytes", have.size)
		}
	}
	from := &source{exports: e, export: w, file: file, at: have.size}
	defer from.close()
	buffer := e.buffers.Get().(*[bufferSize]byte)
	defer e.buffers.Put(buffer)
	half := false
	for have.size < file.Size {
		dog.rest() // the source has a watch of its own
		n, err := from.Read(ctx, buffer[:])
		if err != nil {
			keep = !codeIs(err, CodeExportMismatch, CodeFileGone)
			return Exported{}, err
		}
		_, _ = have.Write(buffer[:n])
		dog.feed()
		if _, err := draft.Write(buffer[:n]); err != nil {
			keep = !codeIs(err, CodeStorageFull)
			return Exported{}, dog.explain(err)
		}
		if !half && have.size >= file.Size/2 {
			half = true
			failpoint.Here("scheduler.export_half")
		}
	}
	out, err = have.against(file)
	if err != nil {
		return out, err
	}
	failpoint.Here("scheduler.export_streamed")
	dog.patience(e.timing.Commit)
	if err := draft.Commit(); err != nil {
		return out, dog.explain(err)
	}
	failpoint.Here("scheduler.export_committed")
	return out, nil
}

// source reads a file of Drive, again from where it broke off.
type source struct {
	exports *Exports
	export  Export
	file    File
	at      int64
	idle    int // tries in a row that brought nothing

	body io.ReadCloser
	dog  *watchdog
}

// Read is as an [io.Reader]'s, but that it ends only with an error.
func (s *source) Read(ctx context.Context, p []byte) (int, error) {
	p = p[:min(int64(len(p)), s.file.Size-s.at)]
	for {
		if s.body == nil {
			if err := s.open(ctx); err != nil {
				if ctx.Err() != nil {
					return 0, ctx.Err()
				}
				var f *Failure
				if !errors.As(err, &f) || f.Kind != Transient && f.Kind != Deferred || f.After > time.Minute {
					return 0, err
				}
				if err := s.pause(ctx, err); err != nil {
					return 0, err
				}
				if err := sleep(ctx, f.After); err != nil {
					return 0, err
				}
				continue
			}
		}
		s.dog.feed()
		n, err := s.body.Read(p)
		s.at += int64(n)
		if n > 0 {
			s.idle = 0
			s.dog.rest()
			return n, nil // an error comes again
		}
		if err == nil {
			continue
		}
		s.close()
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := s.pause(ctx, err); err != nil {
			return 0, err
		}
	}
}

// pause waits before the next try, and gives up after several that brought nothing.
func (s *source) pause(ctx context.Context, cause error) error {
	pauses := s.exports.timing.Pauses
	if s.idle >= len(pauses) {
		var f *Failure
		if errors.As(cause, &f) {
			return cause
		}
		return &Failure{Kind: Transient, Code: CodeFileCut, Message: "the download from Drive breaks off again and again; it is tried again by itself", Err: cause}
	}
	s.exports.log.InfoContext(ctx, "download broke off and is taken up again", "object", s.export.Key, "at_bytes", s.at, "error", cause)
	d := pauses[s.idle]
	s.idle++
	return sleep(ctx, jitter(d/4)+d)
}

func (s *source) open(ctx context.Context) error {
	reading, dog := watch(ctx, s.exports.timing.Stall)
	var got Download
	err := s.exports.ask(reading, s.export.Account, func(with context.Context) (err error) {
		dog.rest() // the call has a limit of its own
		got, err = s.exports.drive.OpenFile(with, s.export.Account, s.export.FileID, s.at)
		return err
	})
	if err != nil {
		dog.end()
		switch {
		case is(err, Stale): // it was longer when it was looked at
			return mismatch("the file ends before byte %d", s.at)
		case is(err, NotFound, Gone):
			return &Failure{Kind: NotFound, Code: CodeFileGone, Message: "Drive no longer has the file", Err: err}
		}
		return err
	}
	s.body, s.dog = got.Body, dog
	if got.Size >= 0 && got.Size != s.file.Size || got.Offset > s.at {
		s.close()
		return mismatch("Drive sends a file of %d bytes from byte %d on, and said that it has %d", got.Size, got.Offset, s.file.Size)
	}
	return s.skip(s.at - got.Offset)
}

// skip passes over what is there already, where Drive sends the file whole.
func (s *source) skip(n int64) error {
	buffer := s.exports.buffers.Get().(*[bufferSize]byte)
	defer s.exports.buffers.Put(buffer)
	for n > 0 {
		s.dog.feed()
		got, err := s.body.Read(buffer[:min(n, bufferSize)])
		n -= int64(got)
		if err != nil && n > 0 {
			s.close()
			return &Failure{Kind: Transient, Code: CodeFileCut, Message: "the download from Drive breaks off; it is tried again by itself", Err: err}
		}
	}
	s.dog.rest()
	return nil
}

func (s *source) close() {
	if s.body != nil {
		_ = s.body.Close() // nothing more is wanted of it
		s.dog.end()
		s.body = nil
	}
}

// Verify results, as meet.cmd.recording.verified has them.
const (
	VerifiedOK       = "ok"
	VerifiedMismatch = "mismatch"
	VerifiedGone     = "gone"
)

// Verify tells whether an object still is what was exported. ok is false where the message is to come again.
func (e *Exports) Verify(ctx context.Context, w Export) (result string, failure *Failure, retryAt time.Time, ok bool) {
	err := e.compare(ctx, w.Key, w.SHA256, w.Size)
	switch {
	case err == nil:
		return VerifiedOK, nil, time.Time{}, true
	case is(err, Gone):
		return VerifiedGone, nil, time.Time{}, true
	case codeIs(err, CodeExportMismatch):
		e.log.WarnContext(ctx, "the stored object is not what was written", "object", w.Key, "error", err)
		return VerifiedMismatch, nil, time.Time{}, true
	case ctx.Err() != nil:
		return "", nil, time.Time{}, false //nolint:nilerr // it is broken off, and comes again
	}
	failure, retryAt = e.failed(ctx, "export could not be verified", err, w.Failed)
	return "", failure, retryAt, true
}

// Delete makes an object be gone.
func (e *Exports) Delete(ctx context.Context, w Export) (failure *Failure, retryAt time.Time, ok bool) {
	watched, dog := watch(ctx, e.timing.StoreStall)
	defer dog.end()
	err := dog.explain(e.storage.Delete(watched, w.Key))
	if err == nil {
		return nil, time.Time{}, true
	}
	if ctx.Err() != nil || codeIs(err, CodeExportBusy) {
		return nil, time.Time{}, false
	}
	failure, retryAt = e.failed(ctx, "export could not be deleted", err, w.Failed)
	return failure, retryAt, true
}

// Share lets people read the file in Drive, one after the other: of two changes at once to who may read a file, Drive keeps one.
// shared are those who may, also after a failure.
func (e *Exports) Share(ctx context.Context, w Export, emails []string) (shared []string, failure *Failure, retryAt time.Time, ok bool) {
	for _, email := range emails {
		err := e.ask(ctx, w.Account, func(ctx context.Context) error { return e.drive.ShareFile(ctx, w.Account, w.FileID, email) })
		if err == nil {
			shared = append(shared, email)
			failpoint.Here("scheduler.export_shared_one")
			continue
		}
		if ctx.Err() != nil {
			return shared, nil, time.Time{}, false //nolint:nilerr // it is broken off, and comes again
		}
		if is(err, NotFound, Gone) {
			err = &Failure{Kind: NotFound, Code: CodeFileGone, Message: "Drive no longer has the file, or does not show it to the account", Err: err}
		}
		failure, retryAt = e.failed(ctx, "recording could not be shared", err, w.Failed)
		return shared, failure, retryAt, true
	}
	return shared, nil, time.Time{}, true
}

// failed is err as a failure, and when to try again. What is full, away or denied on our side may be mended any time, so the
// pauses stay below an hour.
func (e *Exports) failed(ctx context.Context, what string, err error, failedAttempts int) (*Failure, time.Time) {
	failure := failureOf(err)
	long := min(e.timing.Long<<min(failedAttempts, 16), e.timing.LongMax)
	after := max(min(failure.After, maxAfter), long)
	level := slog.LevelWarn
	if failure.Kind == Deferred {
		after, level = failure.After, slog.LevelDebug
	}
	//nolint:sloglint // one of four constants of the callers
	e.log.Log(ctx, level, what, "code", failure.Code, "permanent", failure.Permanent(), "failed_attempts", failedAttempts, "error", err)
	if failure.Permanent() {
		return failure, time.Time{}
	}
	return failure, clock.Cut(e.now().Add(after + jitter(after/4)))
}

func codeIs(err error, codes ...string) bool {
	var f *Failure
	if !errors.As(err, &f) {
		return false
	}
	for _, code := range codes {
		if f.Code == code {
			return true
		}
	}
	return false
}

var errStalled = errors.New("nothing moved for too long")

// watchdog ends a context when it is not fed in time. No deadline fits what may take hours.
type watchdog struct {
	ctx    context.Context //nolint:containedctx // its cause is what is asked for
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

// watch gives a context that ends limit after it was last fed.
func watch(ctx context.Context, limit time.Duration) (context.Context, *watchdog) {
	d := &watchdog{limit: limit}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	d.timer = time.AfterFunc(limit, func() { d.cancel(errStalled) })
	return d.ctx, d
}

func (d *watchdog) feed() { d.timer.Reset(d.limit) }

// rest lets it sleep until it is fed again.
func (d *watchdog) rest() { d.timer.Stop() }

// patience feeds it with another limit.
func (d *watchdog) patience(limit time.Duration) {
	d.limit = limit
	d.feed()
}

func (d *watchdog) end() {
	d.timer.Stop()
	d.cancel(nil)
}

// explain makes err a stall where it was one.
func (d *watchdog) explain(err error) error {
	if err != nil && errors.Is(context.Cause(d.ctx), errStalled) {
		return &Failure{Kind: Transient, Code: CodeExportStalled, Message: "the object storage did not take or give anything for minutes; it is tried again by itself", Err: errors.Join(errStalled, err)}
	}
	return err
}

// The codes of a storage's own failures. All pass: somebody can mend them while the row waits.
const (
	// CodeStorageFull: there is no room.
	CodeStorageFull = "EXPORT_STORAGE_FULL"
	// CodeStorageDenied: the credentials are missing, or lack a right.
	CodeStorageDenied = "EXPORT_STORAGE_DENIED"
	// CodeStorageMissing: there is no such bucket or folder.
	CodeStorageMissing = "EXPORT_STORAGE_MISSING"
	// CodeStorageUnavailable: the storage fails or can't be reached.
	CodeStorageUnavailable = "EXPORT_STORAGE_UNAVAILABLE"
	// CodeExportOff: this scheduler has no storage.
	CodeExportOff = "EXPORT_NOT_CONFIGURED"
)
