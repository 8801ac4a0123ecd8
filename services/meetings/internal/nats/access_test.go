package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// accessible is a world of two organizers whose queries about access are answered, and whose refusals are written down.
func accessible(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	auth := app.NewAuthenticator(w.store, w.clock.Now, slog.New(slog.DiscardHandler))
	refusals := NewRefusals(w.store, w.clock.Now, quiet())
	run(t, refusals.Run)
	q := NewQueries(w.store, app.NewPlanner(w.store, app.Looking{}, w.clock.Now), metrics(t, w.store, w.clock.Now)).
		Count(app.Counting{Zone: bogota}, w.clock.Now).Access(NewAccessQueries(auth, w.store, w.store, w.clock.Now), refusals)
	s, err := q.Serve(t.Context(), w.newBus(t), queryVersion, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w.held(t) // meeting 1, of user 1
	w.act(t, create("nurse@clinic.example"))
	return w
}

func external(user int64) bus.Principal {
	return bus.Principal{Name: fmt.Sprintf("key:mm_live_u%d", user), Role: "external", UserID: user, Mode: "key"}
}

// question is one query, asked about something of user 1's, and about what is not there at all.
type question struct {
	method     string
	ask        func(ctx context.Context) (proto.Message, error)
	askNothing func(ctx context.Context) (proto.Message, error)
}

func on[Req, Resp proto.Message](w *world, q subject.Query[Req, Resp], there, nothing Req) question {
	put := func(req Req) func(context.Context) (proto.Message, error) {
		return func(ctx context.Context) (proto.Message, error) {
			resp, err := bus.Ask(ctx, w.bus, q, proto.Clone(req).(Req))
			if err != nil {
				return nil, err
			}
			return resp, nil
		}
	}
	return question{method: q.Method(), ask: put(there), askNothing: put(nothing)}
}

func questions(t *testing.T, w *world) []question {
	t.Helper()
	job := ask[string](t, w, `SELECT id::text FROM jobs WHERE meeting_id = 1 AND class = 'google'`)
	operation := ask[string](t, w, `SELECT id::text FROM commands WHERE meeting_id = 1`)
	span := func() (*timestamppb.Timestamp, *timestamppb.Timestamp) {
		return timestamppb.New(today.Add(-24 * time.Hour)), timestamppb.New(today.Add(24 * time.Hour))
	}
	from, to := span()
	w.exec(t, `UPDATE events SET seq = pos`)
	return []question{
		on(w, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: "1"}, &meetv1.GetMeetingRequest{Id: "999"}),
		on(w, subject.LookupMeeting, &meetv1.LookupMeetingRequest{By: &meetv1.LookupMeetingRequest_ExternalReference{ExternalReference: "ref"}},
			&meetv1.LookupMeetingRequest{By: &meetv1.LookupMeetingRequest_ExternalReference{ExternalReference: "none"}}),
		on(w, subject.ListMeetings, &meetv1.ListMeetingsRequest{OrganizerId: 1}, &meetv1.ListMeetingsRequest{OrganizerId: 999}),
		on(w, subject.GetOperation, &meetv1.GetOperationRequest{Id: operation}, &meetv1.GetOperationRequest{Id: uuid.NewString()}),
		on(w, subject.ListRecordings, &meetv1.ListRecordingsRequest{MeetingId: 1}, &meetv1.ListRecordingsRequest{MeetingId: 999}),
		on(w, subject.GetRecording, &meetv1.GetRecordingRequest{Id: 3}, &meetv1.GetRecordingRequest{Id: 999}),
		on(w, subject.GetTranscript, &meetv1.GetTranscriptRequest{MeetingId: "1"}, &meetv1.GetTranscriptRequest{MeetingId: "999"}),
		on(w, subject.GetCoverage, &meetv1.GetCoverageRequest{From: from, To: to, OrganizerId: 1}, &meetv1.GetCoverageRequest{From: from, To: to, OrganizerId: 999}),
		on(w, subject.ListParticipants, &meetv1.ListParticipantsRequest{MeetingId: 1}, &meetv1.ListParticipantsRequest{MeetingId: 999}),
		on(w, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: 1}, &meetv1.GetParticipantRequest{Id: 999}),
		on(w, subject.GetAttendance, &meetv1.GetAttendanceRequest{MeetingId: "1"}, &meetv1.GetAttendanceRequest{MeetingId: "999"}),
		on(w, subject.GetUser, &meetv1.GetUserRequest{Id: 1}, &meetv1.GetUserRequest{Id: 999}),
		on(w, subject.ListUsers, &meetv1.ListUsersRequest{EmailContains: "doctor"}, &meetv1.ListUsersRequest{EmailContains: "nobody"}),
		on(w, subject.VerifyPassword, &meetv1.VerifyPasswordRequest{UserId: 1}, &meetv1.VerifyPasswordRequest{UserId: 999}),
		on(w, subject.ListEvents, &meetv1.ListEventsRequest{MeetingId: 1}, &meetv1.ListEventsRequest{MeetingId: 999}),
		on(w, subject.GetJob, &meetv1.GetJobRequest{Id: job}, &meetv1.GetJobRequest{Id: uuid.NewString()}),
		on(w, subject.ListJobs, &meetv1.ListJobsRequest{MeetingId: 1}, &meetv1.ListJobsRequest{MeetingId: 999}),
	}
}

