// Package report holds what a run measured, judges it by the project's targets, and writes it for people and for programs.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Operations and their settings.
const (
	Create        = "create"
	Get           = "get"
	List          = "list"
	PatchTime     = "patch, told to Google"
	PatchStatus   = "patch, status only"
	OneCall       = "1 Google call"
	ThreeCalls    = "defaults, 3 Google calls"
	FewOrganizers = "1 Google call, 10 organizers"
	Impersonated  = "1 Google call, each as its organizer"
)

// TableOf is the setting of a read from a table of so many rows.
func TableOf(rows int) string { return strconv.Itoa(rows/1000) + ",000 rows" }

// Report is one run.
type Report struct {
	Taken    time.Time `json:"taken"`
	Note     string    `json:"note,omitempty"`
	Machine  Machine   `json:"machine"`
	Versions Versions  `json:"versions"`
	Rows     []Row     `json:"rows"`
	Limits   Limits    `json:"limits"`
	Idle     Idle      `json:"idle"`
	// Statements of the database in the first seconds on a fresh one, the slowest mean first; nil where Postgres has no
	// pg_stat_statements.
	Statements []Statement `json:"statements,omitempty"`
	Targets    []Target    `json:"targets"`
}

// Machine is where it ran.
type Machine struct {
	CPU      string  `json:"cpu"`
	Cores    int     `json:"cores"`
	MemoryMB int     `json:"memory_mb"`
	Kernel   string  `json:"kernel"`
	FsyncMS  float64 `json:"fsync_ms"` // median of a write of 8 kB and its fdatasync
	Load     string  `json:"load"`     // averages of the run queue before the run
}

// LoadAverage is that of the last minute before the run; 0 where the system tells none.
func (m Machine) LoadAverage() float64 {
	minute, _, _ := strings.Cut(m.Load, " ")
	load, _ := strconv.ParseFloat(minute, 64) // empty: 0
	return load
}

// Versions of what was measured.
type Versions struct {
	Product  string `json:"product"`
	Go       string `json:"go"`
	Postgres string `json:"postgres"`
	NATS     string `json:"nats"`
}

// Row is one operation with so many in flight.
type Row struct {
	Op       string `json:"op"`
	Setting  string `json:"setting,omitempty"`
	InFlight int    `json:"in_flight"`
	Done     int    `json:"done"`
	Failed   int    `json:"failed"`
	Error    string `json:"error,omitempty"`

	// PerSecond counts to the last answer, Drained to when the last job was done and the last event numbered; 0 for reads.
	PerSecond float64 `json:"per_second"`
	Drained   float64 `json:"drained_per_second,omitempty"`
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
	// CPU of one operation in ms, to when all was drained.
	CPUProgram  float64 `json:"cpu_program_ms"`
	CPUPostgres float64 `json:"cpu_postgres_ms"`
	CPULoad     float64 `json:"cpu_load_ms"`
	// GoogleCalls of one operation, tokens apart.
	GoogleCalls float64 `json:"google_calls"`
}

// CPU of one operation in all processes but the load generator, ms.
func (r Row) CPU() float64 { return r.CPUProgram + r.CPUPostgres }

// Limits of the machine.
type Limits struct {
	// Commits of creates a second through one connection, theirs and their outcomes' rows, by batch size.
	Commits []Commits `json:"commits"`
	// Inserted and Updated rows of one create.
	Inserted int `json:"inserted_rows"`
	Updated  int `json:"updated_rows"`
	// Published messages a second.
	PublishedOneByOne  float64 `json:"published_one_by_one"`
	PublishedPipelined float64 `json:"published_pipelined"`
	MessageBytes       int     `json:"message_bytes"`
}

// Commits is one batch size; Passes are the rates of each pass.
type Commits struct {
	Batch  int       `json:"batch"`
	Passes []float64 `json:"passes"`
}

// Mean of the passes.
func (c Commits) Mean() float64 {
	var sum float64
	for _, p := range c.Passes {
		sum += p
	}
	return sum / float64(max(len(c.Passes), 1))
}

