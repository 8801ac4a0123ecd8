// Package doctor looks at everything outside that must be right before a meeting can be made and recorded, and names for each
// mistake the page where it is put right and the value to enter there. It changes nothing unless it is told to write, and then
// removes what it made. It mends nothing by itself.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/fx"
)

// Status is how a check went.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, and something should be looked at
	Failed  Status = "failed"
	Skipped Status = "skipped" // not looked at; the detail says why
)

// Finding is what a check found. No secret is in it.
type Finding struct {
	Status Status
	// Detail is one sentence: what is wrong, or what was seen.
	Detail string
	// Place is where it is put right: the page of a console, or the setting.
	Place string
	// Paste is what to enter there; several fields are several lines.
	Paste string
}

func ok(format string, args ...any) Finding { return Finding{OK, fmt.Sprintf(format, args...), "", ""} }

func skipped(format string, args ...any) Finding {
	return Finding{Skipped, fmt.Sprintf(format, args...), "", ""}
}

func failed(place, paste, format string, args ...any) Finding {
	return Finding{Failed, fmt.Sprintf(format, args...), place, paste}
}

// Check is one thing that must be right.
type Check struct {
	// Name is dotted and keeps its meaning for ever: "google.key".
	Name string
	// After names checks that are earlier in the list. Where one of them fails or is skipped, this one is skipped.
	After []string
	// Writes: it changes something outside, and so runs only when that is asked for.
	Writes bool
	// Run looks. It ends with ctx.
	Run func(ctx context.Context, v *Visit) Finding
}

// Options of one visit.
type Options struct {
	// Organizer to act for beside the admin account; empty: that one alone.
	Organizer string
	// Write lets checks that write run.
	Write bool
}

// Visit is one run of all checks, and what they share.
type Visit struct {
	Options
	// Google is the way to Google, once the check google.key is ok.
	Google *Access
	// Actor is an account that Google lets be acted for, the organizer's own where possible, once google.delegation is ok.
	Actor string
	// broker is the connection to NATS, once the check nats is ok.
	broker *nats.Conn
	// leave gives it back.
	leave func()
}

// Result is a finding with its check.
type Result struct {
	Check string
	Finding
	Took time.Duration
}

// Report is what a visit found.
type Report struct {
	// Simulated: the emulator answered in Google's place.
	Simulated bool
	Results   []Result
	Took      time.Duration
}

// OK tells whether no check failed.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Results, func(r Result) bool { return r.Status == Failed })
}

// visitTimeout bounds the looking; what was made is then still removed, within cleanTimeout. Whoever asks over NATS waits longer
// than both.
const visitTimeout = 20 * time.Second

// Doctor runs checks.
type Doctor struct {
	checks    []Check
	simulated bool
}

// New makes a doctor with its checks in the order in which mistakes are to be put right. It refuses two of one name, and one
// after a check that is not before it.
func New(simulated bool, checks ...Check) (*Doctor, error) {
	seen := make(map[string]bool, len(checks))
	for _, c := range checks {
		if seen[c.Name] {
			return nil, fmt.Errorf("two checks are called %s", c.Name)
		}
		for _, name := range c.After {
			if !seen[name] {
				return nil, fmt.Errorf("check %s is after %s, which is not before it", c.Name, name)
			}
		}
		seen[c.Name] = true
	}
	return &Doctor{checks: checks, simulated: simulated}, nil
}

// Visit runs all checks, each as soon as those that it is after are done, and reports them in their order.
func (d *Doctor) Visit(ctx context.Context, o Options) Report {
	ctx, cancel := context.WithTimeoutCause(ctx, visitTimeout, fmt.Errorf("the visit ended after %s", visitTimeout))
	defer cancel()
	begin := time.Now()
	v := &Visit{Options: o}
	results := make([]Result, len(d.checks))
	done := make(map[string]chan struct{}, len(d.checks))
	index := make(map[string]int, len(d.checks))
	for i, c := range d.checks {
		done[c.Name], index[c.Name] = make(chan struct{}), i
	}
	var running sync.WaitGroup
	for i, c := range d.checks {
		running.Go(func() {
			defer close(done[c.Name])
			var blocked []string
			for _, name := range c.After {
				<-done[name] // it ends with ctx
				if s := results[index[name]].Status; s == Failed || s == Skipped {
					blocked = append(blocked, name)
				}
			}
			results[i] = c.visit(ctx, v, blocked)
		})
	}
	running.Wait()
	if v.leave != nil {
		v.leave()
	}
	return Report{Simulated: d.simulated, Results: results, Took: time.Since(begin)}
}

func (c Check) visit(ctx context.Context, v *Visit, blocked []string) (r Result) {
	r.Check = c.Name
	switch {
	case len(blocked) > 0:
		r.Finding = skipped("not looked at before %s is right", strings.Join(blocked, " and "))
	case c.Writes && !v.Write:
		r.Finding = skipped("it makes something and removes it again: ask for it with --write")
	default:
		begin := time.Now()
		defer func() {
			if p := recover(); p != nil { // of a library on an answer nobody foresaw: the other checks still count
				r.Finding = failed("", "", "the check itself failed; please report it: %v", p)
			}
			r.Took = time.Since(begin)
		}()
		r.Finding = c.Run(ctx, v)
	}
	return r
}

// Provide adds a check of a feature to the graph; constructor returns a Check.
func Provide(constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"doctor_checks"`)))
}