func TestAnothersIsAsIfItWereNotThere(t *testing.T) {
	w := accessible(t)
	w.exec(t, `UPDATE meetings SET external_reference = 'ref' WHERE id = 1`)
	all := questions(t, w)
	var asked, own []string
	for _, q := range all {
		asked = append(asked, q.method)
	}
	for _, r := range access.Rules() {
		if r.External == access.Own && !strings.Contains(r.Action, ".") {
			own = append(own, r.Action)
		}
	}
	slices.Sort(asked)
	slices.Sort(own)
	if !slices.Equal(asked, own) {
		t.Fatalf("asked %q\nown in the table %q", asked, own)
	}
	for _, q := range all {
		t.Run(q.method, func(t *testing.T) {
			as := func(p bus.Principal) context.Context { return bus.WithPrincipal(within(t), p) }
			mine, err := q.ask(as(external(1)))
			if err != nil {
				t.Fatalf("his own: %v", err)
			}
			byAdmin, err := q.ask(as(tester))
			if err != nil || !proto.Equal(mine, byAdmin) {
				t.Errorf("he is shown %v, an admin %v, %v", mine, byAdmin, err)
			}
			theirs, err1 := q.ask(as(external(2)))
			none, err2 := q.askNothing(as(external(2)))
			if !proto.Equal(theirs, none) || fmt.Sprint(err1) != fmt.Sprint(err2) || fault.KindOf(err1) != fault.KindOf(err2) {
				t.Errorf("another's: %v, %v; what is not there: %v, %v", theirs, err1, none, err2)
			}
			if err1 == nil && proto.Equal(theirs, mine) && q.method != subject.VerifyPassword.Method() {
				t.Errorf("he is shown another's: %v", theirs)
			}
			noUser := external(0)
			if _, err := q.ask(as(noUser)); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("an external without a user: %v", err)
			}
			if _, err := q.ask(as(bus.Principal{})); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("nobody: %v", err)
			}
			limited := external(1)
			limited.Scopes = "setup:read"
			if _, err := q.ask(as(limited)); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("without the scope: %v", err)
			}
			if _, err := q.ask(as(bus.Gateway)); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("the gateway for nobody: %v", err)
			}
		})
	}
}

