package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/bench/internal/client"
	"github.com/meet-middleware/meet-middleware/bench/internal/load"
	"github.com/meet-middleware/meet-middleware/bench/internal/report"
)

// statements creates meetings for a while on a database that has none, and returns what its statements took: plans made for
// empty tables would show here. Without pg_stat_statements on this machine it returns nil.
func statements(ctx context.Context, o Options, dir string) (_ []report.Statement, err error) {
	i, err := open(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	there, err := preload(ctx, i.Postgres)
	if err := errors.Join(err, i.Stop()); err != nil {
		return nil, err
	}
	if !there {
		say(o.Progress, "no pg_stat_statements on this machine: statements are not measured")
		return nil, nil
	}
	if i, err = open(ctx, o, dir); err != nil { // with the library; the tables are as empty as before
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Stop()) }()
	s, err := newSession(ctx, o, new(report.Report), i)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if _, err := s.db.Exec(ctx, "CREATE EXTENSION pg_stat_statements"); err != nil {
		return nil, fmt.Errorf("switch on pg_stat_statements: %w", err)
	}
	callers := o.InFlight[len(o.InFlight)-1]
	result := load.Run(ctx, callers, o.Fresh, func(ctx context.Context, n int) error {
		_, err := s.api.Create(ctx, client.Meeting{Organizer: fmt.Sprintf("doctor%d-%s@clinic.example", n, s.tag), Plain: true}, n)
		return err
	})
	if result.FirstError != nil {
		return nil, fmt.Errorf("create on a fresh database: %w", result.FirstError)
	}
	if err := s.drain(ctx); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT query, calls, mean_exec_time, max_exec_time FROM pg_stat_statements
		JOIN pg_database d ON d.oid = dbid WHERE d.datname = current_database() AND calls >= 20 ORDER BY mean_exec_time DESC LIMIT 8`)
	if err != nil {
		return nil, fmt.Errorf("read what statements took: %w", err)
	}
	slowest, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (report.Statement, error) {
		var st report.Statement
		err := r.Scan(&st.Text, &st.Calls, &st.MeanMS, &st.MaxMS)
		st.Text = beginning(st.Text)
		return st, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what statements took: %w", err)
	}
	for _, st := range slowest {
		say(o.Progress, "fresh database: mean %.3f ms, max %.2f ms, %d calls: %s", st.MeanMS, st.MaxMS, st.Calls, st.Text)
	}
	return slowest, nil
}

// preload makes the server load pg_stat_statements at its next start, if it has it.
func preload(ctx context.Context, url string) (bool, error) {
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		return false, fmt.Errorf("connect to the instance's database: %w", err)
	}
	defer db.Close(ctx) //nolint:errcheck // nothing is lost with it
	var there bool
	if err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')").Scan(&there); err != nil || !there {
		return false, err
	}
	_, err = db.Exec(ctx, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
	return err == nil, err
}

// beginning of a statement, on one line: its name where it has one.
func beginning(sql string) string {
	sql = strings.Join(strings.Fields(sql), " ")
	if rest, ok := strings.CutPrefix(sql, "-- name: "); ok {
		name, _, _ := strings.Cut(rest, " :")
		return name
	}
	const most = 60
	if runes := []rune(sql); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return sql
}
