package googlefake

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func FuzzFilter(f *testing.F) {
	f.Add(`space.name = "spaces/x" AND start_time>="2026-01-01T00:00:00Z"`)
	f.Add(`end_time IS NULL`)
	f.Add(`event_types:"a" AND target_resource="b"`)
	f.Fuzz(func(t *testing.T, text string) {
		conditions, refusal := parseFilter(text, "space.name", "space.meeting_code", "start_time", "end_time")
		if refusal == nil && len(conditions) == 0 && strings.ContainsAny(text, `="`) && !strings.Contains(text, "/") { // a comment is nothing
			t.Errorf("%q asks for nothing", text)
		}
		for _, c := range conditions {
			if c.field == "" || c.op == "" || c.op != "null" && strings.HasSuffix(c.field, "_time") && c.time.IsZero() && !strings.Contains(c.text, "0001-01-01") {
				t.Errorf("%q: %+v", text, c)
			}
		}
		if match, refusal := subscriptionFilter(text); refusal == nil && match == nil {
			t.Error("neither a filter nor a refusal")
		}
	})
}

func FuzzFields(f *testing.F) {
	f.Add(`id,owners(emailAddress),a/b,*`)
	f.Fuzz(func(t *testing.T, text string) {
		tree, ok := parseFields(text)
		if !ok {
			return
		}
		body := selectFields([]byte(`{"id":"1","owners":[{"emailAddress":"a","me":true}],"a":{"b":1,"c":2}}`), tree)
		if len(body) < 2 || body[0] != '{' {
			t.Errorf("%q: %s", text, body)
		}
	})
}

func FuzzScript(f *testing.F) {
	f.Add([]byte(`{"code":"abc-defg-hij","starts":"2026-12-01T15:00:00Z","people":[{"email":"a@x.org","joins":"0s","leaves":"30m","rejoins":[{"joins":"40m","leaves":"50m"}]}],"recording":"two","file_after":"3m"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var script Script
		if decodeStrict(body, &script) != nil {
			return
		}
		plan, people, err := script.read(time.Unix(0, 0))
		if err != nil {
			var bad *fieldError
			if !errors.As(err, &bad) || bad.field == "" {
				t.Fatalf("%v names no field", err)
			}
			return
		}
		for _, c := range meetings(people) {
			c.Plan = plan
			if !c.Start.Before(c.End) || len(c.People) == 0 {
				t.Errorf("%+v", c)
			}
			for _, a := range c.artifacts(recordingKind, plan.Recording, c.Start) {
				if a.End.Before(a.Start) || a.End.After(c.End) || !a.Ready.IsZero() && a.Ready.Before(a.End) {
					t.Errorf("%+v in %+v", a, c)
				}
			}
		}
	})
}

func FuzzRecurrence(f *testing.F) {
	f.Add("RRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;TZID=Europe/Berlin:20260326T110000")
	f.Add("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")
	f.Add("RDATE:20260326T110000Z")
	f.Add("RRULE:FREQ=HOURLY;INTERVAL=2;BYHOUR=1;COUNT=5")
	s := newServer(f, Config{})
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		if checkRules(lines) != nil {
			return
		}
		master := &Event{ID: "series00001", Start: &EventTime{DateTime: "2026-03-19T10:00:00Z", TimeZone: "Europe/Berlin"}, Recurrence: lines}
		began := time.Now()
		got := s.series(master, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), 100, func(time.Time) bool { return true })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %v", text, took)
		}
		for i := range got {
			if i > 0 && !got[i-1].Before(got[i]) {
				t.Errorf("%q: %v", text, got)
			}
		}
	})
}
