package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// ReasonDatabase is the reason of a read that did not reach the database.
const ReasonDatabase = "DATABASE_UNREACHABLE"

// reading is a pool whose reads fail with [fault.Unavailable] while the database can't be reached: the caller may repeat.
type reading struct{ pool *pgxpool.Pool }

// Exec is that of the pool.
func (r reading) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := r.pool.Exec(ctx, sql, args...)
	return tag, reach(err)
}

// Query is that of the pool.
func (r reading) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := r.pool.Query(ctx, sql, args...)
	return readRows{rows}, reach(err)
}

// QueryRow is that of the pool.
func (r reading) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return readRow{r.pool.QueryRow(ctx, sql, args...)}
}

type readRows struct{ pgx.Rows }

func (r readRows) Err() error { return reach(r.Rows.Err()) }

type readRow struct{ pgx.Row }

func (r readRow) Scan(dest ...any) error { return reach(r.Row.Scan(dest...)) }

// reach makes a fault of an error that says that the database was not reached, went away or is going.
func reach(err error) error {
	if err == nil || !unreached(err) {
		return err
	}
	return fault.New(fault.Unavailable, ReasonDatabase, "the database cannot be reached; try again").WithCause(err)
}

func unreached(err error) bool {
	var connecting *pgconn.ConnectError
	var network *net.OpError
	if errors.As(err, &connecting) || errors.As(err, &network) || pgconn.SafeToRetry(err) {
		return true
	}
	var said *pgconn.PgError
	if errors.As(err, &said) {
		switch said.Code {
		case "57P01", "57P02", "57P03", "53300": // shutting down, crashed, starting up, out of connections
			return true
		}
		return strings.HasPrefix(said.Code, "08") // connection exception
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || // in the middle of an answer
		errors.Is(err, context.Canceled) // this service stops; a caller who went away hears nothing
}