// Idle is what it takes when nothing happens.
type Idle struct {
	ProgramPSSMB  float64 `json:"program_pss_mb"`
	PostgresPSSMB float64 `json:"postgres_pss_mb"`
	// After the whole run: caches are full then.
	AfterProgramPSSMB  float64 `json:"after_program_pss_mb"`
	AfterPostgresPSSMB float64 `json:"after_postgres_pss_mb"`
	CPUPercent         float64 `json:"cpu_percent"` // of one core
	Seconds            float64 `json:"seconds"`
}

// Statement is one of the database's.
type Statement struct {
	Text   string  `json:"text"` // its beginning
	Calls  int64   `json:"calls"`
	MeanMS float64 `json:"mean_ms"`
	MaxMS  float64 `json:"max_ms"`
}

// Target is a figure that the project wants, and what was measured.
type Target struct {
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Want     float64 `json:"want"`
	AtMost   bool    `json:"at_most"` // else at least
	Measured float64 `json:"measured"`
	Missing  bool    `json:"missing,omitempty"` // it was not measured
}

// Met tells whether it was reached.
func (t Target) Met() bool {
	if t.Missing {
		return false
	}
	if t.AtMost {
		return t.Measured <= t.Want
	}
	return t.Measured >= t.Want
}

// Find gives the row of an operation; false when it was not measured.
func (r *Report) Find(op, setting string, inFlight int) (Row, bool) {
	for _, row := range r.Rows {
		if row.Op == op && row.Setting == setting && row.InFlight == inFlight {
			return row, true
		}
	}
	return Row{}, false
}

// Judge fills Targets. The busiest rows are those of 32 in flight.
func (r *Report) Judge() {
	const busy = 32
	r.Targets = nil
	add := func(what, unit string, atMost bool, want, measured float64, found bool) {
		r.Targets = append(r.Targets, Target{What: what, Unit: unit, AtMost: atMost, Want: want, Measured: measured, Missing: !found})
	}
	large := TableOf(50_000)
	create, ok := r.Find(Create, OneCall, busy)
	add("create, 32 in flight, until the last job has drained", "/s", false, 1000, create.Drained, ok)
	add("create, 32 in flight: CPU of all processes", "ms", true, 1.6, create.CPU(), ok)
	var share float64
	limit, limited := r.batch(busy)
	if ok && limited {
		share = 100 * create.Drained / limit
	}
	add("create, 32 in flight, of what one connection commits in batches of 32", "%", false, 25, share, ok && limited)
	defaults, ok := r.Find(Create, ThreeCalls, busy)
	add("create with defaults, 32 in flight: CPU of all processes", "ms", true, 2.2, defaults.CPU(), ok)
	lone, ok := r.Find(Create, OneCall, 1)
	add("create, alone: p50", "ms", true, 8, lone.P50MS, ok)
	get, ok := r.Find(Get, large, busy)
	add("get, 32 in flight", "/s", false, 4500, get.PerSecond, ok)
	add("get, 32 in flight: CPU of all processes", "ms", true, 0.4, get.CPU(), ok)
	patch, ok := r.Find(PatchTime, "", busy)
	add("patch told to Google, 32 in flight", "/s", false, 1700, patch.PerSecond, ok)
	list, ok := r.Find(List, large, busy)
	add("list, 100 of 50,000, 32 in flight", "/s", false, 1100, list.PerSecond, ok)
	list, ok = r.Find(List, large, 1)
	add("list, 100 of 50,000, alone: p50", "ms", true, 3, list.P50MS, ok)
	add("memory when idle, Postgres included", "MB", true, 150, r.Idle.ProgramPSSMB+r.Idle.PostgresPSSMB, r.Idle.Seconds > 0)
	add("CPU when idle, of one core", "%", true, 1, r.Idle.CPUPercent, r.Idle.Seconds > 0)
	var slowest float64
	if len(r.Statements) > 0 {
		slowest = r.Statements[0].MeanMS
	}
	add("slowest statement on a fresh database, mean", "ms", true, 1, slowest, len(r.Statements) > 0)
}

