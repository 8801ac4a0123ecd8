package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Target is something that a simulation must show.
type Target struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

const (
	callsHealthy = 5.0
	callsLossy   = 6.0
	finalWithin  = 15 * time.Minute
)

// Targets judges the run.
func (r *Result) Targets() []Target {
	calls, most := r.PerMeeting()[groupReading], callsLossy
	if r.Options.Lost == 0 && !r.Options.NoNotices {
		most = callsHealthy
	}
	late := SpreadOf(r.ToFinal)
	alarms := SpreadOf(r.Alarms)
	return []Target{
		{"meetings in the right state with the right reason", fmt.Sprint(r.Options.Meetings), fmt.Sprint(r.Right), r.Right == r.Options.Meetings && len(r.Wrong) == 0},
		{"silent ones", "0", fmt.Sprint(r.Silent), r.Silent == 0},
		{"calls of Google after the create, for a meeting", fmt.Sprintf("≤ %.0f", most), fmt.Sprintf("%.2f", calls), calls <= most},
		{"calls that Google's quotas refused for our pace", "0", fmt.Sprint(r.OwnRefusals), r.OwnRefusals == 0},
		{"from the file's being there to verified, p99", "≤ 15 min", fmt.Sprintf("%s (p50 %s, most %s)", short(late.P99), short(late.P50), short(late.Max)), late.N > 0 && late.P99 <= finalWithin},
		{
			"told within 10 min that nothing is recorded", fmt.Sprint(len(r.Alarms) + len(r.AlarmsMissed)),
			fmt.Sprintf("%d, at most %s later", len(r.Alarms), short(alarms.Max)), len(r.AlarmsMissed) == 0 && alarms.Max <= 2*r.Options.Grain,
		},
		{"times that something held the clock up", "0", fmt.Sprint(len(r.Stuck)), len(r.Stuck) == 0},
	}
}

// short leaves out what is 0.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Markdown is the whole result.
func (r *Result) Markdown() string {
	var b strings.Builder
	o := r.Options
	fmt.Fprintf(&b, "%s. %d days, %d meetings of %d organizers, %d schedulers, seed %d; simulated in %s, in %d jumps of at least %s.\n",
		r.Taken.Format("2006-01-02 15:04 UTC"), o.Days, o.Meetings, o.Organizers, o.Schedulers, o.Seed, r.Wall.Round(time.Second), r.Jumps, short(o.Grain))
	if o.NoNotices {
		b.WriteString("Without notices: conference records are read.\n")
	} else {
		fmt.Fprintf(&b, "Notices: %d sent, %d lost, %d doubled, %d reordered.\n", r.Notices.Published, r.Notices.Dropped, r.Notices.Duplicated, r.Notices.Reordered)
	}
	outage := "no outage"
	if o.Outage > 0 {
		outage = "an outage of " + short(o.Outage)
	}
	fmt.Fprintf(&b, "%.1f %% of calls refused as if a quota were full, %s, %d times a scheduler was killed.\n", 100*o.QuotaErrors, outage, r.Kills)
	b.WriteString("\n| it must show | wanted | got | |\n| --- | --- | --- | --- |\n")
	for _, t := range r.Targets() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.Name, t.Want, t.Got, map[bool]string{true: "yes", false: "**no**"}[t.Met])
	}
	b.WriteString("\n| what happened, by the emulator | meetings |\n| --- | ---: |\n")
	for _, outcome := range byCount(r.Outcomes) {
		fmt.Fprintf(&b, "| %s | %d |\n", outcome, r.Outcomes[outcome])
	}
	b.WriteString("\n| calls of Google | in all | for a meeting |\n| --- | ---: | ---: |\n")
	groups := r.PerMeeting()
	for _, g := range []string{groupCreate, groupReading, groupDownload, groupCalendar, groupPubsub, groupTokens} {
		fmt.Fprintf(&b, "| **%s** | %.0f | **%.2f** |\n", g, groups[g]*float64(o.Meetings), groups[g])
		if g != groupReading {
			continue
		}
		for _, method := range slices.Sorted(maps.Keys(r.Calls)) {
			if n := r.Calls[method]; n > 0 && group(method) == g {
				if method == "drive.files.get" {
					n -= r.Calls["drive.files.get:media"]
				}
				fmt.Fprintf(&b, "| `%s` | %d | %.2f |\n", method, n, float64(n)/float64(o.Meetings))
			}
		}
	}
	b.WriteString("\n| quota, calls in a minute | project, most of | organizer, most of |\n| --- | ---: | ---: |\n")
	for _, class := range slices.Sorted(maps.Keys(r.Peaks)) {
		p := r.Peaks[class]
		fmt.Fprintf(&b, "| %s | %d of %d | %d of %d |\n", class, p.Project, p.ProjectQuota, p.User, p.UserQuota)
	}
	after := SpreadOf(r.AfterOutage)
	if after.N > 0 {
		fmt.Fprintf(&b, "\n%d files came during the outage: they were verified %s after its end (p50), %s (p99), %s (most).\n", after.N, short(after.P50), short(after.P99), short(after.Max))
	}
	fmt.Fprintf(&b, "\nMemory at the end: meetings %.0f MB, the schedulers together %.0f MB, the emulator %.0f MB; database %.0f MB.\n", r.MeetingsMB, r.SchedulersMB, r.EmulatorMB, r.DatabaseMB)
	return b.String()
}

// Faults are what is wrong, for a person to look into.
func (r *Result) Faults() string {
	var b strings.Builder
	kinds := make(map[string]int)
	for _, w := range r.Wrong {
		kinds[w.Plan+": want "+w.Want+", got "+w.Got]++
	}
	for _, kind := range byCount(kinds) {
		fmt.Fprintf(&b, "%d × %s\n", kinds[kind], kind)
	}
	told := make(map[string]int)
	for _, w := range r.Wrong {
		kind := w.Want + w.Got
		if told[kind]++; told[kind] > 2 || len(w.Trace) == 0 {
			continue // more of the same
		}
		fmt.Fprintf(&b, "meeting %d (%s): want %s, got %s\n    %s\n", w.Meeting, w.Plan, w.Want, w.Got, strings.Join(w.Trace, "\n    "))
	}
	if len(r.AlarmsMissed) > 0 {
		fmt.Fprintf(&b, "not told that nothing is recorded: meetings %v\n", r.AlarmsMissed[:min(len(r.AlarmsMissed), 20)])
	}
	for _, s := range r.Stuck[:min(len(r.Stuck), 10)] {
		fmt.Fprintf(&b, "stuck at %s\n", s)
	}
	return b.String()
}

func byCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
}
