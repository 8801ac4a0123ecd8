package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTargetsAreReachedMissedOrNotMeasured(t *testing.T) {
	r := Report{
		Rows: []Row{
			{Op: Create, Setting: OneCall, InFlight: 32, Drained: 1200, CPUProgram: 1, CPUPostgres: 0.7},
			{Op: Get, Setting: TableOf(50_000), InFlight: 32, PerSecond: 4499, CPUProgram: 0.2, CPUPostgres: 0.1},
		},
		Limits: Limits{Commits: []Commits{{Batch: 32, Passes: []float64{3000, 5000}}}},
	}
	r.Judge()
	text := r.Markdown()
	for _, want := range []string{
		"| create, 32 in flight, until the last job has drained                  | ≥ 1000/s |    1200/s | reached ",
		"| create, 32 in flight: CPU of all processes                            | ≤ 1.6 ms |    1.7 ms | **missed** ",
		"| create, 32 in flight, of what one connection commits in batches of 32 |   ≥ 25 % |      30 % | reached ",
		"| get, 32 in flight                                                     | ≥ 4500/s |    4499/s | **missed** ",
		"| get, 32 in flight: CPU of all processes                               | ≤ 0.4 ms |    0.3 ms | reached ",
		"| CPU when idle, of one core                                            |    ≤ 1 % |         – | not measured ",
		"Ours with 32 in flight (1200/s until drained) is 30 % of batches of 32.",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no line %q in\n%s", want, text)
		}
	}
}

func TestTheTablesReplaceThoseBetweenTheMarkers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	const begin, end = "<!-- bench: begin; written by make bench, not by hand -->", "<!-- bench: end -->"
	if err := os.WriteFile(file, []byte("# Page\n\n"+begin+"\nold\n"+end+"\n\nafter\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	r := Report{Note: "a remark"}
	for range 2 { // the second finds what the first wrote
		if err := r.WriteInto(file); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Page\n\n" + begin + "\n\n" + r.Markdown() + "\n" + end + "\n\nafter\n"; string(text) != want {
		t.Fatalf("got\n%s\nwant\n%s", text, want)
	}
	if err := os.WriteFile(file, []byte("# Page\n"+end+begin), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteInto(file); err == nil {
		t.Fatal("wrote into a page without markers")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "# Page\n"+end+begin {
		t.Fatalf("a page without markers was changed: %q, %v", text, err)
	}
}

func TestNumbersKeepTheDigitsThatCount(t *testing.T) {
	for in, want := range map[float64]string{0: "0", 0.4: "0.4", 0.456: "0.46", 3: "3", 1.6: "1.6", 25: "25", 12.34: "12.3", 999.6: "1000", 23456: "23456"} {
		if got := number(in); got != want {
			t.Errorf("number(%v) = %q, want %q", in, got, want)
		}
	}
}
