package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

func decodeReply(tb testing.TB, c *app.Command) *meetv1.CommandReply {
	tb.Helper()
	reply := new(meetv1.CommandReply)
	if err := proto.Unmarshal(c.Reply, reply); err != nil {
		tb.Fatal(err)
	}
	return reply
}

// created is the meeting that a create was answered with.
func created(tb testing.TB, c *app.Command) *meetv1.Meeting {
	tb.Helper()
	out := new(meetv1.CreateMeetingResponse)
	if err := proto.Unmarshal(decodeReply(tb, c).GetResponse(), out); err != nil {
		tb.Fatal(err)
	}
	return out.GetMeeting()
}

func TestABatchOfAllKindsIsOneTransaction(t *testing.T) {
	i := newInstance(t)
	first := create("doctor@clinic.example", "p@mail.example", "q@mail.example")
	effects := i.accept(t, first, create("nurse@clinic.example"))
	if len(effects.Jobs) != 2 || effects.Jobs[0].Dispatch != 1 || !json.Valid(effects.Jobs[0].Body) {
		t.Fatalf("jobs %v", effects.Jobs)
	}
	batch := []*app.Command{
		create("Doctor@Clinic.example"),
		synced(1, 1, 1),
		update(1, meeting.Patch{Summary: new("new"), RemoveGuests: []string{"q@mail.example"}, AddGuests: []string{"doctor@clinic.example", "r@mail.example"}}),
		cancel(2),
		update(99, meeting.Patch{}),
		command("user.create", &app.CreateUser{Username: "root", Email: "root@clinic.example", Role: account.Admin, PasswordHash: "x"}),
	}
	effects = i.process(t, batch...)
	for n, c := range batch {
		if (c.Refusal != nil) != (n == 4) {
			t.Errorf("%s: %v", c.Kind, c.Refusal)
		}
	}
	if fault.KindOf(batch[4].Refusal) != fault.NotFound || decodeReply(t, batch[4]).GetFault().GetReason() != meeting.ReasonNotFound {
		t.Errorf("refusal %v", batch[4].Refusal)
	}
	if len(effects.Done) != 1 || effects.Done[0].Operation != first.ID.String() {
		t.Errorf("done %v", effects.Done)
	}
	if len(effects.Jobs) != 2 { // the third meeting's create and the first's change; the second's create is still out
		t.Errorf("%d jobs", len(effects.Jobs))
	}
	if got := ask[int64](t, i, `SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM meetings UNION ALL SELECT xmin FROM users WHERE username = 'root') AS written`); got != 1 {
		t.Errorf("%d transactions", got)
	}
	guests := column[string](t, i, `SELECT email || ' ' || role || ' ' || invited FROM participants WHERE meeting_id = 1 ORDER BY id`)
	if want := []string{"doctor@clinic.example organizer true", "p@mail.example guest true", "r@mail.example guest true"}; !slices.Equal(guests, want) {
		t.Errorf("participants %q", guests)
	}
	if got := ask[int32](t, i, `SELECT participants_count FROM meetings WHERE id = 1`); got != 3 {
		t.Errorf("count %d", got)
	}
	users := column[string](t, i, `SELECT username || ' ' || role FROM users ORDER BY id`)
	if want := []string{"doctor external", "nurse external", "root admin"}; !slices.Equal(users, want) {
		t.Errorf("users %q", users)
	}
	events := column[string](t, i, `SELECT type FROM events ORDER BY pos`)
	if want := []string{
		"user.created", "meeting.created", "user.created", "meeting.created", "meeting.created", "meeting.ready", "meeting.updated", "meeting.cancelled", "user.created",
	}; !slices.Equal(events, want) {
		t.Errorf("events %q", events)
	}
	if got := ask[int64](t, i, `SELECT count(*) FROM commands WHERE kind = 'meeting.synced'`); got != 0 {
		t.Errorf("%d rows of outcomes", got)
	}
	for _, event := range column[string](t, i, `SELECT body FROM events`) {
		if strings.Contains(event, "@") {
			t.Errorf("an event holds an address: %s", event)
		}
	}
	// Uninvited again, the organizer stays a participant.
	i.accept(t, update(1, meeting.Patch{RemoveGuests: []string{"DOCTOR@clinic.example"}}))
	if got := ask[string](t, i, `SELECT role || ' ' || invited FROM participants WHERE meeting_id = 1 AND email = 'doctor@clinic.example'`); got != "organizer false" {
		t.Errorf("organizer is %s", got)
	}
}

