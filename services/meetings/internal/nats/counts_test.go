package nats

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestCoverageCountsMeetingsByWhenTheyWereToEnd(t *testing.T) {
	w := newWorld(t)
	w.act(t, create("a@x.example"))
	now := w.clock.Now()
	for _, m := range []struct {
		state, reason string
		ended         time.Duration // ago
		of            int
	}{
		{"verified", "", time.Hour, 2},
		{"file_generated", "", 2 * time.Hour, 3},
		{"ended", "", 5 * time.Minute, 1},
		{"missing", "NEVER_STARTED", 23 * time.Hour, 1},
		{"missing", "NOT_HELD", 25 * time.Hour, 4},
		{"ended", "", 27 * time.Hour, 5}, // overdue
		{"expected", "", -time.Hour, 1},  // not over
		{"not_expected", "", time.Hour, 1},
		{"expected", "NOT_STARTED", -10 * time.Minute, 1},
		{"verified", "", 8 * 24 * time.Hour, 9},
	} {
		w.exec(t, `INSERT INTO meetings (uid, organizer_id, organizer_email, summary, description, time_zone, external_reference, auto_record, create_calendar_event,
			public_access, guests_can_see_each_other, status, provisioning, google_sync, recording_state, recording_reason, participants_count, version, wanted_version, generation,
			scheduled_start, scheduled_end, created_at, updated_at)
			SELECT gen_random_uuid(), 1, 'a@x.example', '', '', 'UTC', '', true, true, false, false, 'CREATED', 'ready', 'ok', $1, $2, 1, 1, 1, 1,
			$3::timestamptz - interval '30 minutes', $3, $4, $4 FROM generate_series(1, $5::int)`, m.state, m.reason, now.Add(-m.ended), now, m.of)
	}
	show := func(copied bool, lines string) {
		t.Helper()
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(newCoverage(w.store, copied, w.clock.Now))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var counted []string
		for _, f := range families {
			for _, m := range f.GetMetric() {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetValue())
				}
				if n := m.GetGauge().GetValue(); n != 0 {
					counted = append(counted, fmt.Sprintf("%s %s %v", strings.TrimPrefix(f.GetName(), "meet_"), strings.Join(labels, " "), n))
				}
			}
		}
		if text := strings.Join(counted, "\n"); text != lines {
			t.Errorf("copied %v:\n%s\nwant\n%s", copied, text, lines)
		}
	}
	const left = `
recordings_missing NEVER_STARTED 24h 1
recordings_missing NEVER_STARTED 7d 1
recordings_missing NOT_HELD 7d 4
recordings_not_started  1
recordings_overdue  5`
	show(false, `recordings missing 24h 1
recordings missing 7d 5
recordings secured 24h 5
recordings secured 7d 5
recordings under_way 24h 1
recordings under_way 7d 6`+left)
	show(true, `recordings missing 24h 1
recordings missing 7d 5
recordings secured 24h 2
recordings secured 7d 2
recordings under_way 24h 4
recordings under_way 7d 9`+left)
}

func TestARelayIsSeenByThoseThatStandBy(t *testing.T) {
	w := newWorld(t)
	idle := NewRelay(w.bus, w.store, Codec{}, w.clock.Now, w.clock.Alarm, metrics(t, w.store, w.clock.Now), quiet())
	if err := idle.Check(t.Context()); !errors.Is(err, errNoRelay) {
		t.Errorf("without a relay: %v", err)
	}
	lead, err := w.store.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := idle.Check(t.Context()); err != nil {
		t.Errorf("while another leads: %v", err)
	}
	if err := lead.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
