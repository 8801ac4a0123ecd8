package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/meet-middleware/meet-middleware/bench/internal/report"
	"github.com/meet-middleware/meet-middleware/bench/internal/scale"
)

// more measures what more of each part brings.
func more(ctx context.Context, args []string) error {
	o := scale.Options{Progress: os.Stderr}
	flags := flag.NewFlagSet("bench scale", flag.ExitOnError)
	flags.StringVar(&o.Programs, "programs", "bin", "folder of the programs (make build)")
	flags.IntVar(&o.Rounds, "rounds", 3, "how often each layout has its turn")
	flags.DurationVar(&o.Each, "each", 5*time.Second, "how long creates are made in one turn")
	flags.IntVar(&o.Events, "events", 10_000_000, "rows that the log of events is filled up to; 0: not")
	flags.Func("only", "regular expression of the parts to measure: layouts, google, nats, events", func(text string) (err error) {
		o.Only, err = regexp.Compile(text)
		return err
	})
	write := flags.String("write", "", "Markdown file whose parts between markers are replaced, such as docs/scaling.md")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.Rounds < 1 || o.Each <= 0 || o.Events < 0 {
		return errors.New("scale takes no arguments, only flags, and positive numbers; see -help")
	}
	r, err := scale.Run(ctx, o)
	if err != nil {
		return err
	}
	for _, part := range r.Markdown() {
		if *write != "" {
			if err := report.Insert(*write, "bench/scale "+part.Name, part.Markdown); err != nil {
				return err
			}
		}
		fmt.Println(part.Markdown)
	}
	return nil
}
