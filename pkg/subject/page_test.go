package subject

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meet-middleware/meet-middleware/pkg/golden"
)

//go:generate go test -run ^TestThePageOfSubjectsIsCurrent$ -count=1 . -update

// entry is one subject with the messages that travel on it.
type entry struct {
	subject string
	// body is what a command or query asks with, and what an event or job carries; reply is nil for events and jobs.
	body, reply protoreflect.MessageDescriptor
}

func (c Command[Req, Resp]) entry() entry {
	return entry{string(c), descriptor[Req](), descriptor[Resp]()}
}

func (q Query[Req, Resp]) entry() entry {
	return entry{string(q), descriptor[Req](), descriptor[Resp]()}
}
func (e Event[Body]) entry() entry { return entry{subject: string(e), body: descriptor[Body]()} }
func (j Job[Body]) entry() entry   { return entry{subject: string(j), body: descriptor[Body]()} }

// descriptor is that of a message type, which its nil pointer knows.
func descriptor[M proto.Message]() protoreflect.MessageDescriptor {
	var m M
	return m.ProtoReflect().Descriptor()
}

func commands() []entry {
	return []entry{
		CreateMeeting.entry(), UpdateMeeting.entry(), CancelMeeting.entry(), ProvisionMeeting.entry(), MeetingSynced.entry(),
		CalendarFollowed.entry(), CalendarNoticed.entry(), ConferenceObserved.entry(), ConferenceNoticed.entry(), SyncRecording.entry(),
		SyncAllRecordings.entry(), VerifyRecording.entry(), ShareRecording.entry(), RecordingExported.entry(), ExportVerified.entry(),
		ExportDeleted.entry(), RecordingShared.entry(), SetLegalHold.entry(), RunHousekeeping.entry(), CreateUser.entry(), UpdateUser.entry(),
		CreateKey.entry(), RotateKey.entry(), RevokeKey.entry(), OpenSession.entry(), CloseSession.entry(), OfferAdmin.entry(), ClaimAdmin.entry(),
		RecordAudit.entry(), ErasePerson.entry(),
	}
}

func queries() []entry {
	return []entry{
		GetMeeting.entry(), LookupMeeting.entry(), ListMeetings.entry(), ListParticipants.entry(), GetParticipant.entry(),
		ListRecordings.entry(), GetRecording.entry(), ListEvents.entry(), GetOperation.entry(), GetUser.entry(),
		ListUsers.entry(), GetUserStats.entry(), VerifyPassword.entry(), CheckHealth.entry(), GetMeetingWish.entry(), GetConferencePlan.entry(),
		GetCoverage.entry(), GetAttendance.entry(), GetTranscript.entry(), GetJob.entry(), ListJobs.entry(), Diagnose.entry(),
		Authenticate.entry(), CheckLogin.entry(), GetKey.entry(), ListKeys.entry(), ListAudit.entry(),
		VerifyAudit.entry(), ExportPerson.entry(),
	}
}

func events() []entry {
	return []entry{
		MeetingCreated.entry(), MeetingReady.entry(), MeetingProvisionFailed.entry(), MeetingUpdated.entry(),
		MeetingRescheduled.entry(), MeetingStatusChanged.entry(), MeetingCancelled.entry(), MeetingSyncedEvent.entry(),
		MeetingSyncFailed.entry(), MeetingDrifted.entry(), ParticipantResponded.entry(), MeetingStarted.entry(), MeetingEnded.entry(),
		LegalHoldChanged.entry(), ParticipantJoined.entry(), ParticipantLeft.entry(), ParticipantNoShow.entry(), RecordingStarted.entry(),
		RecordingNotStarted.entry(), RecordingFileGenerated.entry(), RecordingExportedEvent.entry(), RecordingVerified.entry(),
		RecordingMismatch.entry(), RecordingMissing.entry(), RecordingDeleted.entry(), RecordingSharedEvent.entry(), RecordingReport.entry(),
		RetentionApplied.entry(), DatabaseRestored.entry(), TranscriptGenerated.entry(), NoticesStateChanged.entry(), UserCreated.entry(), UserUpdated.entry(),
	}
}

func jobs() []entry {
	return []entry{
		SyncMeeting.entry(), FollowCalendar.entry(), CheckRecording.entry(), SyncRecordingNow.entry(), FollowConferences.entry(),
		ExportRecording.entry(), VerifyExport.entry(), DeleteExport.entry(), ShareRecordingJob.entry(), SyncAll.entry(), Report.entry(),
		Retention.entry(),
	}
}

func TestThePageOfSubjectsHasEverySubject(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "subject.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil || len(spec.Values) != 1 {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		declared = append(declared, text)
		return true
	})
	var documented []string
	for _, e := range slices.Concat(commands(), queries(), events(), jobs()) {
		documented = append(documented, e.subject)
	}
	slices.Sort(declared)
	slices.Sort(documented)
	if !slices.Equal(declared, documented) {
		t.Errorf("declared in subject.go: %q\nlisted in this file: %q", declared, documented)
	}
}

