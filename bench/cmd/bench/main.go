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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := plan.Options{InFlight: []int{1, 8, 32}, Rows: []int{1_000, 50_000}, Progress: os.Stderr}
	flag.StringVar(&o.Binary, "binary", "bin/meet-middleware", "the all-in-one program, started on a temporary folder")
	flag.StringVar(&o.Target, "target", "", "data folder of an instance that runs, measured instead; it gets many meetings")
	flag.DurationVar(&o.Each, "each", 5*time.Second, "how long each operation is measured")
	flag.DurationVar(&o.Idle, "idle", 15*time.Second, "how long the idle instance is watched; 0s: not")
	flag.DurationVar(&o.Fresh, "fresh", 10*time.Second, "how long a fresh database's statements are watched; 0s: not")
	flag.StringVar(&o.ProfileFile, "profile", "", "file for a CPU profile of the program under the most callers; that of the last operation stays, so use it with -only")
	flag.Func("only", "regular expression of the operations to measure, such as 'create|limits'", func(text string) (err error) {
		o.Only, err = regexp.Compile(text)
		return err
	})
	flag.Func("callers", "numbers of operations in flight, such as 1,8,32", func(text string) error {
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
	asJSON := flag.Bool("json", false, "print the result as JSON")
	write := flag.String("write", "", "Markdown file whose tables, between their markers, are replaced")
	note := flag.String("note", "", "a remark on this run that stands above its tables")
	flag.Parse()
	if flag.NArg() > 0 {
		return errors.New("takes no arguments, only flags; see -help")
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