func TestEveryListOfAnExternalIsHisOwn(t *testing.T) {
	w := accessible(t)
	w.exec(t, `UPDATE events SET seq = pos`)
	ctx := func(user int64) context.Context { return bus.WithPrincipal(within(t), external(user)) }
	ms, err := bus.Ask(ctx(2), w.bus, subject.ListMeetings, &meetv1.ListMeetingsRequest{})
	if err != nil || len(ms.GetMeetings()) != 1 || ms.GetMeetings()[0].GetId() != 2 {
		t.Errorf("meetings %v, %v", ms, err)
	}
	ps, err := bus.Ask(ctx(2), w.bus, subject.ListParticipants, &meetv1.ListParticipantsRequest{})
	if err != nil || len(ps.GetParticipants()) != 2 || ps.GetParticipants()[0].GetMeetingId() != 2 {
		t.Errorf("participants %v, %v", ps, err)
	}
	rs, err := bus.Ask(ctx(2), w.bus, subject.ListRecordings, &meetv1.ListRecordingsRequest{})
	if err != nil || len(rs.GetRecordings()) != 0 {
		t.Errorf("recordings %v, %v", rs, err)
	}
	es, err := bus.Ask(ctx(2), w.bus, subject.ListEvents, &meetv1.ListEventsRequest{})
	if err != nil || len(es.GetEvents()) == 0 || slices.ContainsFunc(es.GetEvents(), func(e *meetv1.LoggedEvent) bool { return e.GetMeetingId() != 2 }) {
		t.Errorf("events %v, %v", es, err)
	}
	js, err := bus.Ask(ctx(2), w.bus, subject.ListJobs, &meetv1.ListJobsRequest{})
	if err != nil || len(js.GetJobs()) == 0 || slices.ContainsFunc(js.GetJobs(), func(j *meetv1.Job) bool { return j.GetMeetingId() != 2 }) {
		t.Errorf("jobs %v, %v", js, err)
	}
	us, err := bus.Ask(ctx(2), w.bus, subject.ListUsers, &meetv1.ListUsersRequest{IncludeInactive: true})
	if err != nil || len(us.GetUsers()) != 1 || us.GetUsers()[0].GetId() != 2 {
		t.Errorf("users %v, %v", us, err)
	}
}

func TestWhatIsAskedAgainstTheTableIsRefusedAndWrittenDown(t *testing.T) {
	w := accessible(t)
	asked := map[string]func(context.Context) error{
		"GetUserStats": func(ctx context.Context) error {
			_, err := bus.Ask(ctx, w.bus, subject.GetUserStats, &meetv1.GetUserStatsRequest{})
			return err
		},
		"GetMeetingWish": func(ctx context.Context) error {
			_, err := bus.Ask(ctx, w.bus, subject.GetMeetingWish, &meetv1.GetMeetingWishRequest{MeetingId: 1})
			return err
		},
		"Authenticate": func(ctx context.Context) error {
			_, err := bus.Ask(ctx, w.bus, subject.Authenticate, &meetv1.AuthenticateRequest{KeyPrefix: "x", KeyHash: strings.Repeat("0", 64)})
			return err
		},
		"ListAudit": func(ctx context.Context) error {
			_, err := bus.Ask(ctx, w.bus, subject.ListAudit, &meetv1.ListAuditRequest{})
			return err
		},
		"ExportPerson": func(ctx context.Context) error {
			_, err := bus.Ask(ctx, w.bus, subject.ExportPerson, &meetv1.ExportPersonRequest{Email: "p@mail.example"})
			return err
		},
	}
	for method, ask := range asked {
		for range 3 {
			ctx := bus.WithOrigin(bus.WithPrincipal(within(t), external(1)), bus.Origin{RequestID: "r", RemoteAddr: "192.0.2.9"})
			if err := ask(ctx); fault.KindOf(err) != fault.Forbidden {
				t.Errorf("%s: %v", method, err)
			}
		}
	}
	deadline := time.Now().Add(patience)
	for ask[int64](t, w, `SELECT coalesce(sum(coalesce((line::json ->> 'count')::bigint, 1)), 0)::bigint FROM audit WHERE outcome = 'denied' AND principal = 'key:mm_live_u1'`) < int64(3*len(asked)) {
		if time.Now().After(deadline) {
			t.Fatalf("written down: %q", ask[[]string](t, w, `SELECT array_agg(line) FROM audit WHERE outcome = 'denied'`))
		}
	}
	if _, err := bus.Ask(bus.WithPrincipal(within(t), bus.Principal{}), w.bus, subject.CheckHealth, &meetv1.CheckHealthRequest{}); err != nil {
		t.Errorf("health is for everybody: %v", err)
	}
}

