package nats_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const exportJobID = "0193a2b4-7c11-7d10-8c33-000000000001"

// vault is a Drive with one file and a storage, both in memory.
type vault struct {
	content string
	// open is called when a download begins.
	open func(context.Context) error

	mu      sync.Mutex
	objects map[string]string
	shared  []string
}

func (v *vault) GetFile(context.Context, string, string) (job.File, error) {
	sum := sha256.Sum256([]byte(v.content))
	return job.File{State: job.FilePresent, Size: int64(len(v.content)), SHA256: hex.EncodeToString(sum[:])}, nil
}

func (v *vault) OpenFile(ctx context.Context, _, _ string, offset int64) (job.Download, error) {
	if v.open != nil {
		if err := v.open(ctx); err != nil {
			return job.Download{}, err
		}
	}
	return job.Download{Body: io.NopCloser(strings.NewReader(v.content[offset:])), Offset: offset, Size: int64(len(v.content))}, nil
}

func (v *vault) ShareFile(_ context.Context, _, _, email string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shared = append(v.shared, email)
	return nil
}

func (v *vault) URI(key string) string { return "mem://" + key }

func (v *vault) Create(_ context.Context, key string, _ int64) (job.Draft, error) {
	return &vaultDraft{vault: v, key: key}, nil
}

func (v *vault) Open(_ context.Context, key string) (io.ReadCloser, int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	text, ok := v.objects[key]
	if !ok {
		return nil, 0, &job.Failure{Kind: job.Gone, Code: job.CodeStorageMissing}
	}
	return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
}

func (v *vault) Delete(_ context.Context, key string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.objects, key)
	return nil
}

type vaultDraft struct {
	bytes.Buffer
	vault *vault
	key   string
}

func (d *vaultDraft) Kept(io.Writer) (int64, error) { return 0, nil }

func (d *vaultDraft) Commit() error {
	d.vault.mu.Lock()
	defer d.vault.mu.Unlock()
	d.vault.objects[d.key] = d.String()
	return nil
}

func (d *vaultDraft) Abandon(bool) {}

// command is one as meetings gets it.
type command struct {
	subject  string
	body     []byte
	envelope bus.Envelope
}

// files is NATS, a meetings service that notes what it gets, and schedulers for the jobs about files and housekeeping.
type files struct {
	*testing.T
	vault    *vault
	server   *embeddednats.Server
	bus      *bus.Bus
	log      *slog.Logger
	commands chan command
	settled  chan string
	// answer is what meetings says to a command that waits for it; nil: nothing.
	answer func() *meetv1.CommandReply
}

func newFiles(t *testing.T) *files {
	t.Helper()
	f := &files{
		T: t, vault: &vault{content: "what was said", objects: make(map[string]string)}, server: natstest.New(t),
		log: slog.New(slog.NewTextHandler(t.Output(), nil)), commands: make(chan command, 64), settled: make(chan string, 1024),
	}
	f.bus = f.connect()
	acks, err := f.bus.Conn().Subscribe("$JS.ACK.MEET_JOBS.>", func(m *natsgo.Msg) { f.settled <- string(m.Data) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = acks.Unsubscribe() })
	f.loop(func(ctx context.Context) error {
		return f.bus.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), 64, func(m jetstream.Msg) {
			envelope, err := bus.ParseEnvelope(m.Headers())
			if err != nil {
				t.Error(err)
			}
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
			if f.answer != nil {
				if reply := f.answer(); reply != nil {
					body, err := proto.Marshal(reply)
					if err == nil {
						err = f.bus.Conn().Publish(envelope.Reply, body)
					}
					if err != nil {
						t.Error(err)
					}
				}
			}
			f.commands <- command{m.Subject(), m.Data(), envelope}
		})
	})
	return f
}

func (f *files) connect() *bus.Bus {
	f.Helper()
	b := bus.New(bus.Config{Name: "test", InProcess: f.server, Replicas: 1, Wait: patience}, f.log)
	if err := b.Start(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.Context()), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			f.Error(err)
		}
	})
	return b
}

// loop runs until the test's end, or until stop.
func (f *files) loop(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				f.Error(err)
			}
		case <-time.After(patience):
			f.Error("it did not stop")
		}
	})
	f.Cleanup(stop)
	return stop
}

func (f *files) scheduler() (stop func()) {
	f.Helper()
	exports := job.NewExports(f.vault, f.vault, quota.None{}, time.Now, job.DefaultExportTiming(), f.log)
	x, err := nats.NewExportJobs(nats.Config{ExportWorkers: 2, Lease: 20 * time.Millisecond}, f.connect(), exports, newMetrics(f.T), prometheus.NewRegistry(), f.log)
	if err != nil {
		f.Fatal(err)
	}
	return f.loop(x.Run)
}

