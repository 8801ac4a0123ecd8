package observability

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
)

// pace is how often rules are evaluated here.
const pace = time.Minute

// story is what happened, as series of a value a minute (Prometheus' own notation), and how long it is looked at.
type story struct {
	series string
	lasts  time.Duration
}

// history evaluates rules over a story.
type history struct {
	engine  *promql.Engine
	storage *teststorage.TestStorage
}

func tell(t *testing.T, s story) *history {
	t.Helper()
	load := "load 1m\n" + s.series
	h := &history{
		engine:  promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000),
		storage: promqltest.LoadedStorage(t, load),
	}
	t.Cleanup(func() { _ = h.storage.Close() })
	return h
}

func (h *history) ask(t *testing.T, expr string, at time.Time) promql.Vector {
	t.Helper()
	query, err := h.engine.NewInstantQuery(t.Context(), h.storage, nil, expr, at)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result := query.Exec(t.Context())
	if result.Err != nil {
		t.Fatalf("%s: %v", expr, result.Err)
	}
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return vector
}

// record evaluates the recording rules at a time.
func (h *history) record(t *testing.T, recording []rulefmt.Rule, at time.Time) {
	t.Helper()
	appender := h.storage.Appender(t.Context())
	for _, r := range recording {
		for _, s := range h.ask(t, r.Expr, at) {
			name := labels.NewBuilder(s.Metric).Set(model.MetricNameLabel, r.Record).Labels()
			if _, err := appender.Append(0, name, at.UnixMilli(), s.F); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
}

// fired tells whether an alert fires within a story: its condition holds for one set of labels as long as it asks for.
func fired(t *testing.T, all []rulefmt.Rule, alert rulefmt.Rule, s story) bool {
	t.Helper()
	var recording []rulefmt.Rule
	for _, r := range all {
		if r.Record != "" {
			recording = append(recording, r)
		}
	}
	h := tell(t, s)
	since := map[uint64]time.Time{}
	for at := time.Unix(0, 0); at.Sub(time.Unix(0, 0)) <= s.lasts; at = at.Add(pace) {
		h.record(t, recording, at)
		now := map[uint64]time.Time{}
		for _, held := range h.ask(t, alert.Expr, at) {
			began, before := since[held.Metric.Hash()]
			if !before {
				began = at
			}
			now[held.Metric.Hash()] = began
			if at.Sub(began) >= time.Duration(alert.For) {
				return true
			}
		}
		since = now
	}
	return false
}

// stories of each alert: one in which it has to fire, and one that comes near and in which it must not.
var stories = map[string]struct{ fires, quiet story }{
	"MeetServiceGone": {
		story{`up{job="gateway",instance="a"} 1x5
			up{job="meetings",instance="a"} 1x5 0x5
			up{job="scheduler",instance="a"} 1x10`, 10 * time.Minute},
		story{`up{job="gateway",instance="a"} 1x10
			up{job="meetings",instance="a"} 1x5 0x5
			up{job="meetings",instance="b"} 1x10
			up{job="scheduler",instance="a"} 1x10`, 10 * time.Minute},
	},
	"MeetInstanceDown": {
		story{`up{job="meetings",instance="a"} 0x10`, 10 * time.Minute},
		story{`up{job="meetings",instance="a"} 0x1 1x10
			up{job="prometheus",instance="p"} 0x10`, 10 * time.Minute},
	},
	"MeetNotReady": {
		story{`meet_ready{job="gateway",instance="a"} 0x10`, 10 * time.Minute},
		story{`meet_ready{job="gateway",instance="a"} 0x1 1x10`, 10 * time.Minute},
	},
	"MeetDependencyDegraded": {
		story{`meet_dependency_state{job="scheduler",instance="a",dependency="google"} 1x20`, 20 * time.Minute},
		story{`meet_dependency_state{job="scheduler",instance="a",dependency="google"} 1x10 0x10
			meet_dependency_state{job="scheduler",instance="a",dependency="nats"} 2x20`, 20 * time.Minute},
	},
	"MeetErrorBudgetBurnsFast": {
		story{`meet_http_requests_total{job="gateway",route="x",code="200"} 0+980x70
			meet_http_requests_total{job="gateway",route="x",code="503"} 0+20x70`, 70 * time.Minute},
		story{`meet_http_requests_total{job="gateway",route="x",code="200"} 0+990x70
			meet_http_requests_total{job="gateway",route="x",code="503"} 0+10x70
			meet_http_requests_total{job="gateway",route="x",code="502"} 0+500x70`, 70 * time.Minute},
	},
	"MeetErrorBudgetBurns": {
		story{`meet_http_requests_total{job="gateway",route="x",code="200"} 0+990x70
			meet_http_requests_total{job="gateway",route="x",code="500"} 0+10x70`, 70 * time.Minute},
		// One call of a quiet night failed.
		story{`meet_http_requests_total{job="gateway",route="x",code="200"} 0+1x70
			meet_http_requests_total{job="gateway",route="x",code="500"} 0x30 1x40`, 70 * time.Minute},
	},
	"MeetCallsSlow": {
		story{`meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/users",le="1"} 0+90x30
			meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/users",le="2.5"} 0+100x30
			meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/users",le="+Inf"} 0+100x30`, 30 * time.Minute},
		story{`meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/meetings",le="1"} 0+10x30
			meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/meetings",le="10"} 0+100x30
			meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/meetings",le="+Inf"} 0+100x30
			meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/users",le="1"} 0+100x30
			meet_http_request_duration_seconds_bucket{job="gateway",route="/api/v1/users",le="+Inf"} 0+100x30`, 30 * time.Minute},
	},
	"MeetRestarts": {
		story{`process_start_time_seconds{job="meetings",instance="a"} 1 2 3 4 5 5x20`, 10 * time.Minute},
		story{`process_start_time_seconds{job="meetings",instance="a"} 1 2 3 4 4x20
			process_start_time_seconds{job="prometheus",instance="p"} 0+1x20`, 10 * time.Minute},
	},
	"MeetTwoVersions": {
		story{`meet_build_info{job="meetings",instance="a",version="1",commit="c"} 1x130
			meet_build_info{job="meetings",instance="b",version="2",commit="d"} 1x130`, 130 * time.Minute},
		story{`meet_build_info{job="meetings",instance="a",version="1",commit="c"} 1x60
			meet_build_info{job="meetings",instance="b",version="2",commit="d"} 1x130`, 130 * time.Minute},
	},
	"MeetNoRelay": {
		story{`meet_relay_active{job="meetings",instance="a"} 1x5 0x5
			meet_relay_active{job="meetings",instance="b"} 0x10`, 10 * time.Minute},
		story{`meet_relay_active{job="meetings",instance="a"} 1x5 0x5
			meet_relay_active{job="meetings",instance="b"} 0x5 1x5`, 10 * time.Minute},
	},
	"MeetRelayLags": {
		story{`meet_relay_lag_seconds{job="meetings",instance="a"} 60x10`, 10 * time.Minute},
		story{`meet_relay_lag_seconds{job="meetings",instance="a"} 20x10
			meet_relay_lag_seconds{job="meetings",instance="b"} 20x10`, 10 * time.Minute},
	},
	"MeetConsumerLags": {
		story{`meet_consumer_pending{job="scheduler",instance="a",stream="MEET_JOBS",consumer="scheduler-google"} 0+100x40`, 40 * time.Minute},
		story{`meet_consumer_pending{job="scheduler",instance="a",stream="MEET_JOBS",consumer="scheduler-google"} 8000-100x40`, 40 * time.Minute},
	},
	"MeetMessagesComeBack": {
		story{`meet_consumer_redelivered{job="meetings",instance="a",stream="MEET_COMMANDS",consumer="meetings"} 80x20`, 20 * time.Minute},
		story{`meet_consumer_redelivered{job="meetings",instance="a",stream="MEET_COMMANDS",consumer="meetings"} 40x20
			meet_consumer_redelivered{job="meetings",instance="b",stream="MEET_COMMANDS",consumer="meetings"} 40x20`, 20 * time.Minute},
	},
	"MeetCommandsFail": {
		story{`meet_commands_total{job="meetings",instance="a",kind="meeting.create",outcome="failed"} 0+1x20`, 20 * time.Minute},
		story{`meet_commands_total{job="meetings",instance="a",kind="meeting.create",outcome="refused"} 0+9x20
			meet_commands_total{job="meetings",instance="a",kind="meeting.create",outcome="failed"} 0x3 1x20`, 20 * time.Minute},
	},
	"MeetDeadLetters": {
		story{`meet_stream_stored_total{job="meetings",instance="a",stream="MEET_DEAD"} 7x5 8x10`, 15 * time.Minute},
		story{`meet_stream_stored_total{job="meetings",instance="a",stream="MEET_DEAD"} 7x15
			meet_stream_stored_total{job="meetings",instance="a",stream="MEET_JOBS"} 0+9x15`, 15 * time.Minute},
	},
	"MeetQueueFills": {
		story{`meet_stream_bytes{job="meetings",instance="a",stream="MEET_JOBS"} 3000000000x10`, 10 * time.Minute},
		story{`meet_stream_bytes{job="meetings",instance="a",stream="MEET_JOBS"} 1500000000x10
			meet_stream_bytes{job="meetings",instance="b",stream="MEET_JOBS"} 1500000000x10
			meet_stream_bytes{job="meetings",instance="a",stream="MEET_EVENTS"} 9000000000x10`, 10 * time.Minute},
	},
	"MeetJobsLate": {
		story{`meet_job_oldest_due_seconds{job="meetings",instance="a",class="google"} 0+60x20`, 20 * time.Minute},
		story{`meet_job_oldest_due_seconds{job="meetings",instance="a",class="google"} 200x20`, 20 * time.Minute},
	},
	"MeetJobsFailed": {
		story{`meet_jobs{job="meetings",instance="a",class="google",state="failed"} 4x70 5x10`, 80 * time.Minute},
		story{`meet_jobs{job="meetings",instance="a",class="google",state="failed"} 4x80
			meet_jobs{job="meetings",instance="a",class="google",state="due"} 0+1x80`, 80 * time.Minute},
	},
	"MeetNothingCounted": {
		story{`meet_jobs{job="meetings",instance="a",class="google",state="due"} 1x20
			meet_recordings{job="meetings",instance="a",window="7d",outcome="secured"} 1x2`, 20 * time.Minute},
		story{`meet_jobs{job="meetings",instance="a",class="google",state="due"} 0x20
			meet_recordings{job="meetings",instance="b",window="7d",outcome="secured"} 0x20`, 20 * time.Minute},
	},
	"MeetGoogleDown": {
		story{`meet_google_breaker_state{job="scheduler",instance="a",api="calendar"} 2x10`, 10 * time.Minute},
		story{`meet_google_breaker_state{job="scheduler",instance="a",api="calendar"} 2x1 1 0x10`, 10 * time.Minute},
	},
	"MeetGoogleRefuses": {
		story{`meet_google_call_seconds_count{job="scheduler",method="calendar.events.insert",outcome="ok"} 0+5x30
			meet_google_call_seconds_count{job="scheduler",method="calendar.events.insert",outcome="GOOGLE_PERMISSION_DENIED"} 0+5x30`, 30 * time.Minute},
		story{`meet_google_call_seconds_count{job="scheduler",method="calendar.events.insert",outcome="ok"} 0+9x30
			meet_google_call_seconds_count{job="scheduler",method="calendar.events.insert",outcome="GOOGLE_PERMISSION_DENIED"} 0+1x30
			meet_google_call_seconds_count{job="scheduler",method="calendar.events.patch",outcome="GOOGLE_EVENT_GONE"} 0+9x30`, 30 * time.Minute},
	},
	"MeetGoogleQuotaRefused": {
		story{`meet_google_quota_refused_total{job="scheduler",class="calendar",scope="project"} 0+1x15`, 15 * time.Minute},
		story{`meet_google_quota_refused_total{job="scheduler",class="calendar",scope="project"} 0x5 3x10`, 15 * time.Minute},
	},
	"MeetGoogleQuotaUsedUp": {
		story{`meet_google_quota_left{job="scheduler",instance="a",class="meet_write"} 20x20
			meet_google_quota_budget{job="scheduler",instance="a",class="meet_write"} 800x20`, 20 * time.Minute},
		story{`meet_google_quota_left{job="scheduler",instance="a",class="meet_write"} 100x20
			meet_google_quota_budget{job="scheduler",instance="a",class="meet_write"} 800x20`, 20 * time.Minute},
	},
	"MeetRecordingNotStarted": {
		story{`meet_recordings_not_started{job="meetings",instance="a"} 1x5`, 5 * time.Minute},
		story{`meet_recordings_not_started{job="meetings",instance="a"} 0x5`, 5 * time.Minute},
	},
	"MeetRecordingMissing": {
		story{`meet_recordings_missing{job="meetings",instance="a",window="24h",reason="NEVER_STARTED"} 1x5`, 5 * time.Minute},
		story{`meet_recordings_missing{job="meetings",instance="a",window="24h",reason="NOT_HELD"} 9x5
			meet_recordings_missing{job="meetings",instance="a",window="7d",reason="NEVER_STARTED"} 9x5`, 5 * time.Minute},
	},
	"MeetRecordingOverdue": {
		story{`meet_recordings_overdue{job="meetings",instance="a"} 1x40`, 40 * time.Minute},
		story{`meet_recordings_overdue{job="meetings",instance="a"} 1x20 0x20`, 40 * time.Minute},
	},
	"MeetExportsFail": {
		story{`meet_export_failures_total{job="scheduler",step="exported",code="EXPORT_STORAGE_DENIED"} 0+1x10`, 10 * time.Minute},
		story{`meet_export_failures_total{job="scheduler",step="exported",code="EXPORT_STORAGE_DENIED"} 0 1 2 2x10`, 10 * time.Minute},
	},
	"MeetPoolExhausted": {
		story{`meet_postgres_pool_wait_seconds_total{job="meetings",instance="a",pool="commands"} 0+60x15`, 15 * time.Minute},
		story{`meet_postgres_pool_wait_seconds_total{job="meetings",instance="a",pool="commands"} 0+20x15
			meet_postgres_pool_wait_seconds_total{job="meetings",instance="b",pool="commands"} 0+20x15`, 15 * time.Minute},
	},
}

func TestAlertsFireWhenTheyShouldAndNotOtherwise(t *testing.T) {
	all := rules(t)
	told := 0
	for _, r := range all {
		if r.Alert == "" {
			continue
		}
		told++
		t.Run(r.Alert, func(t *testing.T) {
			s, ok := stories[r.Alert]
			if !ok {
				t.Fatal("nobody tells when it fires")
			}
			if !fired(t, all, r, s.fires) {
				t.Error("did not fire")
			}
			if fired(t, all, r, s.quiet) {
				t.Error("fired where nothing is the matter")
			}
		})
	}
	if told != len(stories) {
		t.Errorf("%d alerts and %d stories", told, len(stories))
	}
}

func TestRecordedRatiosAreThoseOfTheirParts(t *testing.T) {
	var recording []rulefmt.Rule
	for _, r := range rules(t) {
		if r.Record != "" {
			recording = append(recording, r)
		}
	}
	h := tell(t, story{series: `meet_recordings{instance="a",window="24h",outcome="secured"} 9
		meet_recordings{instance="b",window="24h",outcome="secured"} 9
		meet_recordings{instance="a",window="24h",outcome="missing"} 1
		meet_recordings{instance="b",window="24h",outcome="missing"} 1
		meet_recordings{instance="a",window="24h",outcome="under_way"} 5
		meet_recordings{instance="a",window="7d",outcome="secured"} 0
		meet_recordings{instance="a",window="7d",outcome="missing"} 0`})
	at := time.Unix(0, 0)
	h.record(t, recording, at)
	ratios := h.ask(t, "meet:recordings_secured:ratio", at)
	if len(ratios) != 1 || ratios[0].F != 0.9 || ratios[0].Metric.Get("window") != "24h" {
		t.Errorf("%v, want 0.9 of a day, and nothing of a week without any", ratios)
	}
}
