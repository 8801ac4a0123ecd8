package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/fx"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
)

func says(s Status) func(context.Context, *Visit) Finding {
	return func(context.Context, *Visit) Finding { return Finding{Status: s, Detail: "as told"} }
}

func TestACheckIsLookedAtOnlyWhenThoseBeforeItAreRight(t *testing.T) {
	d, err := New(false,
		Check{Name: "right", Run: says(OK)},
		Check{Name: "worn", Run: says(Warning)},
		Check{Name: "wrong", Run: says(Failed)},
		Check{Name: "after right", After: []string{"right", "worn"}, Run: says(OK)},
		Check{Name: "after wrong", After: []string{"right", "wrong"}, Run: says(OK)},
		Check{Name: "after that", After: []string{"after wrong"}, Run: says(OK)},
		Check{Name: "writes", Writes: true, Run: says(OK)},
		Check{Name: "panics", Run: func(context.Context, *Visit) Finding { panic("on purpose") }},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]Status)
	report := d.Visit(t.Context(), Options{})
	for _, c := range report.Results {
		got[c.Check] = c.Status
	}
	for name, want := range map[string]Status{
		"right": OK, "worn": Warning, "wrong": Failed, "after right": OK, "after wrong": Skipped, "after that": Skipped, "writes": Skipped, "panics": Failed,
	} {
		if got[name] != want {
			t.Errorf("%s is %s, want %s", name, got[name], want)
		}
	}
	if report.OK() || find(report, "after wrong").Detail != "not looked at before wrong is right" {
		t.Errorf("report is %+v", report)
	}
	if got := find(d.Visit(t.Context(), Options{Write: true}), "writes"); got.Status != OK {
		t.Errorf("asked to write: %+v", got)
	}
}

func TestAListOfChecksThatContradictsItselfIsRefused(t *testing.T) {
	for name, checks := range map[string][]Check{
		"two of a name": {{Name: "a"}, {Name: "a"}},
		"after later":   {{Name: "a", After: []string{"b"}}, {Name: "b"}},
		"after itself":  {{Name: "a", After: []string{"a"}}},
	} {
		if _, err := New(false, checks...); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// joined starts a bus over a server of its own.
func joined(t *testing.T) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{Name: "scheduler", Replicas: 1, Wait: visitTimeout, InProcess: natstest.New(t)}, quiet(t))
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return b
}

func stack(t *testing.T, b Broker) Report {
	t.Helper()
	d, err := New(false, StackChecks(b)...)
	if err != nil {
		t.Fatal(err)
	}
	return d.Visit(t.Context(), Options{})
}

func TestTheStackIsLookedAtOverNATS(t *testing.T) {
	b := joined(t)
	report := stack(t, Joined(b))
	if got := named(report, Failed); !slices.Equal(got, []string{"nats.consumers", "postgres"}) {
		t.Errorf("with nobody there, failed are %v:\n%s", got, report.text())
	}
	for stream, consumer := range map[string]jetstream.ConsumerConfig{
		subject.StreamCommands: subject.CommandConsumer(), subject.StreamJobs: subject.JobConsumer(subject.ClassGoogle),
	} {
		if _, err := b.JetStream().CreateConsumer(t.Context(), stream, consumer); err != nil {
			t.Fatal(err)
		}
	}
	database, broken := true, error(nil)
	queries, err := bus.ServeQueries(b, subject.ServiceMeetings, "1.0.0", 2, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = queries.Stop(context.WithoutCancel(t.Context())) })
	err = bus.Answer(queries, subject.CheckHealth, func(context.Context, *meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		return &meetv1.CheckHealthResponse{Database: database}, broken
	})
	if err != nil {
		t.Fatal(err)
	}
	if report := stack(t, Joined(b)); !report.OK() || len(named(report, OK)) != 4 {
		t.Errorf("a whole stack is\n%s", report.text())
	}
	database = false
	if got := find(stack(t, Joined(b)), "postgres"); got.Status != Failed || !strings.Contains(got.Detail, "can't reach Postgres") {
		t.Errorf("without Postgres: %+v", got)
	}
	broken = fault.New(fault.Unavailable, "X", "x")
	if got := find(stack(t, Joined(b)), "postgres"); got.Status != Failed || !strings.Contains(got.Detail, "could not tell") {
		t.Errorf("with a broken meetings: %+v", got)
	}
	if err := b.JetStream().DeleteStream(t.Context(), subject.StreamJobs); err != nil {
		t.Fatal(err)
	}
	if got := find(stack(t, Joined(b)), "nats.streams"); got.Status != Failed || !strings.Contains(got.Detail, subject.StreamJobs) {
		t.Errorf("without a stream: %+v", got)
	}
}

