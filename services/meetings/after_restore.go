package meetings

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// AfterRestore is the subcommand after-restore: it puts a database that was restored from a backup in order, and the streams
// beside it, while the services do not run.
type AfterRestore struct {
	// Program is the name of the binary.
	Program string
	// Prepare gives the settings, waits for what they name, and a function that ends it. It is called once the flags are right.
	Prepare  func(ctx context.Context) (AfterRestoreSettings, func(context.Context) error, error)
	Out, Err io.Writer
}

// AfterRestoreSettings are the part of the program's settings that the subcommand needs.
type AfterRestoreSettings struct {
	Bus     bus.Config
	Service Config
}

// LoadAfterRestore makes the subcommand of meetings as a program of its own; environ is as [os.Environ] gives it.
func LoadAfterRestore(program string, environ []string, out, err io.Writer) AfterRestore {
	return AfterRestore{Program: program, Out: out, Err: err, Prepare: func(context.Context) (AfterRestoreSettings, func(context.Context) error, error) {
		s, err := config.Load[Settings](environ)
		return AfterRestoreSettings{Bus: s.Bus, Service: s.Service}, func(context.Context) error { return nil }, err
	}}
}

// Exit statuses of the subcommand, beside [config.ExitCode] for wrong settings and wrong use.
const (
	restoreDone   = 0
	restoreFailed = 1
)

// restoreFlags are what a person can say.
type restoreFlags struct {
	app.RestoreOptions

	lost   string
	schema bool
}

func (a AfterRestore) parse(args []string) (f restoreFlags, help bool, err error) {
	flags := flag.NewFlagSet(a.Program+" after-restore", flag.ContinueOnError)
	flags.SetOutput(a.Err)
	flags.Usage = func() {
		fmt.Fprintf(a.Err, "%s after-restore puts a database that was restored from a backup in order, and the streams beside it. Stop the services first.\n"+
			"Exit status: 0 all is in order; 1 it is not; 2 wrong use or settings.\n\n", a.Program)
		flags.PrintDefaults()
	}
	flags.StringVar(&f.Backup, "backup", "", "`name` of the backup, for the audit log")
	flags.Func("taken-at", "`time` at which the backup was taken, as 2026-12-31T23:59:59Z, for the event and the audit log", func(text string) (err error) {
		f.TakenAt, err = time.Parse(time.RFC3339, text)
		return err
	})
	flags.Int64Var(&f.AtLeast, "at-least", 0, "sequence that no new event may be below; needed only where the machine's clock was ahead in an earlier restore")
	flags.StringVar(&f.lost, "lost", "", "`file` that gets the events that MEET_EVENTS has and the database has not, one JSON object a line; - is the standard output")
	flags.BoolVar(&f.DryRun, "dry-run", false, "say what would be done and change nothing")
	flags.BoolVar(&f.Again, "again", false, "do all of it once more in a database that was put in order before and has done nothing since")
	flags.BoolVar(&f.schema, "schema", false, "print the number of the newest migration that this program knows, and do nothing else")
	if err := flags.Parse(args); err != nil {
		return f, errors.Is(err, flag.ErrHelp), err
	}
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("after-restore takes no argument (%q)", flags.Arg(0))
	case f.AtLeast < 0:
		err = errors.New("--at-least: a sequence is positive")
	}
	if err != nil {
		fmt.Fprintf(a.Err, "%s: %v; see %s after-restore --help\n", a.Program, err, a.Program)
	}
	return f, false, err
}

// Run does it and returns the exit status.
func (a AfterRestore) Run(ctx context.Context, args []string) int {
	f, help, err := a.parse(args)
	switch {
	case help:
		return restoreDone
	case err != nil:
		return config.ExitCode
	}
	if f.schema {
		err = a.printSchema()
	} else {
		err = a.restore(ctx, f)
	}
	if err == nil {
		return restoreDone
	}
	if len(config.Problems(err)) > 0 {
		config.Report(a.Err, a.Program, err)
		return config.ExitCode
	}
	fmt.Fprintf(a.Err, "%s: not put in order: %v\n", a.Program, err)
	return restoreFailed
}

func (a AfterRestore) printSchema() error {
	newest, err := postgres.NewestMigration()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Out, newest)
	return err
}