func TestARepeatIsAnsweredWithoutActing(t *testing.T) {
	i := newInstance(t)
	c := create("doctor@clinic.example")
	double := *c
	other := *c
	other.BodyHash = "another"
	i.accept(t, c)
	before := ask[string](t, i, `SELECT json_build_array((SELECT count(*) FROM meetings), (SELECT count(*) FROM events), (SELECT count(*) FROM commands))::text`)
	again := double
	i.process(t, &double, &other, &again)
	for _, repeat := range []*app.Command{&double, &again} {
		if !repeat.Replayed || string(repeat.Reply) != string(c.Reply) {
			t.Errorf("replayed %v", repeat.Replayed)
		}
	}
	if other.Replayed || fault.KindOf(other.Refusal) != fault.KeyReused || decodeReply(t, &other).GetFault().GetKind() != fault.KeyReused.String() {
		t.Errorf("another body: %v", other.Refusal)
	}
	if after := ask[string](t, i, `SELECT json_build_array((SELECT count(*) FROM meetings), (SELECT count(*) FROM events), (SELECT count(*) FROM commands))::text`); after != before {
		t.Errorf("rows %s, before %s", after, before)
	}
}

func TestRepeatsAndLateCommandsUseUpNoNumber(t *testing.T) {
	i := newInstance(t)
	c := create("doctor@clinic.example")
	i.accept(t, c)
	repeat, late := *c, create("doctor@clinic.example")
	late.Deadline = time.Now().Add(-time.Second)
	for range 3 {
		i.process(t, &repeat, late)
	}
	i.accept(t, create("doctor@clinic.example"))
	if got := ask[int64](t, i, `SELECT max(id) FROM meetings`); got != 2 {
		t.Errorf("the second meeting has number %d", got)
	}
}

func TestADoubleInOneBatchActsOnce(t *testing.T) {
	i := newInstance(t)
	c := create("doctor@clinic.example")
	double := *c
	effects := i.process(t, c, &double)
	if !double.Replayed || string(double.Reply) != string(c.Reply) || len(effects.Jobs) != 1 || ask[int64](t, i, `SELECT count(*) FROM meetings`) != 1 {
		t.Errorf("replayed %v, %d jobs", double.Replayed, len(effects.Jobs))
	}
}

func TestADoubleOnTwoInstancesAtOnceActsOnce(t *testing.T) {
	a := newInstance(t)
	b := a.another(t)
	for range 20 {
		c := create(fmt.Sprintf("d%d@clinic.example", rand.Uint32()))
		double := *c
		double.Do = &app.CreateMeeting{Spec: c.Do.(*app.CreateMeeting).Spec} // each instance decodes a message of its own
		var both sync.WaitGroup
		for _, run := range []struct {
			on *instance
			c  *app.Command
		}{{a, c}, {b, &double}} {
			both.Go(func() { run.on.Process(t.Context(), []*app.Command{run.c}) })
		}
		both.Wait()
		if c.Err != nil || double.Err != nil || c.Replayed == double.Replayed || string(c.Reply) != string(double.Reply) {
			t.Fatalf("errors %v, %v; replayed %v, %v", c.Err, double.Err, c.Replayed, double.Replayed)
		}
	}
	if got := ask[int64](t, a, `SELECT count(*) FROM meetings`); got != 20 {
		t.Errorf("%d meetings", got)
	}
}

// odd is a use case that breaks.
type odd struct {
	needs func(*app.Needs)
	apply func(*app.Unit) (app.Result, error)
}

func (o odd) Needs(n *app.Needs) {
	if o.needs != nil {
		o.needs(n)
	}
}

func (o odd) Apply(u *app.Unit, _ *app.Command) (app.Result, error) { return o.apply(u) }

