// Command bench measures the product against its targets and the machine's limits; see docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meet-middleware/meet-middleware/bench/internal/plan"
	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

func main() {
	// This program is the nats-server of its stacks too.
	if served, err := stack.Serve(); served || err != nil {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	what, args := run, os.Args[1:]
	switch {
	case len(args) > 0 && args[0] == "simulate":
		what, args = simulate, args[1:]
	case len(args) > 0 && args[0] == "due":
		what, args = dueJobs, args[1:]
	case len(args) > 0 && args[0] == "scale":
		what, args = more, args[1:]
	}
	err := what(ctx, args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures operations one by one.
func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	o := plan.Options{InFlight: []int{1, 8, 32}, Rows: []int{1_000, 50_000}, Progress: os.Stderr}
	flags.StringVar(&o.Binary, "binary", "bin/meet-middleware", "the all-in-one program, started on a temporary folder")
	flags.StringVar(&o.Target, "target", "", "data folder of an instance that runs, measured instead; it gets many meetings")
	flags.DurationVar(&o.Each, "each", 5*time.Second, "how long each operation is measured")
	flags.DurationVar(&o.Idle, "idle", 15*time.Second, "how long the idle instance is watched; 0s: not")
	flags.DurationVar(&o.Fresh, "fresh", 10*time.Second, "how long a fresh database's statements are watched; 0s: not")
	flags.StringVar(&o.ProfileFile, "profile", "", "file for a CPU profile of the program under the most callers; that of the last operation stays, so use it with -only")
	flags.Func("only", "regular expression of the operations to measure, such as 'create|limits'", func(text string) (err error) {
		o.Only, err = regexp.Compile(text)
		return err
	})
	flags.Func("callers", "numbers of operations in flight, such as 1,8,32", func(text string) error {
		o.InFlight = nil
		for field := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(field)
			if err != nil || n < 1 || n > 256 {
				return errors.New("want numbers from 1 to 256")
			}
			o.InFlight = append(o.InFlight, n)
		}
		return nil
	})
	asJSON := flags.Bool("json", false, "print the result as JSON")
	write := flags.String("write", "", "Markdown file whose tables, between their markers, are replaced")
	note := flags.String("note", "", "a remark on this run that stands above its tables")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("takes simulate, due, scale or flags; see -help")
	}
	r, err := plan.Run(ctx, o)
	if err != nil {
		return err
	}
	r.Note = *note
	if *write != "" {
		if err := r.WriteInto(*write); err != nil {
			return err
		}
	}
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	_, err = fmt.Print(r.Markdown())
	return err
}
