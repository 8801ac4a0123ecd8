package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/meet-middleware/meet-middleware/bench/internal/due"
	"github.com/meet-middleware/meet-middleware/bench/internal/report"
)

// dueJobs measures how soon due jobs start.
func dueJobs(ctx context.Context, args []string) error {
	o := due.Options{Progress: os.Stderr}
	flags := flag.NewFlagSet("bench due", flag.ExitOnError)
	flags.StringVar(&o.Programs, "programs", "bin", "folder of the programs (make build)")
	flags.IntVar(&o.Pending, "pending", 500_000, "jobs that wait for a later time")
	flags.IntVar(&o.PerSecond, "per-second", 167, "jobs that fall due each second")
	flags.IntVar(&o.Seconds, "seconds", 20, "for so long")
	flags.IntVar(&o.AtOnce, "at-once", 1000, "jobs that fall due at one moment")
	write := flags.String("write", "", "Markdown file whose part between the markers is replaced, such as docs/performance.md")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.Pending < 0 || o.PerSecond < 1 || o.Seconds < 1 || o.AtOnce < 5 {
		return errors.New("due takes no arguments, only flags, and positive numbers; see -help")
	}
	r, err := due.Run(ctx, o)
	if err != nil {
		return err
	}
	if *write != "" {
		if err := report.Insert(*write, "bench/due", r.Markdown()); err != nil {
			return err
		}
	}
	_, err = fmt.Print(r.Markdown())
	return err
}
