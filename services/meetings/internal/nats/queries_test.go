package nats

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// serve answers queries from reads.
func (w *world) serve(t *testing.T, reads app.Reads) {
	t.Helper()
	m, err := NewMetrics(prometheus.NewRegistry(), w.store, app.Counting{}, w.clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewQueries(reads, app.NewPlanner(w.store, app.Looking{}, w.clock.Now), m).Count(app.Counting{Zone: bogota}, w.clock.Now).Serve(t.Context(), w.newBus(t), queryVersion, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func TestEveryQueryAnswersOrSaysThatThereIsNone(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	hash, err := argon2id.CreateHash("secret", &argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 16})
	if err != nil {
		t.Fatal(err)
	}
	c := create("doctor@clinic.example")
	c.Do.(*app.CreateMeeting).Spec.ExternalReference = "ref"
	w.act(t, c, command("user.create", &app.CreateUser{Username: "root", Email: "root@x.example", Role: account.Admin, PasswordHash: hash}))
	w.act(t, outcome(1, 1, meeting.Outcome{Complete: true, Google: &meeting.GoogleCopy{
		EventID: "ev1", MeetLink: "https://meet.google.com/abc-defg-hij", MeetingCode: "abc-defg-hij", EventVersion: 1, SettingsVersion: 1,
	}}))
	w.act(t, command("user.update", &app.UpdateUser{ID: 1, Patch: account.Patch{Active: new(false)}}))
	w.exec(t, `INSERT INTO recordings (meeting_id, state, duration_seconds, created_at) VALUES (1, 'file_generated', 10, $1), (1, 'file_generated', 90, $1), (1, 'started', NULL, $1)`, today)
	w.exec(t, `UPDATE events SET seq = pos`)
	uid := ask[string](t, w, `SELECT uid::text FROM meetings`)
	ctx := within(t)
	found := func(name string, ok bool, err error) {
		t.Helper()
		if err != nil || !ok {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	absent := func(name string, err error) {
		t.Helper()
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"1", uid, strings.ToUpper(uid)} {
		m, err := bus.Ask(ctx, w.bus, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: id})
		found("meeting "+id, m.GetOrganizer().GetUsername() == "doctor" && len(m.GetParticipants()) == 2 && m.GetRecording().GetDurationSeconds() == 90 &&
			slices.Equal(m.GetInvitedEmails(), []string{"p@mail.example"}) && m.GetEtag() == `"2"`, err)
	}
	for _, id := range []string{"2", "0", "-1", "", "x", uuid.NewString(), "99999999999999999999"} {
		_, err := bus.Ask(ctx, w.bus, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: id})
		absent("meeting "+id, err)
	}
	for name, by := range map[string]*meetv1.LookupMeetingRequest{
		"reference": {By: &meetv1.LookupMeetingRequest_ExternalReference{ExternalReference: "ref"}},
		"event":     {By: &meetv1.LookupMeetingRequest_GoogleEventId{GoogleEventId: "ev1"}},
		"code":      {By: &meetv1.LookupMeetingRequest_MeetingCode{MeetingCode: "ABC-defg-hij"}},
		"link":      {By: &meetv1.LookupMeetingRequest_MeetLink{MeetLink: "https://meet.google.com/abc-defg-hij?authuser=1"}},
	} {
		m, err := bus.Ask(ctx, w.bus, subject.LookupMeeting, by)
		found("by "+name, m.GetId() == 1, err)
	}
	for name, by := range map[string]*meetv1.LookupMeetingRequest{
		"none": {}, "empty": {By: &meetv1.LookupMeetingRequest_MeetLink{MeetLink: "/"}}, "other": {By: &meetv1.LookupMeetingRequest_ExternalReference{ExternalReference: "REF"}},
		"a NUL": {By: &meetv1.LookupMeetingRequest_GoogleEventId{GoogleEventId: "\x00"}},
	} {
		_, err := bus.Ask(ctx, w.bus, subject.LookupMeeting, by)
		absent("by "+name, err)
	}
	p, err := bus.Ask(ctx, w.bus, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: 1})
	found("participant", p.GetRole() == meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER, err)
	_, err = bus.Ask(ctx, w.bus, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: 99})
	absent("participant", err)
	r, err := bus.Ask(ctx, w.bus, subject.GetRecording, &meetv1.GetRecordingRequest{Id: 2})
	found("recording", r.GetDurationSeconds() == 90, err)
	_, err = bus.Ask(ctx, w.bus, subject.GetRecording, &meetv1.GetRecordingRequest{Id: 99})
	absent("recording", err)
	rs, err := bus.Ask(ctx, w.bus, subject.ListRecordings, &meetv1.ListRecordingsRequest{MeetingId: 1, PageSize: 2})
	found("recordings", len(rs.GetRecordings()) == 2 && rs.GetNextPageToken() != "", err)
	ps, err := bus.Ask(ctx, w.bus, subject.ListParticipants, &meetv1.ListParticipantsRequest{MeetingId: 2})
	found("participants of no meeting", len(ps.GetParticipants()) == 0 && ps.GetNextPageToken() == "", err)
	op, err := bus.Ask(ctx, w.bus, subject.GetOperation, &meetv1.GetOperationRequest{Id: c.ID.String()})
	found("operation", op.GetDone() && op.GetMeetingId() == 1 && op.GetError() == nil, err)
	for _, id := range []string{uuid.NewString(), "x", ""} {
		_, err = bus.Ask(ctx, w.bus, subject.GetOperation, &meetv1.GetOperationRequest{Id: id})
		absent("operation "+id, err)
	}
	_, err = bus.Ask(ctx, w.bus, subject.GetUser, &meetv1.GetUserRequest{Id: 1})
	absent("an inactive user", err)
	u, err := bus.Ask(ctx, w.bus, subject.GetUser, &meetv1.GetUserRequest{Id: 1, IncludeInactive: true})
	found("an inactive user, asked for", u.GetUsername() == "doctor" && !u.GetIsActive(), err)
	us, err := bus.Ask(ctx, w.bus, subject.ListUsers, &meetv1.ListUsersRequest{IncludeInactive: true, UsernameContains: "DOC"})
	found("users", len(us.GetUsers()) == 1, err)
	us, err = bus.Ask(ctx, w.bus, subject.ListUsers, &meetv1.ListUsersRequest{EmailContains: "%\x00"})
	found("users that can't be", len(us.GetUsers()) == 0, err)
	stats, err := bus.Ask(ctx, w.bus, subject.GetUserStats, &meetv1.GetUserStatsRequest{})
	found("stats", proto.Equal(stats, &meetv1.UserStats{TotalUsers: 2, ActiveUsers: 1, InactiveUsers: 1, Admins: 1}), err)
	for password, want := range map[string]bool{"secret": true, "Secret": false, "": false} {
		ok, err := bus.Ask(ctx, w.bus, subject.VerifyPassword, &meetv1.VerifyPasswordRequest{UserId: 2, Password: password})
		found("password "+password, ok.GetOk() == want, err)
	}
	ok, err := bus.Ask(ctx, w.bus, subject.VerifyPassword, &meetv1.VerifyPasswordRequest{UserId: 1})
	found("no password", !ok.GetOk(), err)
	health, err := bus.Ask(ctx, w.bus, subject.CheckHealth, &meetv1.CheckHealthRequest{})
	found("health", health.GetDatabase(), err)
	wish, err := bus.Ask(bus.WithPrincipal(ctx, bus.Scheduler), w.bus, subject.GetMeetingWish, &meetv1.GetMeetingWishRequest{MeetingId: 1})
	found("wish", wish.GetDispatch() == 1 && wish.GetWish().GetGoogle().GetEventId() == "ev1" && len(wish.GetWish().GetGuests()) == 1, err)
	_, err = bus.Ask(bus.WithPrincipal(ctx, bus.Scheduler), w.bus, subject.GetMeetingWish, &meetv1.GetMeetingWishRequest{MeetingId: 2})
	absent("wish", err)
	es, err := bus.Ask(ctx, w.bus, subject.ListEvents, &meetv1.ListEventsRequest{MeetingId: 1, PageSize: 1})
	found("events", len(es.GetEvents()) == 1 && es.GetEvents()[0].GetType() == "meeting.created" && es.GetNextAfterSequence() == es.GetEvents()[0].GetSequence(), err)
	es, err = bus.Ask(ctx, w.bus, subject.ListEvents, &meetv1.ListEventsRequest{AfterSequence: 2})
	found("all events", len(es.GetEvents()) == 3 && es.GetNextAfterSequence() == 0, err)
}