func TestOneBrokenCommandHarmsNoOther(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		do     odd
		broken bool
	}{
		"a panic in the use case": {odd{apply: func(*app.Unit) (app.Result, error) { panic("odd") }}, true},
		"a panic in its needs":    {odd{needs: func(*app.Needs) { panic("odd") }}, true},
		"a text that no row holds": {odd{
			needs: func(n *app.Needs) { n.Usernames = append(n.Usernames, "a\x00b") },
			apply: func(*app.Unit) (app.Result, error) { return app.Result{}, nil },
		}, true},
		"a value that its column refuses": {odd{apply: func(u *app.Unit) (app.Result, error) {
			u.Events = append(u.Events, app.EventRow{ID: uuid.New(), Body: "\xff"})
			return app.Result{}, fault.New(fault.NotFound, "X", "so that no response is rendered")
		}}, true},
		"an error": {odd{apply: func(*app.Unit) (app.Result, error) { return app.Result{}, broken }}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstance(t)
			batch := make([]*app.Command, 0, 16)
			for n := range 16 {
				batch = append(batch, create(fmt.Sprintf("d%d@clinic.example", n%5)))
			}
			batch[11] = command("meeting.update", c.do)
			effects := i.Process(t.Context(), batch)
			for n, one := range batch {
				if n != 11 && (one.Err != nil || one.Refusal != nil || created(t, one).GetId() == 0) {
					t.Errorf("command %d: %v, %v", n, one.Err, one.Refusal)
				}
			}
			var b *app.BrokenError
			if errors.As(batch[11].Err, &b) != c.broken || batch[11].Err == nil {
				t.Errorf("the broken one: %v", batch[11].Err)
			}
			if len(effects.Jobs) != 15 || ask[int64](t, i, `SELECT count(*) FROM meetings`) != 15 || ask[int64](t, i, `SELECT count(*) FROM users`) != 5 {
				t.Errorf("%d jobs", len(effects.Jobs))
			}
			order := column[string](t, i, `SELECT organizer_email FROM meetings ORDER BY id`)
			for n, email := range order[:11] {
				if want := fmt.Sprintf("d%d@clinic.example", n%5); email != want {
					t.Errorf("meeting %d is of %s, want %s", n+1, email, want)
				}
			}
		})
	}
}

func TestWithoutADatabaseNothingIsTriedOneByOne(t *testing.T) {
	i := newInstance(t)
	if err := i.store.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.store.Start(context.WithoutCancel(t.Context())) }) // it is stopped once more
	batch := []*app.Command{create("a@x.example"), create("b@x.example")}
	i.Process(t.Context(), batch)
	for _, c := range batch {
		if !errors.Is(c.Err, app.ErrUnreachable) {
			t.Errorf("%v", c.Err)
		}
	}
}

func TestALateCommandIsRefusedAndMayBeAskedForAgain(t *testing.T) {
	i := newInstance(t)
	late := create("doctor@clinic.example")
	late.Deadline = time.Now().Add(-time.Millisecond)
	for range 2 { // the second is a copy of the first
		i.process(t, late)
		if fault.KindOf(late.Refusal) != fault.Expired || ask[int64](t, i, `SELECT count(*) FROM meetings`) != 0 {
			t.Fatalf("got %v", late.Refusal)
		}
	}
	again := *late
	again.Deadline = time.Now().Add(time.Hour)
	i.accept(t, &again)
	i.process(t, late) // one more copy, later still
	if !late.Replayed || decodeReply(t, late).GetFault() != nil || ask[int64](t, i, `SELECT count(*) FROM meetings`) != 1 {
		t.Errorf("replayed %v, %v", late.Replayed, decodeReply(t, late))
	}
	// A simulated clock far ahead makes no command late.
	i.clock.Advance(1000 * time.Hour)
	c := create("doctor@clinic.example")
	c.Deadline = time.Now().Add(time.Hour)
	i.accept(t, c)
}

