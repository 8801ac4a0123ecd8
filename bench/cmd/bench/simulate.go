package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/meet-middleware/meet-middleware/bench/internal/report"
	"github.com/meet-middleware/meet-middleware/bench/internal/simulation"
)

// simulate lets a month of meetings happen and compares what is said of their recordings with what happened.
func simulate(ctx context.Context, args []string) error {
	var o simulation.Options
	flags := flag.NewFlagSet("bench simulate", flag.ExitOnError)
	flags.StringVar(&o.Programs, "programs", "bin", "folder of the programs (make build)")
	flags.StringVar(&o.Dir, "dir", "", "folder for data and logs, which stays; absent: a temporary one")
	flags.IntVar(&o.Days, "days", 30, "days with meetings")
	flags.IntVar(&o.Meetings, "meetings", 10_000, "meetings")
	flags.IntVar(&o.Organizers, "organizers", 200, "organizers")
	flags.IntVar(&o.Schedulers, "schedulers", 3, "schedulers")
	flags.Uint64Var(&o.Seed, "seed", 1, "of all dice")
	flags.Float64Var(&o.Bare, "bare", 0.1, "share of meetings with a space of their own and no calendar event")
	flags.DurationVar(&o.Grain, "grain", 2*time.Minute, "the least that the clock jumps; everything is seen so much later at most")
	flags.Float64Var(&o.Lost, "lost", 0.2, "share of the notices that are lost")
	flags.Float64Var(&o.Doubled, "doubled", 0.1, "share of the notices that come twice")
	flags.Float64Var(&o.Reordered, "reordered", 0.05, "share of the notices that come after the one that follows")
	flags.BoolVar(&o.NoNotices, "no-notices", false, "no Pub/Sub at all")
	flags.Float64Var(&o.QuotaErrors, "quota-errors", 0.005, "share of calls that Google refuses as if a quota were full")
	flags.DurationVar(&o.Outage, "outage", 24*time.Hour, "how long Google answers nothing but 503, in the middle; 0s: not")
	flags.IntVar(&o.Kills, "kills", 15, "how often a scheduler is killed")
	asJSON := flags.Bool("json", false, "print the result as JSON")
	write := flags.String("write", "", "Markdown file whose part between the markers of this name is replaced, such as docs/performance.md")
	name := flags.String("as", "simulate", "name of the markers, such as 'simulate healthy'")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("simulate takes no arguments, only flags; see -help")
	}
	o.Progress = os.Stderr
	r, err := simulation.Run(ctx, o)
	if err != nil {
		return err
	}
	if *write != "" {
		if err := report.Insert(*write, *name, r.Markdown()); err != nil {
			return err
		}
	}
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err = out.Encode(r)
	} else {
		_, err = fmt.Print(r.Markdown())
	}
	if faults := r.Faults(); faults != "" {
		fmt.Fprint(os.Stderr, faults)
	}
	for _, t := range r.Targets() {
		if !t.Met {
			err = errors.Join(err, fmt.Errorf("%s: %s, want %s", t.Name, t.Got, t.Want))
		}
	}
	return err
}