func TestThePageOfSubjectsIsCurrent(t *testing.T) {
	var b bytes.Buffer
	write := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	write("# Streams and subjects\n")
	write("Made by `make generate` from `pkg/subject` and `pkg/api/meet/v1/*.proto`, which also say what each field means.")
	write("Bodies of commands, events and jobs are protobuf JSON: `lowerCamelCase` names, 64-bit integers as strings, absent fields")
	write("left out. Queries and replies are binary protobuf. How to look at them: [look inside with nats](../how-to/look-inside-with-nats.md).\n")

	write("## Streams\n")
	write("| stream | subjects | kind | kept | carries |\n| --- | --- | --- | --- | --- |")
	for _, s := range Streams(1) {
		write("| `%s` | `%s` | %s | %s | %s |", s.Name, strings.Join(s.Subjects, "`, `"), kind(s), kept(s), s.Description)
	}
	write("\nEvery stream is on disk, takes messages of at most %d KiB and remembers a `Nats-Msg-Id` for %s, which saves work and is", Streams(1)[0].MaxMsgSize>>10, short(Streams(1)[0].Duplicates))
	write("never relied on. Consumers: `%s` on `%s`, and one for each job class on `%s`, such as `%s`.\n",
		CommandConsumer().Durable, StreamCommands, StreamJobs, JobConsumer(ClassGoogle).Durable)

	write("## Commands\n")
	write("Requests to change something, from the gateway and the scheduler; the meetings service answers. Headers:")
	write("`Meet-Command-Id` (what makes a command act once), `Meet-Deadline` (milliseconds since 1970), `Meet-Reply` (inbox of the")
	write("`CommandReply`), `Meet-Principal`, `Meet-Role`, `Meet-User-Id`, `Meet-Body-Hash`, `Meet-Request-Id`, `Meet-Remote-Addr`,")
	write("`traceparent`.\n")
	write("| subject | body | answer |\n| --- | --- | --- |")
	for _, e := range commands() {
		write("| `%s` | %s | `%s` |", e.subject, link(e.body), e.reply.Name())
	}

	write("\n## Queries\n")
	write("Reads, by the NATS micro services `%s` and `%s` (the third token), side by side and shared by all their instances.\n", ServiceMeetings, ServiceScheduler)
	write("| subject | body | answer |\n| --- | --- | --- |")
	for _, e := range queries() {
		write("| `%s` | `%s` | `%s` |", e.subject, e.body.Name(), e.reply.Name())
	}

	write("\n## Events\n")
	write("Facts in the past tense, CloudEvents 1.0 with the attributes in `ce-…` headers; [events](events.md) has an example of each.\n")
	write("| subject | body |\n| --- | --- |")
	for _, e := range events() {
		write("| `%s` | %s |", e.subject, link(e.body))
	}

	write("\n## Jobs\n")
	write("Due work, in the classes `%s`. The message id is `<job>.<dispatch>`; the header `traceparent` is of the",
		strings.Join([]string{ClassGoogle, ClassObserve, ClassExport, ClassHousekeeping}, "`, `"))
	write("command that wanted it, where that is of a trace.\n")
	write("| subject | body |\n| --- | --- |")
	for _, e := range jobs() {
		write("| `%s` | %s |", e.subject, link(e.body))
	}

	write("\n## Core NATS\n")
	write("| subject | body | when |\n| --- | --- | --- |")
	write("| `%s<operation>` | `OperationDone`, binary | Google has made a meeting's link, or refused it for good |", DonePrefix)
	write("| `%s` | none | something was committed: the active relay looks at once |", RelayWake)
	write("| `%s<stream>.<subject>` | as it was | stored by `%s`: nobody could decode it or it made its handler panic; `Meet-Dead-Reason` says why |", deadPrefix, StreamDead)

	write("\n## Bodies")
	seen := map[protoreflect.FullName]bool{}
	var body func(m protoreflect.MessageDescriptor)
	body = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] || m.ParentFile().Package() != "meet.v1" {
			return
		}
		seen[m.FullName()] = true
		write("\n### %s\n", m.Name())
		if m.Fields().Len() == 0 {
			write("No field.")
			return
		}
		write("| field | type |\n| --- | --- |")
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			write("| `%s` | %s |", f.JSONName(), typeOf(f))
		}
		for i := range m.Fields().Len() {
			if f := m.Fields().Get(i); f.Message() != nil {
				body(f.Message())
			}
		}
	}
	for _, e := range slices.Concat(events(), jobs(), commands()) {
		body(e.body)
	}
	golden.Equal(t, "../../docs/reference/subjects.md", b.Bytes())
}

func kind(s jetstream.StreamConfig) string {
	if s.Retention == jetstream.WorkQueuePolicy {
		return "work queue"
	}
	return "log"
}

func kept(s jetstream.StreamConfig) string {
	if s.Retention == jetstream.WorkQueuePolicy {
		return fmt.Sprintf("until done; full at %d GiB, then refused", s.MaxBytes>>30)
	}
	return fmt.Sprintf("%d days", s.MaxAge/day)
}

func short(d time.Duration) string { return fmt.Sprintf("%d minutes", d/time.Minute) }

func link(m protoreflect.MessageDescriptor) string {
	return fmt.Sprintf("[`%s`](#%s)", m.Name(), strings.ToLower(string(m.Name())))
}

// typeOf is a field's type as its JSON shows it.
func typeOf(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	switch { // the other kinds are called what their JSON is
	case f.Message() != nil:
		switch f.Message().FullName() {
		case "google.protobuf.Timestamp":
			name = "time (RFC 3339)"
		case "google.protobuf.FieldMask":
			name = "names, separated by commas"
		default:
			name = link(f.Message())
		}
	case f.Enum() != nil:
		var values []string
		for i := range f.Enum().Values().Len() {
			if v := f.Enum().Values().Get(i); v.Number() != 0 {
				values = append(values, "`"+string(v.Name())+"`")
			}
		}
		name = strings.Join(values, ", ")
	case f.Kind() == protoreflect.Int64Kind:
		name = "integer in a string"
	case f.Kind() == protoreflect.Int32Kind:
		name = "integer"
	}
	if f.IsList() {
		return "list of " + name
	}
	return name
}