// batch is the rate of one batch size.
func (r *Report) batch(size int) (float64, bool) {
	for _, c := range r.Limits.Commits {
		if c.Batch == size {
			return c.Mean(), true
		}
	}
	return 0, false
}

// WriteInto puts the tables into the file, in place of those between the markers.
func (r *Report) WriteInto(file string) error { return Insert(file, "bench", r.Markdown()) }

// Insert puts tables into the file, in place of what stands between the two markers of that name, whose first word is the target of
// make that writes them.
func Insert(file, name, tables string) error {
	target, _, _ := strings.Cut(name, " ")
	begin, end := "<!-- "+name+": begin; written by make "+target+", not by hand -->", "<!-- "+name+": end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return fmt.Errorf("write the tables: %s has not both markers, %q and %q", file, begin, end)
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	out := string(before) + begin + "\n\n" + tables + "\n" + end + string(after)
	partial := file + ".partial"
	if err := os.WriteFile(partial, []byte(out), info.Mode()); err != nil { //nolint:gosec // the page that the caller named
		return fmt.Errorf("write the tables: %w", err)
	}
	if err := os.Rename(partial, file); err != nil {
		return errors.Join(fmt.Errorf("write the tables: %w", err), os.Remove(partial))
	}
	return nil
}

// Markdown is the whole report.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d cores of %s, %d MB, Linux %s, fsync of 8 kB %.2f ms, load before %s.\n",
		r.Taken.UTC().Format("2006-01-02 15:04 UTC"), r.Machine.Cores, r.Machine.CPU, r.Machine.MemoryMB, r.Machine.Kernel, r.Machine.FsyncMS, r.Machine.Load)
	fmt.Fprintf(&b, "Meet Middleware %s, %s, PostgreSQL %s, nats-server %s; load generator on the same cores.\n",
		r.Versions.Product, r.Versions.Go, r.Versions.Postgres, r.Versions.NATS)
	if r.Note != "" {
		fmt.Fprintf(&b, "**%s**\n", r.Note)
	}
	b.WriteString("\n### Targets\n\n")
	r.writeTargets(&b)
	b.WriteString("\n### Operations\n\n")
	r.writeRows(&b)
	b.WriteString("\n### Limits in the same run\n\n")
	r.writeLimits(&b)
	b.WriteString("\n### Idle\n\n")
	i := r.Idle
	fmt.Fprintf(&b, "%.0f MB PSS after the start (program %.0f, Postgres %.0f) and %.1f %% of one core over %.0f s; %.0f MB after the whole run (program %.0f, Postgres %.0f).\n",
		i.ProgramPSSMB+i.PostgresPSSMB, i.ProgramPSSMB, i.PostgresPSSMB, i.CPUPercent, i.Seconds,
		i.AfterProgramPSSMB+i.AfterPostgresPSSMB, i.AfterProgramPSSMB, i.AfterPostgresPSSMB)
	if len(r.Statements) > 0 {
		b.WriteString("\n### Statements in the first seconds on a fresh database\n\n")
		r.writeStatements(&b)
	}
	return b.String()
}

func (r *Report) writeTargets(b *strings.Builder) {
	rows := [][]string{{"target", "wanted", "measured", ""}}
	for _, t := range r.Targets {
		sign := "≥ "
		if t.AtMost {
			sign = "≤ "
		}
		measured, verdict := number(t.Measured)+unit(t.Unit), "reached"
		if t.Missing {
			measured, verdict = "–", "not measured"
		} else if !t.Met() {
			verdict = "**missed**"
		}
		rows = append(rows, []string{t.What, sign + number(t.Want) + unit(t.Unit), measured, verdict})
	}
	writeTable(b, rows, "lrrl")
}