func TestAStackThatDoesNotRunIsNoMistakeBeforeItsStart(t *testing.T) {
	report := stack(t, Visited(bus.Config{URL: "nats://127.0.0.1:1"}))
	if got := named(report, Skipped); len(got) != 4 {
		t.Errorf("with no NATS:\n%s", report.text())
	}
	server := natstest.New(t)
	report = stack(t, Visited(bus.Config{URL: server.ClientURL()}))
	if find(report, "nats").Status != OK || !slices.Equal(named(report, Skipped), []string{"nats.streams", "nats.consumers", "postgres"}) {
		t.Errorf("with NATS alone:\n%s", report.text())
	}
	conn := natstest.Connect(t, server)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for info := range js.ListStreams(t.Context()).Info() {
		t.Errorf("it made the stream %s", info.Config.Name)
	}
	report = stack(t, Visited(bus.Config{URL: server.ClientURL(), Login: bus.Login{Creds: filepath.Join(t.TempDir(), "none.creds")}}))
	if got := find(report, "nats"); got.Status != Failed || !strings.Contains(got.Detail, "NATS_CREDS") {
		t.Errorf("with credentials that are not there: %+v", got)
	}
}

func TestTheSchedulerAnswersOverNATS(t *testing.T) {
	b, r := joined(t), newRig(t)
	d, err := New(true, append(GoogleChecks(r.target, NewTransport()), StackChecks(Joined(b))...)...)
	if err != nil {
		t.Fatal(err)
	}
	queries, err := d.Serve(t.Context(), b, quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = queries.Stop(context.WithoutCancel(t.Context())) })
	got, err := bus.Ask(t.Context(), b, subject.Diagnose, &meetv1.DiagnoseRequest{OrganizerEmail: organizer})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetOk() || !got.GetSimulated() || got.GetSeconds() <= 0 || len(got.GetChecks()) != 23 {
		t.Errorf("got %v", got)
	}
	for _, c := range got.GetChecks() {
		if c.GetStatus() == meetv1.SetupStatus_SETUP_STATUS_UNSPECIFIED || c.GetDetail() == "" {
			t.Errorf("check %v", c)
		}
	}
}

func TestAStopEndsAVisitAndWhatItMadeIsStillRemoved(t *testing.T) {
	b, r := joined(t), newRig(t)
	r.fault(googlefake.Fault{Match: "PATCH /v2/", Latency: time.Hour})
	app := fx.New(fx.NopLogger, Module, fx.Supply(
		google.Config{Mode: google.ModeEmulator, EmulatorURL: r.url, CalendarID: "primary", AdminEmail: admin}, google.Development(true), b, quiet(t)))
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := bus.Ask(t.Context(), b, subject.Diagnose, &meetv1.DiagnoseRequest{Write: true})
		asked <- err
	}()
	<-r.hung
	if len(r.live()) != 1 {
		t.Errorf("while Google hangs, live are %v", r.live())
	}
	begin := time.Now()
	if err := app.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > cleanTimeout {
		t.Errorf("the stop took %s", took)
	}
	if live := r.live(); len(live) > 0 {
		t.Errorf("events are left: %v", live)
	}
	if err := <-asked; err != nil {
		t.Errorf("who asked got %v", err)
	}
}

func TestAFeatureAddsItsChecksToTheGraph(t *testing.T) {
	b, r := joined(t), newRig(t)
	var d *Doctor
	app := fx.New(fx.NopLogger, Module,
		fx.Supply(google.Config{Mode: google.ModeEmulator, EmulatorURL: r.url, CalendarID: "primary", AdminEmail: admin}, google.Development(true), b, quiet(t)),
		Provide(func() Check {
			return Check{Name: "pubsub.topic", After: []string{"google.account"}, Run: func(ctx context.Context, v *Visit) Finding {
				if _, why := v.Google.Options(ctx, "", "pubsub", "/"); why.Code != "" {
					return Finding{Status: Failed, Detail: why.Said}
				}
				return Finding{Status: OK, Detail: "acts as " + v.Google.Key.Email}
			}}
		}),
		fx.Populate(&d),
	)
	if err := app.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	got, err := bus.Ask(t.Context(), b, subject.Diagnose, &meetv1.DiagnoseRequest{})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(got.GetChecks(), func(c *meetv1.SetupCheck) bool { return c.GetName() == "pubsub.topic" })
	if at < 0 || got.GetChecks()[at].GetDetail() != "acts as "+account {
		t.Errorf("found %v", got)
	}
}

