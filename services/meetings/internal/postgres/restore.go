package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
	"github.com/meet-middleware/meet-middleware/services/meetings/migrations"
)

// restored is the database after a restore; it holds the relay's lock.
type restored struct{ *lead }

// leaderGone is how long the lock of an instance that has just stopped is waited for.
const leaderGone = 3 * time.Second

// Restored is [app.Restorable]. The schema must be up to date.
func (s *Store) Restored(ctx context.Context) (app.Restored, error) {
	l, err := s.relayConn(ctx, "meetings after-restore")
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, leaderGone)
	defer cancel()
	if err := l.standBy(waiting); err != nil {
		if waiting.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: an instance of meetings relays; stop all", app.ErrNotAlone)
		}
		return nil, errors.Join(err, l.Close(ctx))
	}
	others, err := l.q.OtherInstances(ctx)
	if err == nil && len(others) > 0 {
		err = fmt.Errorf("%w: %s", app.ErrNotAlone, strings.Join(others, ", "))
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return &restored{l}, nil
}

func (r *restored) State(ctx context.Context) (s app.RestoredState, err error) {
	if s.Identity, err = r.q.DatabaseIdentity(ctx); err != nil {
		return s, fmt.Errorf("identify the database: %w", err)
	}
	if s.Events, err = r.q.CountEvents(ctx); err != nil {
		return s, fmt.Errorf("count events: %w", err)
	}
	relay, err := r.q.GetRelay(ctx)
	if err != nil {
		return s, fmt.Errorf("read the relay's state: %w", err)
	}
	numbered, err := r.q.LastNumbered(ctx)
	if err != nil {
		return s, fmt.Errorf("find the last number: %w", err)
	}
	s.LastSeq = max(relay.LastSeq, numbered)
	newest, err := r.q.LastEvent(ctx)
	if err != nil {
		return s, fmt.Errorf("find the newest event: %w", err)
	}
	if len(newest) == 0 {
		return s, nil
	}
	s.Newest = newest[0].OccurredAt.UTC()
	lines, err := r.q.LastRestore(ctx, s.Identity)
	if err != nil {
		return s, fmt.Errorf("look for an earlier run: %w", err)
	}
	if len(lines) == 0 || newest[0].Seq == nil {
		return s, nil
	}
	entry, err := audit.ParseLine(lines[0])
	if err != nil {
		return s, err
	}
	told, ok := entry.After["sequence"].(json.Number)
	if !ok {
		return s, nil
	}
	seq, err := told.Int64()
	if err != nil {
		return s, fmt.Errorf("audit entry of an earlier run: %w", err)
	}
	s.Done, s.Sequence = seq == *newest[0].Seq, seq
	return s, nil
}

func (r *restored) Renew(ctx context.Context, p app.RestorePlan) (n app.Renewed, err error) {
	tx, err := r.conn.Begin(ctx)
	if err != nil {
		return n, fmt.Errorf("renew: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	q := db.New(tx)
	if err := r.renew(ctx, q, p, &n); err != nil {
		return n, fmt.Errorf("renew: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return n, fmt.Errorf("renew: %w", err)
	}
	failpoint.Here("restore.renewed")
	return n, nil
}

func (r *restored) renew(ctx context.Context, q *db.Queries, p app.RestorePlan, n *app.Renewed) (err error) {
	if _, err = q.SkipIDs(ctx, p.SkippedIDs); err != nil {
		return fmt.Errorf("skip ids: %w", err)
	}
	err = q.InsertNumberedEvent(ctx, db.InsertNumberedEventParams{
		ID: p.Event.ID, Seq: p.Sequence, Type: p.Event.Type, Subject: p.Event.Subject, OccurredAt: p.Now, Body: p.Event.Body,
	})
	if err != nil {
		return fmt.Errorf("tell of the restore: %w", err)
	}
	if err = q.NumberOn(ctx, db.NumberOnParams{LastSeq: p.Sequence, Before: p.Before}); err != nil {
		return fmt.Errorf("number on: %w", err)
	}
	if n.Sessions, err = q.EndAllSessions(ctx); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	if n.Links, err = q.ForgetOneTimeLinks(ctx); err != nil {
		return fmt.Errorf("forget links: %w", err)
	}
	if err = errors.Join(q.RenewChannels(ctx, p.Now), q.DoubtSubscriptions(ctx)); err != nil {
		return fmt.Errorf("doubt what Google may have forgotten: %w", err)
	}
	followed, err := q.FollowAgain(ctx, p.Now)
	if err != nil {
		return fmt.Errorf("follow again: %w", err)
	}
	for _, kind := range followed {
		if kind == conference.KindFollow {
			n.FollowedAccounts++
		} else {
			n.FollowedCalendars++
		}
	}
	u := app.NewUnit(p.Now)
	u.Audit = append(u.Audit, p.Audit)
	return saveAudit(ctx, q, u)
}

// URL is where the database is, password included.
func (s *Store) URL() string { return s.config.URL() }

// Schema waits for the database as a start does, and is the number of the newest migration that it has.
func (s *Store) Schema(ctx context.Context) (int64, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, s.config.Wait, fmt.Errorf("no answer from Postgres within %s", s.config.Wait))
	defer cancel()
	if err := s.wait(waiting); err != nil {
		return 0, err
	}
	conns, provider, err := migrator(s.config.URL())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conns.Close() }() // nothing is pending on it
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the schema's number: %w", err)
	}
	return has, nil
}

// NewestMigration is the number of the newest that this program knows.
func NewestMigration() (int64, error) {
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("list the migrations: %d found: %w", len(files), err)
	}
	digits, _, _ := strings.Cut(files[len(files)-1], "_")
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number of the newest migration: %w", err)
	}
	return number, nil
}