func TestUsernamesAreUniqueAndAddressesDecideWhoIsWho(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("sam@a.example"), create("sam@b.example"), create("SAM@A.example"), create("İ@a.example"), create("i@a.example"))
	i.accept(t, create("sam@c.example"), create("sam@b.example"))
	users := column[string](t, i, `SELECT username || ' ' || email FROM users ORDER BY id`)
	want := []string{"sam sam@a.example", "sam-2 sam@b.example", "İ İ@a.example", "i i@a.example", "sam-5 sam@c.example"}
	if !slices.Equal(users, want) {
		t.Errorf("users %q", users)
	}
	user := func(name, email string) *app.Command {
		return command("user.create", &app.CreateUser{Username: name, Email: email, Role: account.Service})
	}
	batch := []*app.Command{user("sam", "new@a.example"), user("new", "Sam@a.example"), user("ann", "ann@a.example"), user("ann", "ann2@a.example"), user("", "x"), user("a\x00", "n@a.example")}
	i.process(t, batch...)
	var got []string
	for _, c := range batch {
		if c.Refusal == nil {
			got = append(got, "")
			continue
		}
		got = append(got, c.Refusal.Reason)
	}
	if want := []string{account.ReasonUsernameTaken, account.ReasonEmailTaken, "", account.ReasonUsernameTaken, fault.ReasonInvalid, fault.ReasonInvalid}; !slices.Equal(got, want) {
		t.Errorf("refusals %q", got)
	}
	change := func(id account.ID, p account.Patch) *app.Command {
		return command("user.update", &app.UpdateUser{ID: id, Patch: p})
	}
	ann := account.ID(ask[int64](t, i, `SELECT id FROM users WHERE username = 'ann'`))
	batch = []*app.Command{
		change(ann, account.Patch{Email: new("SAM@b.example")}), change(ann, account.Patch{Email: new("ANN@a.example"), Active: new(false)}),
		change(999, account.Patch{}), change(ann, account.Patch{LastName: new("\x00")}), change(ann, account.Patch{Active: new(false)}),
	}
	i.process(t, batch...)
	if fault.Of(batch[0].Refusal).Reason != account.ReasonEmailTaken || batch[1].Refusal != nil || fault.KindOf(batch[2].Refusal) != fault.NotFound ||
		fault.KindOf(batch[3].Refusal) != fault.Invalid || batch[4].Refusal != nil {
		t.Errorf("%v %v %v %v %v", batch[0].Refusal, batch[1].Refusal, batch[2].Refusal, batch[3].Refusal, batch[4].Refusal)
	}
	if got := ask[int64](t, i, `SELECT count(*) FROM events WHERE type = 'user.updated'`); got != 1 {
		t.Errorf("%d events", got)
	}
}

func TestOneOrganizerOnTwoInstancesIsOneUser(t *testing.T) {
	a := newInstance(t)
	b := a.another(t)
	for round := range 20 {
		email := fmt.Sprintf("d%d@clinic.example", round)
		first, second := create(email), create(email)
		var both sync.WaitGroup
		both.Go(func() { a.Process(t.Context(), []*app.Command{first}) })
		both.Go(func() { b.Process(t.Context(), []*app.Command{second}) })
		both.Wait()
		for _, c := range []*app.Command{first, second} {
			if c.Err != nil || c.Refusal != nil {
				t.Fatalf("round %d: %v, %v", round, c.Err, c.Refusal)
			}
		}
		if created(t, first).GetOrganizerId() != created(t, second).GetOrganizerId() {
			t.Fatal("two users")
		}
	}
}

