package scale

import (
	"strings"
	"testing"
	"time"
)

func TestTablesCompareWithOneOfEach(t *testing.T) {
	cpu := map[string]float64{"gateway": 0.25, "nats": 0.2, "meetings": 0.5, "postgres": 0.4, "scheduler": 0.3}
	r := &Result{
		Options: Options{Rounds: 3}, Taken: time.Date(2027, time.January, 2, 3, 4, 0, 0, time.UTC),
		Creates: []Creates{
			{Layout: Layout{1, 1, 1, 1}, PerSecond: 1000, CPU: cpu, IdleMB: map[string]float64{"gateway": 20}, BusyMB: map[string]float64{"gateway": 40}},
			{Layout: Layout{1, 3, 1, 1}, PerSecond: 950, CPU: cpu},
		},
		Google: []Google{{1, 200}, {2, 390}},
		NATS:   []Stored{{Servers: 3, Copies: 3, OneByOne: 2000, Pipelined: 30000}},
		Events: []Events{{Rows: 10_000_000, TableMB: 6000, Relayed: 9000, Creates: 900, PageMS: 0.4, GapMS: 3}},
	}
	var text string
	for _, part := range r.Markdown() {
		text += part.Markdown
	}
	for _, line := range []string{
		"| 1 / 3 / 1 / 1 | 950 | 95 % |", "| gateway | 20 | 40 | 4000 |", "| 2 | 390 | 195 % |", "| 3 | 3 | 2000 | 0.50 | 30000 |", "| 10000000 | 6000 | 9000 | 900 | 0.4 | 3.0 |",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestMedianIsTheMiddleOne(t *testing.T) {
	if got := median([]int{9, 1, 5}, func(n int) int { return n }); got != 5 {
		t.Errorf("median is %d", got)
	}
}