func (a AfterRestore) restore(ctx context.Context, f restoreFlags) (err error) {
	s, end, err := a.Prepare(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(context.WithoutCancel(ctx))) }()
	log := slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store := postgres.NewStore(s.Service.Postgres, log)
	ready, err := a.schema(ctx, store, f.DryRun)
	if err != nil || !ready {
		return err
	}
	b := bus.New(s.Bus, log)
	if err := b.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop(context.WithoutCancel(ctx))) }()
	each, done, err := a.lost(f.lost)
	if err != nil {
		return err
	}
	report, err := app.NewAfterRestore(store, nats.NewRestoredStreams(b), nats.Codec{}, clock.System()).Run(ctx, f.RestoreOptions, each)
	if err = errors.Join(err, done()); err != nil {
		return err
	}
	return a.tell(report, f)
}

// schema waits for the database and brings its schema up to date. It is false where a dry run can't go on without that.
func (a AfterRestore) schema(ctx context.Context, store *postgres.Store, dryRun bool) (bool, error) {
	has, err := store.Schema(ctx)
	if err != nil {
		return false, err
	}
	knows, err := postgres.NewestMigration()
	if err != nil {
		return false, err
	}
	switch {
	case has > knows:
		return false, fmt.Errorf("the database has schema %d and this program knows none above %d: use the release that the backup was made with, or a newer one", has, knows)
	case has == knows:
		return true, nil
	case dryRun:
		_, err := fmt.Fprintf(a.Err, "The schema would be migrated from %d to %d; what else would be done can be told only after that.\n", has, knows)
		return false, err
	}
	if err := postgres.Migrate(ctx, store.URL()); err != nil {
		return false, err
	}
	_, err = fmt.Fprintf(a.Err, "schema: migrated from %d to %d\n", has, knows)
	return true, err
}

// lost writes lost events to where the flag says, whole lines; done is to be called at the end.
func (a AfterRestore) lost(path string) (each func(app.LostEvent) error, done func() error, err error) {
	if path == "" {
		return func(app.LostEvent) error { return nil }, func() error { return nil }, nil
	}
	to := a.Out
	closed := func() error { return nil }
	if path != "-" {
		file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("--lost: %w", err)
		}
		to, closed = file, file.Close
	}
	lines := bufio.NewWriter(to)
	encoder := json.NewEncoder(lines)
	return func(e app.LostEvent) error { return encoder.Encode(e) }, func() error { return errors.Join(lines.Flush(), closed()) }, nil
}

// tell says what was done, for a person.
func (a AfterRestore) tell(r app.RestoreReport, f restoreFlags) error {
	out := bufio.NewWriter(a.Err)
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	would := ""
	if f.DryRun {
		would = "would be "
		say("Dry run: nothing was changed.")
	}
	newest := "none yet"
	if !r.State.Newest.IsZero() {
		newest = "the newest of " + r.State.Newest.Format(time.RFC3339)
	}
	say("database: %d events, %s; the last sequence is %d", r.State.Events, newest, r.State.LastSeq)
	if lost := r.LostEvents(); lost > 0 {
		say("lost: MEET_EVENTS had %d events up to sequence %d that the database does not know:", lost, r.LastLost)
		for _, kind := range r.Types() {
			say("  %6d %s", r.Lost[kind], kind)
		}
	}
	if r.Skipped {
		say("sequence: it was put in order before, at %d, and nothing has happened since (--again does it once more)", r.Sequence)
	} else {
		say("sequence: events %scounted on from %d, which tells of the restore (database.restored)", would, r.Sequence)
		say("ids: %d numbers of each table %sleft out", r.SkippedIDs, would)
	}
	if !r.Skipped && !f.DryRun {
		say("signed out: %d sessions; %d one-time links ended", r.Renewed.Sessions, r.Renewed.Links)
		say("Google: %d calendars and %d accounts are read again at once", r.Renewed.FollowedCalendars, r.Renewed.FollowedAccounts)
		say("audit: the restore is an entry (database.restore)")
	}
	for _, stream := range nats.Filled() {
		if n, there := r.Held[stream]; there {
			say("%s: %semptied of %d messages", stream, would, n)
		} else {
			say("%s: %smade", stream, would)
		}
	}
	if !f.DryRun {
		say("All is in order: start the services. API keys revoked, users shut out and people erased after the backup are as they were in it: do that again.")
	}
	return out.Flush()
}