// TestTwoInstancesNeverWaitInARing hammers the same organizers, meetings and users from two instances, unsorted.
func TestTwoInstancesNeverWaitInARing(t *testing.T) {
	a := newInstance(t)
	b := a.another(t)
	const meetings = 8
	for n := range meetings {
		a.accept(t, create(fmt.Sprintf("d%d@clinic.example", n)))
	}
	deadlocks := ask[int64](t, a, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
	var all sync.WaitGroup
	for n, on := range []*instance{a, b} {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(n)))
			for range 60 {
				batch := make([]*app.Command, 0, 24)
				for range 24 {
					id := 1 + random.Int64N(meetings)
					switch random.IntN(5) {
					case 0:
						batch = append(batch, create(fmt.Sprintf("d%d@clinic.example", random.IntN(40))))
					case 1:
						batch = append(batch, command("user.update", &app.UpdateUser{ID: account.ID(id), Patch: account.Patch{FirstName: new(fmt.Sprint(random.Uint32()))}}))
					case 2:
						batch = append(batch, synced(id, random.Int64N(50), random.Int64N(20)))
					default:
						batch = append(batch, update(id, meeting.Patch{Summary: new(fmt.Sprint(random.Uint32()))}))
					}
				}
				on.Process(t.Context(), batch)
				for _, c := range batch {
					if c.Err != nil {
						t.Errorf("%s: %v", c.Kind, c.Err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	a.exec(t, `SELECT pg_stat_clear_snapshot()`)
	if got := ask[int64](t, a, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); got != deadlocks {
		t.Errorf("%d deadlocks", got-deadlocks)
	}
	updates := ask[int64](t, a, `SELECT count(*) FROM events WHERE type = 'meeting.updated'`)
	accepted := ask[int64](t, a, `SELECT count(*) FROM commands WHERE kind = 'meeting.update' AND refused = ''`)
	if updates != accepted || updates == 0 { // each summary differs from the one before
		t.Errorf("%d events of %d changes", updates, accepted)
	}
}

func TestJobsBeyondTheLimitWaitForTheRelay(t *testing.T) {
	i := newInstance(t)
	sent := 0
	for n := range app.DispatchLimit/128 + 1 {
		batch := make([]*app.Command, 0, 128)
		for k := range 128 {
			batch = append(batch, create(fmt.Sprintf("d%d-%d@clinic.example", n, k)))
		}
		sent += len(i.accept(t, batch...).Jobs)
	}
	if sent != app.DispatchLimit {
		t.Errorf("%d jobs were sent", sent)
	}
	if effects := i.accept(t, synced(1, 1, 1), create("late@clinic.example")); len(effects.Jobs) != 0 {
		t.Error("a job went past those that wait")
	}
	if got := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE state = 'due'`); got != 129 {
		t.Errorf("%d jobs wait", got)
	}
}

func TestAFailedAttemptKeepsItsHistoryInTheRow(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("doctor@clinic.example"))
	for attempt := int64(1); attempt <= 2; attempt++ {
		i.accept(t, command("meeting.synced", &app.SyncOutcome{MeetingID: 1, Outcome: meeting.Outcome{
			Dispatch: attempt, Version: 1, Failure: &meeting.OutcomeFailure{Code: "QUOTA", Message: "a \x00 \u00e9", RetryAt: i.clock.Now().Add(time.Minute)},
		}}))
		i.clock.Advance(2 * time.Minute)
		i.exec(t, `UPDATE jobs SET state = 'out', dispatch = dispatch + 1, dispatched_at = $1`, i.clock.Now())
	}
	if got := ask[string](t, i, `SELECT jsonb_path_query_array(history, '$[*].code')::text || failed_attempts FROM jobs`); got != `["QUOTA", "QUOTA"]2` {
		t.Errorf("history %s", got)
	}
	i.accept(t, synced(1, 3, 1))
	if got := ask[string](t, i, `SELECT history::text || state FROM jobs`); got != "[]done" {
		t.Errorf("history %s", got)
	}
}

// TestNoCommandReadsMoreAsTheTablesGrow: plans made while the tables were empty must not stay when they are not. What was read
// is counted by the server itself.
func TestNoCommandReadsMoreAsTheTablesGrow(t *testing.T) {
	i := newInstance(t)
	const batches, size = 120, 16
	for n := range batches {
		batch := make([]*app.Command, 0, 3*size)
		for k := range size {
			id := int64(n*size + k + 1)
			batch = append(batch, create(fmt.Sprintf("d%d@clinic.example", id)))
			if n > 0 {
				batch = append(batch, synced(id-size, 1, 1), update(id-size, meeting.Patch{Status: new(meeting.Scheduled)}))
			}
		}
		i.accept(t, batch...)
	}
	// A connection reports what it did when it ends.
	if err := i.store.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.store.Start(context.WithoutCancel(t.Context())) }) // it is stopped once more
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ask[int64](t, i, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'meetings'`) > 0 {
		if ctx.Err() != nil {
			t.Fatal("the pools' connections stay")
		}
	}
	const commands = 3 * batches * size
	for _, c := range []struct{ what, sql string }{
		{"rows by scans of a table", `SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables WHERE relname <> 'relay'`},
		{"entries of indexes", `SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes`},
	} {
		if got := ask[int64](t, i, c.sql); got > 100*commands {
			t.Errorf("%d %s for %d commands", got, c.what, commands)
		} else {
			t.Logf("%d %s for %d commands", got, c.what, commands)
		}
	}
}