func TestEveryCommandThatReachesItsOwnKnowsWhatIsItsOwn(t *testing.T) {
	for _, r := range access.Rules() {
		if r.External != access.Own || !strings.Contains(r.Action, ".") {
			continue
		}
		do, kind, _, err := decodeUseCase("meet.cmd."+r.Action, []byte(`{"id":"1","meetingId":"1"}`))
		if err != nil || kind != r.Action {
			t.Errorf("%s decodes as %q, %v", r.Action, kind, err)
			continue
		}
		if _, wire := do.(refuse); wire {
			t.Errorf("%s was refused by the wire: the test asks nothing of it", r.Action)
		}
		if _, owned := do.(app.Owned); !owned {
			t.Errorf("%s does not know what is its own: an external is forbidden what the table allows", r.Action)
		}
	}
}

func TestEveryCommandIsCalledWhatTheTableCallsIt(t *testing.T) {
	for _, r := range access.Rules() {
		if !strings.Contains(r.Action, ".") {
			continue
		}
		_, kind, outcome, err := decodeUseCase("meet.cmd."+r.Action, []byte(`{}`))
		if err != nil || kind != r.Action {
			t.Errorf("%s decodes as %q, %v", r.Action, kind, err)
		}
		if outcome && r.Admin != access.None {
			t.Errorf("%s is an outcome that people may bring", r.Action)
		}
	}
}

func TestACredentialIsFoundOutOverTheBus(t *testing.T) {
	w := accessible(t)
	w.commands(t)
	gateway := bus.WithPrincipal(within(t), bus.Gateway)
	changed, err := w.bus.Conn().SubscribeSync(subject.AccessChanged)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("ab", 32)
	send := func(id uuid.UUID) (*meetv1.StoreKeyResponse, bool, error) {
		call, err := bus.Start(w.bus, subject.CreateKey, &meetv1.StoreKeyRequest{
			Key: &meetv1.CreateKeyRequest{Name: "clinic", Role: meetv1.UserRole_USER_ROLE_EXTERNAL, UserId: 1, Scopes: []string{"meetings:read"}}, Prefix: "mm_live_7Kq2mXa9", SecretHash: hash,
		}, bus.Envelope{CommandID: id, Principal: tester})
		if err != nil {
			t.Fatal(err)
		}
		defer call.Close()
		return call.Committed(within(t))
	}
	id := uuid.New()
	made, _, err := send(id)
	if err != nil || made.GetKey().GetState() != "active" || made.GetKey().GetCreatedBy() != "test" {
		t.Fatalf("%v, %v", made, err)
	}
	if again, replayed, err := send(id); err != nil || !replayed || !proto.Equal(again, made) {
		t.Errorf("again: %v, %v, %v", again, replayed, err)
	}
	who, err := bus.Ask(gateway, w.bus, subject.Authenticate, &meetv1.AuthenticateRequest{KeyPrefix: "mm_live_7Kq2mXa9", KeyHash: hash})
	if err != nil || who.GetPrincipal() != "key:mm_live_7Kq2mXa9" || who.GetRole() != meetv1.UserRole_USER_ROLE_EXTERNAL || who.GetUserId() != 1 || !slices.Equal(who.GetScopes(), []string{"meetings:read"}) {
		t.Fatalf("%v, %v", who, err)
	}
	call, err := bus.Start(w.bus, subject.RevokeKey, &meetv1.RevokeKeyRequest{Key: "mm_live_7Kq2mXa9"}, bus.Envelope{CommandID: uuid.New(), Principal: tester})
	if err != nil {
		t.Fatal(err)
	}
	defer call.Close()
	if gone, _, err := call.Committed(within(t)); err != nil || gone.GetKey().GetState() != "revoked" {
		t.Errorf("%v, %v", gone, err)
	}
	if msg, err := changed.NextMsgWithContext(within(t)); err != nil || string(msg.Data) != "key:mm_live_7Kq2mXa9" {
		t.Errorf("nobody is told: %v", err)
	}
	_, err = bus.Ask(gateway, w.bus, subject.Authenticate, &meetv1.AuthenticateRequest{KeyPrefix: "mm_live_7Kq2mXa9", KeyHash: hash})
	var f *fault.Fault
	if !errors.As(err, &f) || f.Reason != identity.ReasonKeyRevoked {
		t.Errorf("revoked: %v", err)
	}
	list, err := bus.Ask(within(t), w.bus, subject.ListAudit, &meetv1.ListAuditRequest{SubjectKind: "key", Ascending: true})
	if err != nil || len(list.GetEntries()) != 2 || list.GetEntries()[1].GetAction() != "access.revoke_key" || list.GetEntries()[1].GetBeforeJson() != `{"revoked_at":""}` {
		t.Errorf("%v, %v", list, err)
	}
	report, err := bus.Ask(within(t), w.bus, subject.VerifyAudit, &meetv1.VerifyAuditRequest{})
	if err != nil || !report.GetDone() || report.GetBadSequence() != 0 || report.GetChecked() != report.GetLastSequence() || report.GetChecked() < 4 {
		t.Errorf("%v, %v", report, err)
	}
}