func TestPagesAndFilters(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	const rows = 10_000
	w.exec(t, `INSERT INTO users (id, username, email, role, date_joined) SELECT n, 'u' || n, 'u' || n || '@x.example', 'external', $1 FROM generate_series(1, 10) n`, today)
	w.exec(t, `INSERT INTO meetings (id, uid, organizer_id, organizer_email, summary, description, time_zone, external_reference, auto_record, create_calendar_event,
		public_access, guests_can_see_each_other, status, provisioning, google_sync, recording_state, participants_count, version, wanted_version, generation, scheduled_start, created_at, updated_at)
		SELECT n, gen_random_uuid(), 1 + n % 10, '', '', '', 'UTC', CASE WHEN n % 100 = 0 THEN 'ref' ELSE '' END, false, true, false, false,
			CASE WHEN n % 50 = 0 THEN 'CANCELLED' ELSE 'CREATED' END, 'ready', 'ok', CASE WHEN n % 25 = 0 THEN 'missing' ELSE 'not_expected' END, 2, 1, 1, 1,
			CASE WHEN n % 2 = 0 THEN $1::timestamptz + n * interval '1 minute' END, $1, $1 FROM generate_series(1, $2::int) n`, today, rows)
	w.exec(t, `INSERT INTO participants (meeting_id, email, role, invited, created_at) SELECT n, CASE WHEN n % 1000 = 0 THEN 'Guest@x.example' ELSE 'g' || n || '@x.example' END, 'guest', true, $1 FROM generate_series(1, $2::int) n`, today, rows)
	all := func(req *meetv1.ListMeetingsRequest) (ids []int64, pages int) {
		t.Helper()
		for {
			resp, err := bus.Ask(within(t), w.bus, subject.ListMeetings, req)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, m := range resp.GetMeetings() {
				ids = append(ids, m.GetId())
			}
			if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
				return ids, pages
			}
		}
	}
	at := func(minutes int) *timestamppb.Timestamp {
		return timestamppb.New(today.Add(time.Duration(minutes) * time.Minute))
	}
	for name, c := range map[string]struct {
		req         *meetv1.ListMeetingsRequest
		rows, pages int
	}{
		"all, in the widest pages":          {&meetv1.ListMeetingsRequest{PageSize: 1000}, rows, 10},
		"all, a page that is not full last": {&meetv1.ListMeetingsRequest{PageSize: 999}, rows, 11},
		"an organizer":                      {&meetv1.ListMeetingsRequest{OrganizerId: 3}, rows / 10, 10},
		"a status":                          {&meetv1.ListMeetingsRequest{Status: meetv1.MeetingStatus_MEETING_STATUS_CANCELLED, PageSize: 1000}, rows / 50, 1},
		"a time":                            {&meetv1.ListMeetingsRequest{ScheduledStartFrom: at(100), ScheduledStartTo: at(200), PageSize: 7}, 51, 8},
		"a reference":                       {&meetv1.ListMeetingsRequest{ExternalReference: "ref"}, rows / 100, 1},
		"somebody invited":                  {&meetv1.ListMeetingsRequest{InvitedEmail: "gUEST@x.example"}, rows / 1000, 1},
		"a recording's state":               {&meetv1.ListMeetingsRequest{RecordingState: meetv1.RecordingState_RECORDING_STATE_MISSING, PageSize: 500}, rows / 25, 1},
		"several":                           {&meetv1.ListMeetingsRequest{ExternalReference: "ref", Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED}, 0, 1},
		"a NUL":                             {&meetv1.ListMeetingsRequest{ExternalReference: "\x00"}, 0, 1},
	} {
		ids, pages := all(c.req)
		if len(ids) != c.rows || pages != c.pages {
			t.Errorf("%s: %d rows in %d pages, want %d in %d", name, len(ids), pages, c.rows, c.pages)
		}
		if !slices.IsSortedFunc(ids, func(a, b int64) int { return int(b - a) }) || len(slices.Compact(ids)) != c.rows {
			t.Errorf("%s: not the newest first, or twice", name)
		}
	}
	for name, req := range map[string]*meetv1.ListMeetingsRequest{
		"too wide a page": {PageSize: 1001}, "a negative page": {PageSize: -1}, "no token": {PageToken: "x"}, "another's token": {PageToken: "YmVmb3JlOjE"},
		"a time that is none": {ScheduledStartFrom: &timestamppb.Timestamp{Seconds: math.MaxInt64}},
	} {
		if _, err := bus.Ask(within(t), w.bus, subject.ListMeetings, req); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	var participants int
	for token := ""; ; {
		resp, err := bus.Ask(within(t), w.bus, subject.ListParticipants, &meetv1.ListParticipantsRequest{PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		participants += len(resp.GetParticipants())
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if participants != rows {
		t.Errorf("%d participants", participants)
	}
}

// crowded counts how many reads run at once; odd ones panic.
type crowded struct {
	app.Reads
	mu        sync.Mutex
	now, most int
	once      sync.Once
	full      chan struct{}
	open      chan struct{}
}

func (c *crowded) Participant(_ context.Context, id int64) (*app.Participant, error) {
	if id < 0 {
		panic("odd")
	}
	c.mu.Lock()
	c.now++
	if c.most = max(c.most, c.now); c.now == sideBySide {
		c.once.Do(func() { close(c.full) })
	}
	c.mu.Unlock()
	<-c.open
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	return &app.Participant{ID: id}, nil
}

func TestQueriesRunSideBySideButNotAllAtOnce(t *testing.T) {
	w := newWorld(t)
	reads := &crowded{Reads: w.store, full: make(chan struct{}), open: make(chan struct{})}
	w.serve(t, reads)
	if _, err := bus.Ask(within(t), w.bus, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: -1}); fault.KindOf(err) != fault.Internal {
		t.Errorf("a panic: %v", err)
	}
	var asking sync.WaitGroup
	for n := range 2 * sideBySide {
		asking.Go(func() {
			p, err := bus.Ask(within(t), w.bus, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: int64(n + 1)})
			if err != nil || p.GetId() != int64(n+1) {
				t.Errorf("%v, %v", p, err)
			}
		})
	}
	select {
	case <-reads.full:
	case <-within(t).Done():
		t.Error("they do not run side by side")
	}
	close(reads.open)
	asking.Wait()
	if reads.most != sideBySide {
		t.Errorf("%d ran at once", reads.most)
	}
}

func TestMetricsSayWhatIsLeftToDo(t *testing.T) {
	w := newWorld(t)
	m := metrics(t, w.store, w.clock.Now)
	c := create("a@x.example")
	w.act(t, c)
	w.clock.Advance(90 * time.Second)
	if err := testutil.CollectAndCompare(newBacklog(w.store, w.clock.Now), strings.NewReader(`
# HELP meet_relay_lag_seconds Age of the oldest event that is not in the stream; 0 when all are. Every instance shows the same: max, not sum.
# TYPE meet_relay_lag_seconds gauge
meet_relay_lag_seconds 90
`), "meet_relay_lag_seconds"); err != nil {
		t.Error(err)
	}
	// One row is out; one becomes due, two wait for their time, one has failed.
	for n, row := range []string{"'due', $1", "'due', $1::timestamptz + interval '1 hour'", "'due', $1::timestamptz + interval '1 hour'", "'failed', $1"} {
		w.exec(t, `INSERT INTO jobs (id, class, kind, key, state, due_at, priority, dispatch, failed_attempts, created_at)
			VALUES (gen_random_uuid(), 'observe', 'check_recording', 'row`+strconv.Itoa(n)+`', `+row+`, 2, 0, 0, $1)`, w.clock.Now())
	}
	w.clock.Advance(30 * time.Second)
	var want strings.Builder
	want.WriteString("# HELP meet_jobs Job rows by class and state: planned for later (counted once a minute), due and not sent yet, out without an outcome, failed for good and still kept. Every instance shows the same: max, not sum.\n# TYPE meet_jobs gauge\n")
	for _, class := range subject.Classes() {
		n := map[string]map[string]int{"google": {"out": 1}, "observe": {"due": 1, "planned": 2, "failed": 1}}[class]
		for _, state := range []string{"due", "failed", "out", "planned"} {
			fmt.Fprintf(&want, "meet_jobs{class=%q,state=%q} %d\n", class, state, n[state])
		}
	}
	want.WriteString("# HELP meet_job_oldest_due_seconds How long ago the first of a class's jobs fell due that is not sent yet; 0 without any. Every instance shows the same: max, not sum.\n# TYPE meet_job_oldest_due_seconds gauge\n")
	for _, class := range subject.Classes() {
		fmt.Fprintf(&want, "meet_job_oldest_due_seconds{class=%q} %d\n", class, map[string]int{"observe": 30}[class])
	}
	if err := testutil.CollectAndCompare(newBacklog(w.store, w.clock.Now), strings.NewReader(want.String()), "meet_jobs", "meet_job_oldest_due_seconds"); err != nil {
		t.Error(err)
	}
	m.batch([]*received{{Command: *c}, {Command: app.Command{Kind: "meeting.update", Refusal: meeting.ErrNotFound}}, {Command: app.Command{Kind: "meeting.update", Err: fmt.Errorf("x")}}}, time.Millisecond)
	for _, labels := range [][]string{{"meeting.create", outcomeDone}, {"meeting.update", outcomeRefused}, {"meeting.update", outcomeFailed}} {
		if got := testutil.ToFloat64(m.commands.WithLabelValues(labels...)); got != 1 {
			t.Errorf("%v: %v", labels, got)
		}
	}
}

func FuzzPageToken(f *testing.F) {
	for _, s := range []string{"", token(1), token(math.MaxInt64), "YWZ0ZXI6", "YWZ0ZXI6LTE", "YWZ0ZXI6MA", "YWZ0ZXI6KzE", "%%%"} {
		f.Add(s, int32(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int32) {
		p, err := page(size, meetingPage, s)
		switch {
		case err != nil:
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q: %v", s, err)
			}
		case p.Limit < 1 || p.Limit > maxPage || p.After < 0 || (s != "") != (p.After > 0):
			t.Errorf("%q became %+v", s, p)
		case s != "":
			if back, err := page(size, meetingPage, token(p.After)); err != nil || back != p {
				t.Errorf("%q became %+v and %+v", s, p, back)
			}
		}
	})
}
