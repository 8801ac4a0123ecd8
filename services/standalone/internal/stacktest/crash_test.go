//go:build kill

package stacktest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// act is something that a caller asks for, and in the middle of which a program crashes.
type act string

const (
	create act = "create"
	space  act = "create without an event" // a bare space
	change act = "change"
	cancel act = "cancel"
	// outcome is a create too; the crash is when its outcome is carried out.
	outcome act = "outcome of a create"
	// cancelUnderWay cancels a meeting whose create is still under way.
	cancelUnderWay act = "cancel under way"
	// retried is a create that Google refuses for a while, until its row falls due again.
	retried act = "create in vain at first"
	// lostJob is a create whose job's message is lost by NATS.
	lostJob act = "create whose job is lost"
	// start is the start of the program, with a create under way.
	start act = "start"
	// lostStreams is the start of the relay after NATS has lost everything, with a create under way.
	lostStreams act = "start after the loss of the streams"
	// unreadable is a command that nobody can decode, and a create after it.
	unreadable act = "unreadable command"

	// recorded is a meeting that is held, recorded and copied to a folder, and the night after it.
	recorded act = "recording"
	// uploaded is the same with an object storage.
	uploaded act = "recording to S3"
	// crowded is one with so many people that what is read of it takes more than one command.
	crowded act = "recording of a crowd"
	// damaged is one whose copy is damaged before it is checked.
	damaged act = "damaged copy"
	// shared lets people read the file of a recording.
	shared act = "sharing of a recording"

	// restored is what follows a restore, with a create that was under way in the backup.
	restored act = "after a restore"
)

// crashes says which acts pass each place at which a program can be made to crash. A place that is not here fails the test.
func crashes() map[string][]act {
	return map[string][]act{
		"meetings.decided":        {start, create, outcome, change, cancel},
		"meetings.committed":      {start, create, outcome, change, cancel},
		"meetings.jobs_published": {create, outcome, change, cancel},
		"meetings.replied":        {create, outcome, change, cancel},
		"relay.numbered":          {create, change, cancel},
		"relay.published":         {create, change, cancel},
		// The one who commits sends a due job itself; the relay sends what failed and is due again.
		"relay.dispatched":         {retried},
		"relay.jobs_published":     {retried},
		"relay.resent":             {lostJob},
		"relay.streams_ensured":    {lostStreams},
		"relay.streams_marked":     {lostStreams},
		"bus.buried":               {unreadable},
		"meetings.done_published":  {create, outcome, change, cancel},
		"meetings.settled":         {create, outcome, change, cancel},
		"relay.marked":             {create, change, cancel},
		"scheduler.took_job":       {create, change, cancel},
		"scheduler.inserted_event": {create},
		"scheduler.created_space":  {space},
		"scheduler.patched_event":  {change},
		"scheduler.patched_space":  {create},
		"scheduler.deleted_event":  {cancel, cancelUnderWay},
		"scheduler.google_done":    {create, change, cancel},
		"scheduler.posted_outcome": {create, change, cancel},
		"scheduler.acked_job":      {create, change, cancel},
		// The calendar of the first event is read at once.
		"scheduler.followed_calendar": {create},
		"scheduler.noticed":           {recorded},
		"scheduler.acked_notices":     {recorded},
		"scheduler.observed":          {recorded},
		"scheduler.posted_observed":   {recorded},
		"scheduler.observed_part":     {crowded},

		"scheduler.export_took_job":       {recorded},
		"scheduler.export_created":        {recorded, uploaded},
		"scheduler.export_half":           {recorded, uploaded},
		"scheduler.export_streamed":       {recorded},
		"scheduler.export_synced":         {recorded},
		"scheduler.export_renamed":        {recorded},
		"scheduler.export_uploaded":       {uploaded},
		"scheduler.export_committed":      {recorded, uploaded},
		"scheduler.export_done":           {recorded},
		"scheduler.export_posted_outcome": {recorded},
		"scheduler.export_acked":          {recorded},
		"scheduler.export_fetched_anew":   {damaged},
		"scheduler.export_shared_one":     {shared},
		"scheduler.housekeeping_answered": {recorded},

		"restore.renewed":          {restored},
		"restore.commands_deleted": {restored},
		"restore.jobs_deleted":     {restored},
		"restore.events_emptied":   {restored},
		"restore.streams_made":     {restored},
	}
}

// atStart is how often a program passes a place before it serves: meetings gives the periodic jobs their rows then.
func atStart(name string) int {
	switch name {
	case "meetings.decided", "meetings.committed":
		return 1
	}
	return 0
}

