package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// masks keeps the key of the audit log's pseudonyms, which never changes, once it was read.
type masks struct{ known atomic.Pointer[audit.Mask] }

func (m *masks) get(ctx context.Context, q *db.Queries) (audit.Mask, error) {
	if known := m.known.Load(); known != nil {
		return *known, nil
	}
	key, err := q.AuditKey(ctx)
	if err != nil {
		return audit.Mask{}, fmt.Errorf("read the audit log's key: %w", err)
	}
	mask := audit.NewMask(key)
	m.known.Store(&mask)
	return mask, nil
}

// saveAudit chains the entries. It comes last: the lock on the chain's end is then held for no more than the commit.
func saveAudit(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.Audit) == 0 {
		return nil
	}
	var p db.AppendAuditParams
	for i := range u.Audit {
		r := &u.Audit[i]
		p.Lines = append(p.Lines, r.Line)
		p.Ats = append(p.Ats, r.At)
		p.Principals = append(p.Principals, r.Principal)
		p.Actions = append(p.Actions, r.Action)
		p.SubjectKinds = append(p.SubjectKinds, r.SubjectKind)
		p.SubjectIds = append(p.SubjectIds, r.SubjectID)
		p.Outcomes = append(p.Outcomes, r.Outcome)
	}
	if err := q.LockAuditHead(ctx); err != nil {
		return err
	}
	return q.AppendAudit(ctx, p)
}

func stored(r *db.Audit) (audit.Stored, error) {
	s := audit.Stored{
		Seq: r.Seq, At: r.At.UTC(), Principal: r.Principal, Action: r.Action, SubjectKind: r.SubjectKind, SubjectID: r.SubjectID, Outcome: r.Outcome, Line: r.Line,
	}
	if len(r.PrevHash) != len(s.Previous) || len(r.Hash) != len(s.Hash) {
		return s, fmt.Errorf("audit entry %d: a hash has %d and one %d bytes", r.Seq, len(r.PrevHash), len(r.Hash))
	}
	s.Previous, s.Hash = audit.Hash(r.PrevHash), audit.Hash(r.Hash)
	return s, nil
}