func (f *files) send(subj string, in proto.Message) {
	f.Helper()
	body, err := protojson.Marshal(in)
	if err == nil {
		_, err = f.bus.JetStream().PublishMsg(f.Context(), &natsgo.Msg{Subject: subj, Data: body, Header: natsgo.Header{"Nats-Msg-Id": {uuid.NewString()}}})
	}
	if err != nil {
		f.Fatal(err)
	}
}

// gets is the next command, which must be this one; its body is read into out.
func (f *files) gets(subj string, out proto.Message) command {
	f.Helper()
	select {
	case c := <-f.commands:
		if c.subject != subj {
			f.Fatalf("%s came, %s was awaited", c.subject, subj)
		}
		if err := protojson.Unmarshal(c.body, out); err != nil {
			f.Fatal(err)
		}
		return c
	case <-time.After(patience):
		f.Fatalf("no %s came", subj)
		return command{}
	}
}

func (f *files) sees(prefix string) {
	f.Helper()
	deadline := time.After(patience)
	for {
		select {
		case s := <-f.settled:
			if strings.HasPrefix(s, prefix) {
				return
			}
		case <-deadline:
			f.Fatalf("no %s was seen", prefix)
		}
	}
}

func exportJob() *meetv1.ExportRecordingJob {
	return &meetv1.ExportRecordingJob{
		JobId: exportJobID, Dispatch: 1, RecordingId: 7, MeetingId: 3, MeetingUid: "u", Account: "boss@example.com", DriveFileId: "f", ObjectKey: "a/7.mp4",
	}
}

func TestAnExportIsReportedStepByStepAndADoubleUnderTheSameID(t *testing.T) {
	f := newFiles(t)
	f.scheduler()
	in, out := exportJob(), new(meetv1.RecordingExportedRequest)
	f.send(string(subject.ExportRecording), in)
	first := f.gets(string(subject.RecordingExported), out)
	f.sees("+ACK")
	if out.GetJobId() != exportJobID || out.GetDispatch() != 1 || out.GetRecordingId() != 7 || out.GetFailure() != nil || out.GetUri() != "mem://a/7.mp4" ||
		out.GetSizeBytes() != 13 || len(out.GetSha256()) != 64 || out.GetComparedWith() != "sha256" || out.GetVerified() {
		t.Errorf("%v", out)
	}
	if !first.envelope.Deadline.IsZero() || first.envelope.Principal != bus.Scheduler {
		t.Errorf("%+v", first.envelope)
	}
	f.send(string(subject.ExportRecording), in)
	if double := f.gets(string(subject.RecordingExported), new(meetv1.RecordingExportedRequest)); double.envelope.CommandID != first.envelope.CommandID {
		t.Error("a double has another id")
	}
	f.sees("+ACK")
	in.Dispatch, in.Sha256, in.SizeBytes = 2, out.GetSha256(), out.GetSizeBytes()
	f.send(string(subject.ExportRecording), in)
	out.Reset()
	if second := f.gets(string(subject.RecordingExported), out); !out.GetVerified() || second.envelope.CommandID == first.envelope.CommandID {
		t.Errorf("%v", out)
	}
	check := &meetv1.VerifyExportJob{JobId: exportJobID, Dispatch: 1, RecordingId: 7, ObjectKey: "a/7.mp4", Sha256: in.GetSha256(), SizeBytes: in.GetSizeBytes()}
	for _, want := range []string{"ok", "gone"} {
		checked := new(meetv1.ExportVerifiedRequest)
		f.sees("+ACK")
		f.send(string(subject.VerifyExport), check)
		if f.gets(string(subject.ExportVerified), checked); checked.GetResult() != want || checked.GetFailure() != nil {
			t.Errorf("%v, want %s", checked, want)
		}
		deleted := new(meetv1.ExportDeletedRequest)
		f.sees("+ACK")
		f.send(string(subject.DeleteExport), &meetv1.DeleteExportJob{JobId: exportJobID, Dispatch: 1, RecordingId: 7, ObjectKey: "a/7.mp4"})
		if f.gets(string(subject.ExportDeleted), deleted); deleted.GetRecordingId() != 7 || deleted.GetFailure() != nil {
			t.Errorf("%v", deleted)
		}
	}
	shared := new(meetv1.RecordingSharedRequest)
	f.sees("+ACK")
	f.send(string(subject.ShareRecordingJob), &meetv1.ShareRecordingJob{JobId: exportJobID, Dispatch: 1, RecordingId: 7, Account: "boss@example.com", DriveFileId: "f", Emails: []string{"a@b.example", "c@d.example"}})
	if f.gets(string(subject.RecordingShared), shared); len(shared.GetEmails()) != 2 || len(f.vault.shared) != 2 {
		t.Errorf("%v", shared)
	}
}