// places are all names in calls of failpoint.Here in the services' source.
func places(t *testing.T) []string {
	t.Helper()
	call := regexp.MustCompile(`failpoint\.Here\("([^"]+)"\)`)
	seen := make(map[string]bool)
	var names []string
	for _, dir := range []string{"../../..", "../../../../pkg"} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range call.FindAllStringSubmatch(string(text), -1) {
				if !seen[m[1]] {
					seen[m[1]] = true
					names = append(names, m[1])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(names) == 0 {
		t.Fatal("no place was found")
	}
	return names
}

// atOnce is how many stacks run side by side: most of the time they wait for a lease to end.
const atOnce = 12

// onlyPlaces picks some of the places, to look into one.
var onlyPlaces = flag.String("crash.places", "", "regular expression of the failpoints to crash at; absent: all")

func TestKillAtEveryPlaceBetweenTwoWrites(t *testing.T) {
	names, cases := places(t), crashes()
	for _, name := range names {
		if len(cases[name]) == 0 {
			t.Errorf("failpoint %s has no case here: say in the middle of what a program crashes at it", name)
		}
	}
	for name := range cases {
		found := false
		for _, n := range names {
			found = found || n == name
		}
		if !found {
			t.Errorf("failpoint %s is not in the source any more", name)
		}
	}
	if *onlyPlaces != "" {
		names = slices.DeleteFunc(names, func(name string) bool { return !regexp.MustCompile(*onlyPlaces).MatchString(name) })
	}
	// One Postgres for all; each place has a database and everything else of its own.
	postgres := stacktest.Start(t, stacktest.Options{Throwaway: true})
	if err := postgres.Dump(t.Context(), os.DevNull); errors.Is(err, stacktest.ErrNoTool) && os.Getenv("CI") == "" {
		t.Logf("not shown: crashes after a restore (%v)", err)
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(cases[name], restored) })
	}
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	results := make(map[string]*crashResult, len(names))
	for _, name := range names {
		r := &crashResult{}
		results[name] = r
		r.stack = stacktest.Prepare(t, stacktest.Options{Postgres: postgres, Env: append([]string{"MEET_POSTGRES_CONNS=2"}, settings(t, cases[name])...)})
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r.promises, r.err = crashAt(t, r.stack, name, cases[name])
		})
	}
	all.Wait()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			r := results[name]
			if r.err != nil {
				t.Fatal(r.err)
			}
			r.stack.Drain(t)
			r.stack.Verify(t, r.promises)
			r.stack.End(t)
		})
	}
}

type crashResult struct {
	stack    *stacktest.Stack
	promises []*stacktest.Promise
	err      error
}

// crashAt runs each act while the program that has the place crashes at it, and starts it again.
func crashAt(t *testing.T, s *stacktest.Stack, name string, acts []act) ([]*stacktest.Promise, error) {
	t.Helper()
	ctx, stop := context.WithTimeoutCause(t.Context(), 6*time.Minute, errors.New("the case takes too long"))
	defer stop()
	if err := s.Run(ctx); err != nil {
		return nil, err
	}
	c := crash{stack: s, client: s.NewClient(), name: name, victim: s.Meetings[0]}
	if strings.HasPrefix(name, "scheduler.") {
		c.victim = s.Schedulers[0]
	}
	var promises []*stacktest.Promise
	for i, a := range acts {
		p, err := c.during(ctx, a, fmt.Sprintf("%s-%d", name, i))
		if p != nil {
			promises = append(promises, p)
		}
		if err == nil {
			err = s.AwaitRest(ctx)
		}
		if err != nil {
			return promises, fmt.Errorf("crash at %s in the middle of: %s: %w", name, a, err)
		}
	}
	return promises, nil
}

// crash is one place and the program that has it.
type crash struct {
	stack  *stacktest.Stack
	client *stacktest.Client
	name   string
	victim *stacktest.Process
}

const doctor = "doctor@clinic.example"