// ListAudit is [app.AuditLog].
func (s *Store) ListAudit(ctx context.Context, f app.AuditFilter) ([]audit.Stored, error) {
	if unheard(f.Principal, f.Action, f.SubjectKind, f.SubjectID, f.Outcome, f.RequestID, f.Email) {
		return nil, nil
	}
	var part, request string
	if f.Email != "" {
		mask, err := s.masks.get(ctx, s.hot())
		if err != nil {
			return nil, err
		}
		part = mask.Person(account.EmailKey(f.Email))
	}
	if f.RequestID != "" {
		text, err := json.Marshal(f.RequestID)
		if err != nil {
			return nil, fmt.Errorf("request id: %w", err)
		}
		request = `"request_id":` + string(text)
	}
	var rows []db.Audit
	var err error
	if f.Ascending {
		rows, err = s.wide().ListAuditAscending(ctx, db.ListAuditAscendingParams{
			AfterSeq: f.After, FromAt: f.From, ToAt: f.To, Principal: f.Principal, Action: f.Action, SubjectKind: f.SubjectKind, SubjectID: f.SubjectID,
			Outcome: f.Outcome, Part: part, RequestIDPart: request, RowLimit: int64(f.Limit),
		})
	} else {
		rows, err = s.wide().ListAudit(ctx, db.ListAuditParams{
			BeforeSeq: f.After, FromAt: f.From, ToAt: f.To, Principal: f.Principal, Action: f.Action, SubjectKind: f.SubjectKind, SubjectID: f.SubjectID,
			Outcome: f.Outcome, Part: part, RequestIDPart: request, RowLimit: int64(f.Limit),
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", err)
	}
	out := make([]audit.Stored, 0, len(rows))
	for i := range rows {
		e, err := stored(&rows[i])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// verifyPage is how many entries are read at once.
const verifyPage = 1000

// VerifyAudit is [app.AuditLog].
func (s *Store) VerifyAudit(ctx context.Context, from app.AuditAnchor, limit int) (app.AuditReport, error) {
	q := s.wide()
	head, err := q.AuditHead(ctx) // before the entries: what is appended meanwhile is not missed at the end
	if err != nil {
		return app.AuditReport{}, fmt.Errorf("read the end of the audit log: %w", err)
	}
	c := audit.Checker{Hash: audit.Origin()}
	report := func(checked int64, done bool, bad *audit.Fault) app.AuditReport {
		return app.AuditReport{Checked: checked, Last: app.AuditAnchor{Seq: c.Seq, Hash: c.Hash, Known: true}, Done: done, Bad: bad}
	}
	if from.Seq > 0 {
		at, err := q.AuditHashAt(ctx, from.Seq)
		if err != nil {
			return app.AuditReport{}, fmt.Errorf("read audit entry %d: %w", from.Seq, err)
		}
		switch {
		case len(at) == 0:
			return report(0, true, &audit.Fault{Seq: from.Seq, Reason: "anchor", Text: fmt.Sprintf("entry %d is missing", from.Seq)}), nil
		case len(at[0]) != len(audit.Hash{}) || from.Known && audit.Hash(at[0]) != from.Hash:
			return report(0, true, &audit.Fault{Seq: from.Seq, Reason: "anchor", Text: fmt.Sprintf("entry %d had another hash", from.Seq)}), nil
		}
		c.Seq, c.Hash = from.Seq, audit.Hash(at[0])
	}
	var checked int64
	for int(checked) < limit {
		page := min(verifyPage, limit-int(checked))
		rows, err := q.AuditAfter(ctx, db.AuditAfterParams{After: c.Seq, RowLimit: int64(page)})
		if err != nil {
			return app.AuditReport{}, fmt.Errorf("read the audit log after %d: %w", c.Seq, err)
		}
		for i := range rows {
			e, err := stored(&rows[i])
			if err != nil {
				return report(checked, true, &audit.Fault{Seq: rows[i].Seq, Reason: "hash", Text: err.Error()}), nil //nolint:nilerr // what is wrong with it is what was asked for
			}
			if bad := c.Check(&e); bad != nil {
				return report(checked, true, bad), nil
			}
			checked++
			if e.Seq == head.Seq && !sameHash(e.Hash, head.Hash) {
				return report(checked, true, &audit.Fault{Seq: e.Seq, Reason: "head", Text: "the chain's end has another hash than its last entry"}), nil
			}
		}
		if len(rows) < page {
			if c.Seq < head.Seq {
				return report(checked, true, &audit.Fault{Seq: c.Seq + 1, Reason: "gap", Text: fmt.Sprintf("entries %d to %d are missing", c.Seq+1, head.Seq)}), nil
			}
			if checked == 0 && c.Seq == head.Seq && !sameHash(c.Hash, head.Hash) {
				return report(checked, true, &audit.Fault{Seq: c.Seq, Reason: "head", Text: "the chain's end has another hash than its last entry"}), nil
			}
			return report(checked, true, nil), nil
		}
	}
	return report(checked, false, nil), nil
}

func sameHash(h audit.Hash, raw []byte) bool { return string(h[:]) == string(raw) }

// Mask is [app.AuditLog].
func (s *Store) Mask(ctx context.Context) (audit.Mask, error) { return s.masks.get(ctx, s.hot()) }

// RecordAudit is [app.AuditLog].
func (s *Store) RecordAudit(ctx context.Context, now time.Time, entries []audit.Entry) error {
	u := app.NewUnit(now)
	for i := range entries {
		line, err := entries[i].Line()
		if err != nil {
			return err
		}
		e := &entries[i]
		u.Audit = append(u.Audit, app.AuditRow{
			At: e.At, Principal: e.Principal, Action: e.Action, SubjectKind: e.SubjectKind, SubjectID: e.SubjectID, Outcome: string(e.Outcome), Line: line,
		})
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("write to the audit log: %w", reach(err))
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	if err := saveAudit(ctx, db.New(tx), u); err != nil {
		return fmt.Errorf("write to the audit log: %w", reach(err))
	}
	return reach(tx.Commit(ctx))
}
