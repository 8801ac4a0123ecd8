package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// Exit statuses of the command.
const (
	exitHealthy = 0
	exitFailed  = 1
	exitUsage   = 2
)

// Command is the subcommand doctor of a program: it looks before the stack runs, with the program's settings alone.
type Command struct {
	// Program is the name of the binary.
	Program string
	// Settings is what was wrong with the program's settings; nil: nothing.
	Settings error
	Google   Target
	Broker   Broker
	Out, Err io.Writer
}

// checkedElsewhere are settings whose mistakes other checks name, with more to say about them.
func checkedElsewhere(variable string) bool {
	return variable == "GOOGLE_SERVICE_ACCOUNT_FILE" || variable == "GOOGLE_WORKSPACE_ADMIN_EMAIL" || variable == "MEET_EMULATOR_URL"
}

// settings are the program's own.
func (c Command) settings(context.Context, *Visit) Finding {
	var problems []config.Problem
	for _, p := range config.Problems(c.Settings) {
		if !checkedElsewhere(p.Variable) {
			problems = append(problems, p)
		}
	}
	if len(problems) == 0 {
		return ok("the settings can be read; %s --help-env explains them", c.Program)
	}
	texts, names := make([]string, len(problems)), make([]string, len(problems))
	for i, p := range problems {
		texts[i], names[i] = p.Error(), p.Variable
	}
	return failed("the environment of "+c.Program+": "+strings.Join(names, ", "), "", "%s", strings.Join(texts, "; "))
}

// Run runs the command with its arguments and returns the exit status.
func (c Command) Run(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet(c.Program+" doctor", flag.ContinueOnError)
	flags.SetOutput(c.Err)
	flags.Usage = func() {
		fmt.Fprintf(c.Err, "%s doctor looks whether everything outside is set up, and says what to do where it is not.\nExit status: 0 nothing is wrong; 1 something is; 2 wrong use.\n\n", c.Program)
		flags.PrintDefaults()
	}
	var o Options
	output := "text"
	flags.StringVar(&o.Organizer, "organizer", "", "`address` of an organizer to act for, beside GOOGLE_WORKSPACE_ADMIN_EMAIL")
	flags.BoolVar(&o.Write, "write", false, "make an event without guests, switch its recording on, and remove it: the only proof that the account may record")
	flags.StringVar(&output, "o", output, "how to show what was found: `text or json`")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitHealthy
		}
		return exitUsage
	}
	wrong := ""
	switch {
	case flags.NArg() > 0:
		wrong = fmt.Sprintf("doctor takes no argument (%q)", flags.Arg(0))
	case output != "text" && output != "json":
		wrong = fmt.Sprintf("-o: %q is not known; use text or json", output)
	case o.Organizer != "" && !isAddress(o.Organizer):
		wrong = fmt.Sprintf("--organizer: %q is no e-mail address", o.Organizer)
	}
	if wrong != "" {
		fmt.Fprintf(c.Err, "%s: %s; see %s doctor --help\n", c.Program, wrong, c.Program)
		return exitUsage
	}
	transport := NewTransport()
	defer transport.CloseIdleConnections()
	checks := append([]Check{{Name: "settings", Run: c.settings}}, GoogleChecks(c.Google, transport)...)
	d, err := New(c.Google.Simulated, append(checks, StackChecks(c.Broker)...)...)
	if err != nil {
		fmt.Fprintf(c.Err, "%s: %v\n", c.Program, err)
		return exitFailed
	}
	report := d.Visit(ctx, o)
	show := report.text
	if output == "json" {
		show = report.json
	}
	if _, err := c.Out.Write(show()); err != nil {
		return exitFailed
	}
	if !report.OK() {
		return exitFailed
	}
	return exitHealthy
}

func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// text is the report for a person.
func (r Report) text() []byte {
	var b bytes.Buffer
	wide := 0
	count := make(map[Status]int)
	for _, c := range r.Results {
		wide = max(wide, len(c.Check))
		count[c.Status]++
	}
	if r.Simulated {
		b.WriteString("Google is simulated: the emulator answers in its place.\n\n")
	}
	indent := strings.Repeat(" ", 9+wide+2)
	for _, c := range r.Results {
		fmt.Fprintf(&b, "%-7s  %-*s  %s\n", c.Status, wide, c.Check, printable(c.Detail))
		if c.Place != "" {
			fmt.Fprintf(&b, "%swhere: %s\n", indent, printable(c.Place))
		}
		for i, line := range strings.Split(c.Paste, "\n") {
			label := "       "
			if i == 0 {
				label = "enter: "
			}
			if line != "" {
				fmt.Fprintf(&b, "%s%s%s\n", indent, label, printable(line))
			}
		}
	}
	fmt.Fprintf(&b, "\n%d ok, %d warning, %d failed, %d skipped in %.1f s\n", count[OK], count[Warning], count[Failed], count[Skipped], r.Took.Seconds())
	return b.Bytes()
}

// printable keeps what others sent from moving a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, text)
}

// resultJSON is a result as REST shows it too.
type resultJSON struct {
	Name    string  `json:"name"`
	Status  Status  `json:"status"`
	Detail  string  `json:"detail"`
	Place   string  `json:"place"`
	Paste   string  `json:"paste"`
	Seconds float64 `json:"seconds"`
}

// json is the report for a program, the same as GET /api/v1/setup/ answers.
func (r Report) json() []byte {
	out := struct {
		OK        bool         `json:"ok"`
		Simulated bool         `json:"simulated"`
		Seconds   float64      `json:"seconds"`
		Checks    []resultJSON `json:"checks"`
	}{r.OK(), r.Simulated, seconds(r.Took), make([]resultJSON, len(r.Results))}
	for i, c := range r.Results {
		out.Checks[i] = resultJSON{c.Check, c.Status, c.Detail, c.Place, c.Paste, seconds(c.Took)}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil { // strings and numbers: can't fail
		panic("doctor: encode the report: " + err.Error())
	}
	return b.Bytes()
}

// seconds to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