func TestTheCommandSaysWhatItFoundAndExitsByIt(t *testing.T) {
	bad := &config.Error{Problems: []config.Problem{
		{Variable: "MEET_OPS_ADDR", Text: "is no host:port", Fix: "write as 127.0.0.1:9102"},
		{Variable: "GOOGLE_SERVICE_ACCOUNT_FILE", Text: "holds no service account's key"},
	}}
	for name, test := range map[string]struct {
		args     []string
		settings error
		out, err string
		exit     int
	}{
		"healthy":          {nil, nil, "18 ok, 0 warning, 0 failed, 6 skipped", "", 0},
		"as JSON":          {[]string{"-o", "json", "--organizer", organizer}, nil, `"ok": true`, "", 0},
		"settings wrong":   {nil, bad, "MEET_OPS_ADDR: is no host:port; write as 127.0.0.1:9102\n", "", 1},
		"a mistake":        {[]string{"--organizer=" + suspended}, nil, "failed   google.organizer", "", 1},
		"with write":       {[]string{"-write"}, nil, "made a Meet that records", "", 0},
		"help":             {[]string{"--help"}, nil, "", "-organizer address", 0},
		"an unknown flag":  {[]string{"--fix"}, nil, "", "flag provided but not defined: -fix", 2},
		"an argument":      {[]string{"now"}, nil, "", `takes no argument ("now")`, 2},
		"no such output":   {[]string{"-o", "xml"}, nil, "", `"xml" is not known`, 2},
		"a bad address":    {[]string{"--organizer", "x y"}, nil, "", "is no e-mail address", 2},
		"an address field": {[]string{"--organizer", "X <x@y.example>"}, nil, "", "is no e-mail address", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var out, errs bytes.Buffer
			exit := Command{
				Program: "scheduler", Settings: test.settings, Google: r.target, Broker: Visited(bus.Config{URL: "nats://127.0.0.1:1"}), Out: &out, Err: &errs,
			}.Run(t.Context(), test.args)
			r.noSecret(out.Bytes())
			if exit != test.exit || !strings.Contains(out.String(), test.out) || !strings.Contains(errs.String(), test.err) {
				t.Errorf("exit %d, want %d\n%s\n%s", exit, test.exit, &out, &errs)
			}
			if test.exit == 2 && out.Len() > 0 {
				t.Errorf("wrong use prints %s", &out)
			}
		})
	}
}

func TestAReportThatCantBeWrittenIsAFailure(t *testing.T) {
	r := newRig(t)
	reader, writer := io.Pipe()
	reader.CloseWithError(errors.New("gone"))
	if exit := (Command{Program: "scheduler", Google: r.target, Broker: Visited(bus.Config{URL: "nats://127.0.0.1:1"}), Out: writer, Err: io.Discard}).Run(t.Context(), nil); exit != 1 {
		t.Errorf("exit %d", exit)
	}
}

func TestTheReportIsTheSameInEveryForm(t *testing.T) {
	report := Report{Simulated: true, Results: []Result{{Check: "a", Finding: failed("p", "x\ny", "d\x1b[2J")}}}
	var shown struct {
		OK     bool
		Checks []map[string]any
	}
	if err := json.Unmarshal(report.json(), &shown); err != nil || shown.OK || shown.Checks[0]["paste"] != "x\ny" {
		t.Errorf("JSON is %s (%v)", report.json(), err)
	}
	if text := string(report.text()); !strings.Contains(text, "simulated") || strings.Contains(text, "\x1b") || !strings.Contains(text, "enter: x\n") {
		t.Errorf("text is %q", text)
	}
	if p := report.Proto(); p.GetOk() || p.GetChecks()[0].GetStatus() != meetv1.SetupStatus_SETUP_STATUS_FAILED {
		t.Errorf("proto is %v", p)
	}
}