func TestTheStopHandsAnExportBackAtOnceAndItsLeaseIsKeptMeanwhile(t *testing.T) {
	f := newFiles(t)
	begun := make(chan struct{}, 1)
	f.vault.open = func(ctx context.Context) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	stop := f.scheduler()
	f.send(string(subject.ExportRecording), exportJob())
	<-begun
	f.sees("+WPI")
	begin := time.Now()
	stop()
	f.sees("-NAK")
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	f.vault.open = nil
	f.scheduler()
	out := new(meetv1.RecordingExportedRequest)
	if f.gets(string(subject.RecordingExported), out); out.GetFailure() != nil {
		t.Errorf("%v", out)
	}
}

func TestAFailedExportSaysWhenItIsTriedAgainAndAPanicIsBuried(t *testing.T) {
	f := newFiles(t)
	f.vault.open = func(context.Context) error {
		return &job.Failure{Kind: job.Transient, Code: "GOOGLE_DOWNLOAD_QUOTA", Message: "too often", After: 3 * time.Hour}
	}
	f.scheduler()
	f.send(string(subject.ExportRecording), exportJob())
	out := new(meetv1.RecordingExportedRequest)
	failed := f.gets(string(subject.RecordingExported), out)
	if out.GetFailure().GetCode() != "GOOGLE_DOWNLOAD_QUOTA" || out.GetFailure().GetPermanent() || time.Until(out.GetFailure().GetRetryAt().AsTime()) < 2*time.Hour {
		t.Errorf("%v", out)
	}
	f.sees("+ACK")
	f.vault.open = nil
	f.send(string(subject.ExportRecording), exportJob())
	if better := f.gets(string(subject.RecordingExported), out); better.envelope.CommandID == failed.envelope.CommandID {
		t.Error("the success has the failure's id and would be dropped")
	}
	f.sees("+ACK")
	f.vault.open = func(context.Context) error { panic("a bug") }
	in := exportJob()
	in.ObjectKey, in.RecordingId = "b/8.mp4", 8
	f.send(string(subject.ExportRecording), in)
	out.Reset()
	if f.gets(string(subject.RecordingExported), out); out.GetFailure().GetCode() != job.CodeInternal || out.GetFailure().GetPermanent() {
		t.Errorf("%v", out)
	}
	f.sees("+TERM")
	for name, body := range map[string]proto.Message{
		"no id":        &meetv1.ExportRecordingJob{Dispatch: 1, RecordingId: 7},
		"no recording": &meetv1.ExportRecordingJob{JobId: exportJobID, Dispatch: 1},
	} {
		t.Log(name)
		f.send(string(subject.ExportRecording), body)
		f.sees("+TERM")
	}
	f.send("meet.job.export.dance", &meetv1.ExportRecordingJob{})
	f.sees("+TERM")
}

func TestAPeriodicTaskIsBroughtBackUntilItIsAnswered(t *testing.T) {
	f := newFiles(t)
	done, err := proto.Marshal(&meetv1.RunHousekeepingResponse{})
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan *meetv1.CommandReply, 8)
	f.answer = func() *meetv1.CommandReply { return <-answers }
	h := nats.NewHousekeepingJobs(nats.Config{}, f.connect(), newMetrics(t), f.log)
	f.loop(h.Run)
	in := &meetv1.HousekeepingJob{JobId: exportJobID, Dispatch: 4, Task: "retention"}
	f.send(string(subject.Retention), in)
	answers <- &meetv1.CommandReply{Fault: bus.EncodeFault(fault.New(fault.Unavailable, "DOWN", "down"))}
	out := new(meetv1.RunHousekeepingRequest)
	first := f.gets(string(subject.RunHousekeeping), out)
	if out.GetTask() != "retention" || out.GetDispatch() != 4 || out.GetJobId() != exportJobID || !first.envelope.Deadline.IsZero() {
		t.Errorf("%v %+v", out, first.envelope)
	}
	f.sees("-NAK")
	answers <- &meetv1.CommandReply{Response: done}
	if again := f.gets(string(subject.RunHousekeeping), out); again.envelope.CommandID != first.envelope.CommandID {
		t.Error("the repeat has another id")
	}
	f.sees("+ACK")
	f.send(string(subject.SyncAll), in) // another task than its subject's
	f.sees("+TERM")
}