func (r *Report) writeRows(b *strings.Builder) {
	rows := [][]string{{"operation", "setting", "in flight", "/s", "drained /s", "p50 ms", "p99 ms", "CPU program + Postgres = all, ms", "load gen. ms", "Google calls", "failed"}}
	for _, o := range r.Rows {
		drained := "–"
		if o.Drained > 0 {
			drained = number(o.Drained)
		}
		rows = append(rows, []string{
			o.Op, o.Setting, strconv.Itoa(o.InFlight), number(o.PerSecond), drained, number(o.P50MS), number(o.P99MS),
			fmt.Sprintf("%.2f + %.2f = %.2f", o.CPUProgram, o.CPUPostgres, o.CPU()), fmt.Sprintf("%.2f", o.CPULoad),
			fmt.Sprintf("%.2f", o.GoogleCalls), strconv.Itoa(o.Failed),
		})
	}
	writeTable(b, rows, "llrrrrrrrrr")
}

func (r *Report) writeLimits(b *strings.Builder) {
	l := r.Limits
	rows := [][]string{{"what", "/s", "passes"}}
	for _, c := range l.Commits {
		what := fmt.Sprintf("creates committed on one connection, batches of %d", c.Batch)
		if c.Batch == 1 {
			what = "creates committed on one connection, one by one"
		}
		var passes []string
		for _, p := range c.Passes {
			passes = append(passes, number(p))
		}
		rows = append(rows, []string{what, number(c.Mean()), strings.Join(passes, ", ")})
	}
	if l.MessageBytes > 0 {
		rows = append(rows,
			[]string{fmt.Sprintf("messages of %d bytes stored by JetStream, one by one", l.MessageBytes), number(l.PublishedOneByOne), ""},
			[]string{"the same, pipelined", number(l.PublishedPipelined), ""})
	}
	writeTable(b, rows, "lrl")
	fmt.Fprintf(b, "\nA create is %d rows inserted and %d updated, in two commits: its own rows, and those of Google's answer.\n", l.Inserted, l.Updated)
	if create, ok := r.Find(Create, OneCall, 32); ok {
		for _, c := range l.Commits {
			if mean := c.Mean(); mean > 0 {
				fmt.Fprintf(b, "Ours with 32 in flight (%s/s until drained) is %.0f %% of batches of %d.\n", number(create.Drained), 100*create.Drained/mean, c.Batch)
			}
		}
		if l.PublishedPipelined > 0 {
			fmt.Fprintf(b, "It is %.0f %% of single publishes, one by one, and %.1f %% of pipelined ones; a create stores five messages.\n",
				100*create.Drained/l.PublishedOneByOne, 100*create.Drained/l.PublishedPipelined)
		}
	}
}

func (r *Report) writeStatements(b *strings.Builder) {
	rows := [][]string{{"statement", "calls", "mean ms", "max ms"}}
	for _, s := range r.Statements {
		rows = append(rows, []string{"`" + s.Text + "`", strconv.FormatInt(s.Calls, 10), fmt.Sprintf("%.3f", s.MeanMS), fmt.Sprintf("%.2f", s.MaxMS)})
	}
	writeTable(b, rows, "lrrr")
}

func unit(u string) string {
	if u == "/s" {
		return u
	}
	return " " + u
}

// number keeps three digits that count, and all before the point.
func number(f float64) string {
	digits := 2
	switch {
	case f >= 100:
		digits = 0
	case f >= 10:
		digits = 1
	}
	text := strconv.FormatFloat(f, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// writeTable writes a Markdown table that also reads well as text; align has l or r for each column.
func writeTable(b *strings.Builder, rows [][]string, align string) {
	width := make([]int, len(align))
	for _, row := range rows {
		for c, cell := range row {
			width[c] = max(width[c], len([]rune(cell)))
		}
	}
	line := func(row []string) {
		for c, cell := range row {
			pad := strings.Repeat(" ", width[c]-len([]rune(cell)))
			if align[c] == 'r' {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(rows[0])
	for c := range align {
		b.WriteString("|")
		if align[c] == 'r' {
			b.WriteString(strings.Repeat("-", width[c]+1) + ":")
		} else {
			b.WriteString(strings.Repeat("-", width[c]+2))
		}
	}
	b.WriteString("|\n")
	for _, row := range rows[1:] {
		line(row)
	}
}