func TestTheTargetIsTheOneThatTheJobsUse(t *testing.T) {
	started := func() string { return "http://127.0.0.1:9" }
	for name, test := range map[string]struct {
		config      google.Config
		development bool
		simulated   bool
		keyFile     string
		base        string
	}{
		"Google":                    {google.Config{KeyFile: "k"}, true, false, "k", ""},
		"an emulator":               {google.Config{EmulatorURL: "http://e:1/"}, true, true, "", "http://e:1"},
		"an emulator despite a key": {google.Config{Mode: google.ModeEmulator, KeyFile: "k", EmulatorURL: "http://e:1"}, false, true, "", "http://e:1"},
		"an emulator of its own":    {google.Config{EmulatorFrom: started}, true, true, "", "http://127.0.0.1:9"},
		"nothing, in production":    {google.Config{}, false, false, "", ""},
	} {
		got := TargetOf(test.config, test.development)
		if got.Simulated != test.simulated || got.KeyFile != test.keyFile || got.base() != test.base {
			t.Errorf("%s: %+v, base %q", name, got, got.base())
		}
	}
}

func TestTheEmulatorNeedsNoAccountAndNoKeyFile(t *testing.T) {
	r := newRig(t)
	r.target = TargetOf(google.Config{Mode: google.ModeEmulator, EmulatorURL: r.url, CalendarID: "primary"}, false)
	report := r.visit(Options{})
	if !report.OK() || find(report, "google.key").Status != OK || find(report, "google.admin").Status != Skipped {
		t.Errorf("with nobody named:\n%s", report.text())
	}
	report = r.visit(Options{Organizer: organizer, Write: true})
	if !report.OK() || find(report, "google.recording").Status != OK {
		t.Errorf("with an organizer:\n%s", report.text())
	}
	for name, url := range map[string]string{"no answer": "http://127.0.0.1:1", "no address": "", "another program": r.url + "/elsewhere"} {
		r.target.Emulator = func() string { return url }
		if got := find(r.visit(Options{}), "google.key"); got.Status != Failed || !strings.Contains(got.Place, "MEET_EMULATOR_URL") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	r.target.Away = "it is not running"
	if got := r.visit(Options{}); !got.OK() || find(got, "google.key").Detail != "it is not running" {
		t.Errorf("away: %s", got.text())
	}
}

func TestAKeyFileIsReadWithoutBeingShown(t *testing.T) {
	r := newRig(t)
	whole := string(r.ServiceAccountKey(r.url))
	damaged := strings.Replace(whole, "BEGIN PRIVATE KEY", "BEGIN SOMETHING", 1)
	for name, test := range map[string]struct{ text, detail string }{
		"not JSON":            {"hush-hush", "is not JSON"},
		"a person's login":    {`{"type":"authorized_user","refresh_token":"hush-hush"}`, "login of a person"},
		"a federation":        {`{"type":"external_account","x":"hush-hush"}`, "workload identity"},
		"a web client":        {`{"web":{"client_secret":"hush-hush"}}`, "OAuth client"},
		"anything":            {`{"type":"hush-hush"}`, `"type" is not "service_account"`},
		"half a key":          {`{"type":"service_account","private_key":"hush-hush"}`, "not a whole key"},
		"a damaged key":       {damaged, "is damaged"},
		"an address with one": {strings.Replace(whole, "http://", "http://u:hush-hush@", 3), "is no address"},
		"too large":           {strings.Repeat("hush-hush", keyLimit), "larger than any"},
	} {
		r.target.KeyFile = r.write(test.text)
		report := r.visit(Options{})
		got := find(report, "google.key")
		if got.Status != Failed || !strings.Contains(got.Detail, test.detail) || got.Paste == "" {
			t.Errorf("%s: %+v", name, got)
		}
		if bytes.Contains(report.json(), []byte("hush-hush")) {
			t.Errorf("%s: the content is shown: %s", name, report.json())
		}
	}
}

func TestThePagesNameWhatIsAskedForAndLookedAt(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("../../../../docs/how-to", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	connect := read("connect-google.md")
	if !strings.Contains(connect, "\n"+allScopes()+"\n") {
		t.Errorf("connect-google.md has another list of scopes than\n%s", allScopes())
	}
	for _, s := range scopes {
		if !strings.Contains(connect, "| `"+s.name+"` | ") {
			t.Errorf("connect-google.md does not say what %s is for", s.name)
		}
	}
	page := read("doctor.md")
	for _, c := range append(GoogleChecks(Target{}, nil), StackChecks(Broker{})...) {
		name := c.Name
		for _, family := range []string{"google.scope.", "google.api."} {
			if strings.HasPrefix(name, family) {
				name = family + "…"
			}
		}
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("doctor.md does not explain %s", c.Name)
		}
	}
}
