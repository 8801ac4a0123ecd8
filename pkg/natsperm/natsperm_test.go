package natsperm_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/natsperm"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

const patience = 10 * time.Second

// start runs a server with the users, their names as passwords.
func start(t *testing.T) *embeddednats.Server {
	t.Helper()
	config := embeddednats.Config{Addr: "127.0.0.1:0", StoreDir: t.TempDir()}
	for _, u := range natsperm.Users() {
		config.Users = append(config.Users, embeddednats.User{Name: u.Name, Password: u.Name, Publish: u.Publish, Subscribe: u.Subscribe})
	}
	s, err := embeddednats.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return s
}

// act is one thing that somebody tries.
type act struct {
	who  string
	does string // "publish" or "subscribe"
	what string
}

func (a act) String() string { return a.who + " " + a.does + " " + a.what }

// refused tells whether the server refuses the act.
func (a act) refused(t *testing.T, s *embeddednats.Server) bool {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(a.who, a.who), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if a.does == "subscribe" {
		_, err = conn.Subscribe(a.what, func(*nats.Msg) {})
	} else {
		err = conn.Publish(a.what, []byte("{}"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.FlushTimeout(patience); err != nil { // a refusal comes before the answer to this
		t.Fatal(err)
	}
	if err := conn.LastError(); err != nil {
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatal(err)
		}
		return true
	}
	return false
}

func TestNobodyDoesWhatIsNotItsWork(t *testing.T) {
	const (
		publish, subscribe = "publish", "subscribe"
		gw, mt, sc, ob     = natsperm.Gateway, natsperm.Meetings, natsperm.Scheduler, natsperm.Observer
	)
	s := start(t)
	for _, a := range []act{
		// The gateway brings no outcome, states no fact, makes no work, and hears none of it.
		{gw, publish, "meet.cmd.meeting.synced"},
		{gw, publish, "meet.cmd.recording.exported"},
		{gw, publish, "meet.cmd.recording.verified"},
		{gw, publish, "meet.cmd.recording.export_deleted"},
		{gw, publish, "meet.cmd.conference.observed"},
		{gw, publish, "meet.cmd.housekeeping.run"},
		{gw, publish, "meet.query.meetings.GetMeetingWish"},
		{gw, publish, "meet.query.meetings.GetConferencePlan"},
		{gw, publish, "meet.evt.meeting.created"},
		{gw, publish, "meet.job.google.sync_meeting"},
		{gw, publish, "meet.done.01936f5e-7c00-7000-8000-00000000000c"},
		{gw, publish, "meet.access.changed"},
		{gw, publish, "meet.state.google"},
		{gw, publish, "meet.dead.MEET_COMMANDS.meet.cmd.meeting.create"},
		{gw, publish, "$KV.meet_quota.calendar"},
		{gw, publish, "_INBOX_meetings.x.y"},
		{gw, subscribe, ">"},
		{gw, subscribe, "meet.>"},
		{gw, subscribe, "meet.cmd.>"},
		{gw, subscribe, "meet.query.meetings.GetMeeting"},
		{gw, subscribe, "meet.query.>"},
		{gw, subscribe, "meet.job.>"},
		{gw, subscribe, "_INBOX_scheduler.>"},
		{gw, subscribe, "_INBOX_meetings.>"},
		{gw, subscribe, "_INBOX.>"},
		{gw, subscribe, "$JS.ACK.>"},
		{gw, subscribe, "$JS.EVENT.ADVISORY.>"},
		// The scheduler asks for nothing that a person asks for, and answers nobody else's questions.
		{sc, publish, "meet.cmd.meeting.create"},
		{sc, publish, "meet.cmd.meeting.cancel"},
		{sc, publish, "meet.cmd.user.create"},
		{sc, publish, "meet.cmd.access.create_key"},
		{sc, publish, "meet.cmd.access.claim_admin"},
		{sc, publish, "meet.cmd.audit.record"},
		{sc, publish, "meet.cmd.privacy.erase"},
		{sc, publish, "meet.query.meetings.Authenticate"},
		{sc, publish, "meet.query.meetings.ListMeetings"},
		{sc, publish, "meet.query.meetings.ExportPerson"},
		{sc, publish, "meet.evt.recording.verified"},
		{sc, publish, "meet.job.google.sync_meeting"},
		{sc, publish, "meet.done.x"},
		{sc, publish, "$KV.meet_limits.key"},
		{sc, subscribe, "_INBOX_gateway.>"},
		{sc, subscribe, "meet.query.meetings.*"},
		{sc, subscribe, "meet.query.*.*"},
		{sc, subscribe, "meet.evt.>"},
		{sc, subscribe, "meet.done.*"},
		{sc, subscribe, ">"},
		// meetings, the truth, asks nobody to change it.
		{mt, publish, "meet.cmd.meeting.create"},
		{mt, publish, "meet.cmd.meeting.synced"},
		{mt, publish, "meet.query.meetings.Authenticate"},
		{mt, publish, "_INBOX_observer.x"},
		{mt, subscribe, "meet.cmd.>"},
		{mt, subscribe, "_INBOX_gateway.>"},
		{mt, subscribe, ">"},
		// The observer looks.
		{ob, publish, "meet.evt.meeting.created"},
		{ob, publish, "meet.cmd.meeting.cancel"},
		{ob, publish, "meet.query.meetings.GetMeeting"},
		{ob, publish, "$JS.API.INFO"},
		{ob, publish, "$JS.API.STREAM.MSG.GET.MEET_COMMANDS"},
		{ob, subscribe, "meet.cmd.>"},
		{ob, subscribe, "meet.job.>"},
		{ob, subscribe, "meet.>"},
		{ob, subscribe, ">"},
	} {
		if !a.refused(t, s) {
			t.Errorf("%s: not refused", a)
		}
	}
}

func TestNobodyDestroysOrReadsWhatIsStored(t *testing.T) {
	s := start(t)
	streams := []string{"KV_" + subject.BucketQuota, "KV_" + subject.BucketLimits}
	for _, stream := range subject.Streams(1) {
		streams = append(streams, stream.Name)
	}
	acts, mayEmpty := 0, 0
	for _, u := range natsperm.Users() {
		for _, stream := range streams {
			for _, verb := range []string{"STREAM.PURGE.", "STREAM.DELETE.", "STREAM.MSG.DELETE.", "STREAM.SNAPSHOT.", "STREAM.RESTORE.", "STREAM.MSG.GET.", "CONSUMER.NAMES.", "CONSUMER.LIST."} {
				what := "$JS.API." + verb + stream
				if u.Name == natsperm.Meetings && slices.Contains(u.Publish, what) { // after a restore it empties what it could empty by an update too
					mayEmpty++
					continue
				}
				acts++
				if a := (act{u.Name, "publish", what}); !a.refused(t, s) {
					t.Errorf("%s: not refused", a)
				}
			}
			acts++
			if a := (act{u.Name, "publish", "$JS.API.CONSUMER.CREATE." + stream}); !a.refused(t, s) { // an ephemeral one, with any filter
				t.Errorf("%s: not refused", a)
			}
		}
	}
	if want := 3; mayEmpty != want { // commands, jobs and events
		t.Errorf("meetings may destroy in %d ways, want %d", mayEmpty, want)
	}
	for _, who := range []string{natsperm.Gateway, natsperm.Scheduler, natsperm.Observer} {
		for _, stream := range subject.Streams(1) { // an update can empty a stream
			acts++
			if a := (act{who, "publish", "$JS.API.STREAM.UPDATE." + stream.Name}); !a.refused(t, s) {
				t.Errorf("%s: not refused", a)
			}
		}
	}
	for _, a := range []act{
		{natsperm.Gateway, "publish", "$JS.API.CONSUMER.CREATE.MEET_COMMANDS.meetings"},
		{natsperm.Gateway, "publish", "$JS.API.CONSUMER.MSG.NEXT.MEET_COMMANDS.meetings"},
		{natsperm.Gateway, "publish", "$JS.API.CONSUMER.MSG.NEXT.MEET_JOBS.scheduler-google"},
		{natsperm.Gateway, "publish", "$JS.ACK.MEET_COMMANDS.meetings.1.1.1.1.0"},
		{natsperm.Gateway, "publish", "$JS.API.DIRECT.GET.MEET_EVENTS"},
		{natsperm.Gateway, "publish", "$JS.API.DIRECT.GET.MEET_DEAD"},
		{natsperm.Gateway, "publish", "$JS.API.STREAM.CREATE.MINE"},
		{natsperm.Scheduler, "publish", "$JS.API.CONSUMER.CREATE.MEET_COMMANDS.meetings"},
		{natsperm.Scheduler, "publish", "$JS.API.CONSUMER.MSG.NEXT.MEET_COMMANDS.meetings"},
		{natsperm.Scheduler, "publish", "$JS.API.CONSUMER.CREATE.MEET_EVENTS.mine"},
		{natsperm.Scheduler, "publish", "$JS.API.CONSUMER.CREATE.MEET_JOBS.mine"},
		{natsperm.Scheduler, "publish", "$JS.API.CONSUMER.CREATE.MEET_JOBS.scheduler-google.meet.job.>"}, // another filter than its own
		{natsperm.Scheduler, "publish", "$JS.API.CONSUMER.DELETE.MEET_JOBS.scheduler-google"},
		{natsperm.Scheduler, "publish", "$JS.ACK.MEET_COMMANDS.meetings.1.1.1.1.0"},
		{natsperm.Scheduler, "publish", "$JS.API.DIRECT.GET.MEET_EVENTS"},
		{natsperm.Meetings, "publish", "$JS.API.CONSUMER.MSG.NEXT.MEET_JOBS.scheduler-google"},
		{natsperm.Meetings, "publish", "$JS.API.CONSUMER.CREATE.MEET_JOBS.scheduler-google.meet.job.google.*"},
		{natsperm.Meetings, "publish", "$JS.API.CONSUMER.DELETE.MEET_COMMANDS.meetings"},
		{natsperm.Meetings, "publish", "$JS.ACK.MEET_JOBS.scheduler-google.1.1.1.1.0"},
		{natsperm.Meetings, "publish", "$JS.API.STREAM.CREATE.MINE"},
		{natsperm.Meetings, "publish", "$SYS.REQ.SERVER.PING"},
	} {
		acts++
		if !a.refused(t, s) {
			t.Errorf("%s: not refused", a)
		}
	}
	t.Logf("%d acts", acts)
}

func TestWhatEachDoesIsAllowed(t *testing.T) {
	s := start(t)
	for _, u := range natsperm.Users() {
		for _, one := range u.Publish {
			if a := (act{u.Name, "publish", concrete(one)}); a.refused(t, s) {
				t.Errorf("%s: refused", a)
			}
		}
		for _, one := range u.Subscribe {
			if a := (act{u.Name, "subscribe", one}); a.refused(t, s) {
				t.Errorf("%s: refused", a)
			}
		}
	}
}

// concrete is one of the subjects that a pattern stands for.
func concrete(pattern string) string {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		if token == ">" {
			tokens[i] = "x"
		}
	}
	return strings.Join(tokens, ".")
}

func TestWhoIsNoUserStaysOut(t *testing.T) {
	s := start(t)
	for name, login := range map[string]nats.Option{
		"nobody": nats.Name("nobody"), "another": nats.UserInfo("root", "root"), "a wrong password": nats.UserInfo(natsperm.Meetings, natsperm.Gateway),
	} {
		if conn, err := nats.Connect(s.ClientURL(), login); err == nil {
			conn.Close()
			t.Errorf("%s got in", name)
		}
	}
}

// TestEveryCommandAndQueryIsSentByWhoMayAskForIt reads what is declared, so that none is forgotten.
func TestEveryCommandAndQueryIsSentByWhoMayAskForIt(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../subject/subject.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]natsperm.User{}
	for _, u := range natsperm.Users() {
		users[u.Name] = u
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		rule, ok := access.RuleOf(access.ActionOf(text))
		if !ok {
			return true
		}
		seen++
		outside := rule.Anyone || rule.Admin != access.None || slices.Contains(rule.Parts, access.Gateway)
		inside := rule.Anyone || slices.Contains(rule.Parts, access.Internal)
		if got := slices.Contains(users[natsperm.Gateway].Publish, text); got != outside {
			t.Errorf("%s: the gateway may send it: %t", text, got)
		}
		if got := slices.Contains(users[natsperm.Scheduler].Publish, text); got != inside {
			t.Errorf("%s: the scheduler may send it: %t", text, got)
		}
		if slices.Contains(users[natsperm.Meetings].Publish, text) || slices.Contains(users[natsperm.Observer].Publish, text) {
			t.Errorf("%s: who answers or looks may send it", text)
		}
		return true
	})
	if seen != len(access.Rules()) {
		t.Errorf("%d of %d commands and queries were seen", seen, len(access.Rules()))
	}
}