func TestAPersonsExportIsPagedAndOnRecord(t *testing.T) {
	w := accessible(t)
	for range 60 {
		w.act(t, command("meeting.create", &app.CreateMeeting{Spec: meeting.Spec{OrganizerEmail: "doctor@clinic.example", Guests: []string{"p@mail.example"}, TimeZone: "UTC"}}))
	}
	kinds, token, pages := map[string]int{}, "", 0
	for {
		resp, err := bus.Ask(within(t), w.bus, subject.ExportPerson, &meetv1.ExportPersonRequest{Email: "P@mail.example", PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, r := range resp.GetRecords() {
			kinds[r.GetKind()]++
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if kinds["participant"] != 62 || pages < 2 || kinds["audit"] != 63 {
		t.Errorf("%d pages of %v", pages, kinds)
	}
	if n := ask[int64](t, w, `SELECT count(*) FROM audit WHERE action = 'ExportPerson' AND subject_kind = 'person' AND subject_id LIKE 'person:%'`); n != 1 {
		t.Errorf("%d entries about the export", n)
	}
	for _, bad := range []string{"x", "cGVyc29uOjk6", "cGVyc29uOjE6eA"} {
		if _, err := bus.Ask(within(t), w.bus, subject.ExportPerson, &meetv1.ExportPersonRequest{Email: "p@mail.example", PageToken: bad}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("token %q: %v", bad, err)
		}
	}
}

func TestAUserChangesHisOwnNamesOnly(t *testing.T) {
	w := accessible(t)
	for _, c := range []struct {
		name  string
		id    account.ID
		patch account.Patch
		want  fault.Kind
	}{
		{"his name", 2, account.Patch{FirstName: new("N")}, 0},
		{"his password", 2, account.Patch{PasswordHash: new("$argon2id$")}, 0},
		{"his role", 2, account.Patch{Role: new(account.Admin)}, fault.Forbidden},
		{"his address", 2, account.Patch{Email: new("other@x.example")}, fault.Forbidden},
		{"another's name", 1, account.Patch{FirstName: new("N")}, fault.NotFound},
		{"another's role", 1, account.Patch{Role: new(account.Admin)}, fault.NotFound},
	} {
		cmd := command("user.update", &app.UpdateUser{ID: c.id, Patch: c.patch})
		cmd.Principal, cmd.Actor = "user:2", app.Actor{Role: access.External, UserID: 2}
		w.processor.Process(t.Context(), []*app.Command{cmd})
		if cmd.Err != nil || c.want == 0 && cmd.Refusal != nil || c.want != 0 && (cmd.Refusal == nil || cmd.Refusal.Kind != c.want) {
			t.Errorf("%s: %v, %v", c.name, cmd.Refusal, cmd.Err)
		}
	}
}