// during crashes the victim once in the middle of a and returns what was promised by then.
func (c crash) during(ctx context.Context, a act, reference string) (p *stacktest.Promise, err error) {
	pass := atStart(c.name) + 1
	ask := func() error { // what the crash is in the middle of
		p, _, err = c.client.Create(ctx, reference, doctor, nil)
		return err
	}
	switch a {
	case create:
	case outcome:
		pass++
	case space:
		ask = func() error {
			p, _, err = c.client.Create(ctx, reference, doctor, map[string]any{"create_calendar_event": false})
			return err
		}
	case change, cancel:
		if p, _, err = c.client.Create(ctx, reference, doctor, nil); err != nil {
			return nil, err
		}
		if err := c.stack.AwaitRest(ctx); err != nil {
			return p, err
		}
		ask = func() error { return c.client.Change(ctx, p, 1) }
		if a == cancel {
			ask = func() error { return c.client.Cancel(ctx, p) }
		}
	case retried:
		if err := c.stack.Faults(ctx, map[string]any{"match": "POST /calendar/v3/", "status": 503, "times": 4}); err != nil {
			return nil, err
		}
	case cancelUnderWay:
		if err := c.stack.Faults(ctx, map[string]any{"match": "/", "status": 503}); err != nil {
			return nil, err
		}
		if p, err = c.client.Accept(ctx, reference, doctor); err != nil {
			return nil, err
		}
		ask = func() error { return errors.Join(c.client.Cancel(ctx, p), c.stack.Faults(ctx)) }
	case lostJob:
		if err := c.stack.Schedulers[0].Kill(); err != nil {
			return nil, err
		}
		ask = func() error {
			p, err = c.client.Accept(ctx, reference, doctor)
			return errors.Join(err, c.stack.LoseJob(ctx))
		}
	case start, lostStreams:
		return c.duringStart(ctx, a, reference)
	case recorded, uploaded, crowded, damaged, shared:
		return c.duringRecording(ctx, a, reference)
	case restored:
		return c.afterRestore(ctx, reference)
	case unreadable:
		create := ask
		ask = func() error { return errors.Join(c.stack.Publish("meet.cmd.meeting.create", "no JSON"), create()) }
	}
	if err := c.victim.Kill(); err != nil {
		return p, err
	}
	if err := c.victim.Start(ctx, fmt.Sprintf("%s=%s:%d", failpoint.Variable, c.name, pass)); err != nil {
		return p, err
	}
	asked := make(chan error, 1)
	go func() { asked <- ask() }()
	select {
	case <-c.victim.Exited():
	case <-ctx.Done():
		return p, errors.New(c.victim.Name + " did not crash")
	}
	if err := errors.Join(c.victim.Crashed(), c.victim.Start(ctx)); err != nil {
		return p, err
	}
	if err := <-asked; err != nil {
		return p, err
	}
	if a == lostJob {
		return p, c.stack.Schedulers[0].Start(ctx)
	}
	return p, nil
}

// duringStart crashes the victim while it starts, with a create under way; of lostStreams, after NATS has lost everything.
func (c crash) duringStart(ctx context.Context, a act, reference string) (*stacktest.Promise, error) {
	if err := c.stack.Schedulers[0].Kill(); err != nil {
		return nil, err
	}
	p, err := c.client.Accept(ctx, reference, doctor)
	if err != nil {
		return nil, err
	}
	if err := c.victim.Kill(); err != nil {
		return p, err
	}
	if a == lostStreams {
		if err := errors.Join(c.stack.NATS.Kill(), c.stack.LoseJetStream(), c.stack.NATS.Start(ctx)); err != nil {
			return p, err
		}
	}
	if err := c.victim.Launch(failpoint.Variable + "=" + c.name); err != nil {
		return p, err
	}
	select {
	case <-c.victim.Exited():
	case <-ctx.Done():
		return p, errors.New(c.victim.Name + " did not crash")
	}
	return p, errors.Join(c.victim.Crashed(), c.victim.Start(ctx), c.stack.Schedulers[0].Start(ctx))
}

// afterRestore crashes meetings after-restore, runs it again and starts everything on what was restored.
func (c crash) afterRestore(ctx context.Context, reference string) (*stacktest.Promise, error) {
	s := c.stack
	// Google does not answer for now: what is asked for is under way in the backup, and done after it.
	if err := s.Faults(ctx, map[string]any{"match": "/", "status": 503}); err != nil {
		return nil, err
	}
	p, err := c.client.Accept(ctx, reference, doctor)
	if err != nil {
		return nil, err
	}
	dump := filepath.Join(filepath.Dir(s.JetStreamDir()), "backup")
	if err := errors.Join(s.Dump(ctx, dump), s.Faults(ctx)); err != nil {
		return p, err
	}
	if err := s.AwaitRest(ctx); err != nil {
		return p, err
	}
	told, err := one(stacktest.Query(ctx, s, pgx.RowTo[int64], "SELECT last_seq FROM relay"))
	if err = errors.Join(err, s.StopServices(), s.Restore(ctx, dump)); err != nil {
		return p, err
	}
	_, _, err = s.AfterRestore(ctx, []string{failpoint.Variable + "=" + c.name})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		return p, errors.Join(errors.New("after-restore did not crash"), err)
	}
	if _, _, err := s.AfterRestore(ctx, nil); err != nil {
		return p, err
	}
	entries, err := one(stacktest.Query(ctx, s, pgx.RowTo[int64], "SELECT count(*) FROM events WHERE type = 'database.restored' AND seq > $1", told))
	if err != nil || entries != 1 {
		return p, errors.Join(fmt.Errorf("%d events tell of the restore", entries), err)
	}
	return p, s.StartServices(ctx)
}
