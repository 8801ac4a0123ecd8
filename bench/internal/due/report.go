package due

import (
	"fmt"
	"strings"
	"time"
)

// Celery's figures, measured with such tasks on such a machine: the original's worker with Redis.
const (
	celeryEvenly  = "10 ms"
	celeryAtOnce  = "1,075 ms"
	celeryMemory  = "9.3 kB of worker memory for each pending one"
	celeryKilled  = "none of 1,000 redone 60 s after a kill -9"
	celeryFarAway = "each delivered again and again beyond one hour"
)

// Markdown is the whole result.
func (r *Result) Markdown() string {
	var b strings.Builder
	o := r.Options
	fmt.Fprintf(&b, "%s. A job looks at Google for one meeting: it is sent, a scheduler asks what to read, reads it at the emulator, and the\noutcome is committed. It is sent once its message is in NATS, and has started when the scheduler asks. %d schedulers, meetings, the gateway, nats-server, Postgres (with fsync) and the\nemulator share the machine.\n\n",
		r.Taken.Format("2006-01-02 15:04 UTC"), schedulers)
	b.WriteString("| due → | pending | sent p50 | sent p99 | started p50 | started p99 | most | all done | Celery, started |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n")
	for _, s := range r.Evenly {
		fmt.Fprintf(&b, "| %d a second for %d s | %d | %s | %s | %s | %s | %s | | p99 %s |\n", o.PerSecond, o.Seconds, s.Pending, ms(s.SentP50), ms(s.SentP99), ms(s.P50), ms(s.P99), ms(s.Max), celeryEvenly)
	}
	for _, s := range r.AtOnce {
		fmt.Fprintf(&b, "| %d at one moment, median of 5 | %d | %s | %s | %s | %s | %s | after %s | p50 %s |\n", s.Jobs, s.Pending, ms(s.SentP50), ms(s.SentP99), ms(s.P50), ms(s.P99), ms(s.Max), ms(s.Done), celeryAtOnce)
	}
	b.WriteString("\n| memory of meetings | MB |\n| --- | ---: |\n")
	for _, m := range r.Memory {
		fmt.Fprintf(&b, "| %d pending | %.0f |\n", m.Pending, m.MB)
	}
	fmt.Fprintf(&b, "\nCelery: %s; %s.\n", celeryMemory, celeryFarAway)
	fmt.Fprintf(&b, "\n| %d due at one moment, in the middle of them | started before | started twice | lost | all done after the kill |\n| --- | ---: | ---: | ---: | ---: |\n", o.AtOnce)
	for _, k := range r.Killed {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %.1f s |\n", k.What, k.Started, k.Twice, k.Lost, k.All.Seconds())
	}
	fmt.Fprintf(&b, "\nCelery: %s.\n", celeryKilled)
	return b.String()
}

func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}
