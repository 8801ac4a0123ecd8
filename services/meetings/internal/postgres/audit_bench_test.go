package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/nats"
)

// unaudited forgets the entries of a batch before they are written: what is left is the cost of everything else.
type unaudited struct{ app.Store }

func (s unaudited) Batch(ctx context.Context, now time.Time, needs *app.Needs, decide func(*app.Unit) error) error {
	return s.Store.Batch(ctx, now, needs, func(u *app.Unit) error {
		err := decide(u)
		u.Audit = nil
		return err
	})
}

// BenchmarkCreates is the commit of creates, by batch size, with and without the rows of the audit log.
func BenchmarkCreates(b *testing.B) {
	for _, size := range []int{1, 14, 32, 128} {
		for _, with := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch=%d/audit=%v", size, with), func(b *testing.B) {
				i := newInstance(b)
				if !with {
					i.Processor = app.NewProcessor(unaudited{i.store}, nats.Codec{}, i.clock.Now, slog.New(slog.DiscardHandler))
				}
				n := 0
				for b.Loop() {
					batch := make([]*app.Command, 0, size)
					for range size {
						n++
						batch = append(batch, create(fmt.Sprintf("d%d@clinic.example", n)))
					}
					i.process(b, batch...)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/create")
			})
		}
	}
}

// BenchmarkAuditRows compares two ways to chain 32 rows: at once, or kept unchained and moved into the chain by another.
func BenchmarkAuditRows(b *testing.B) {
	const size = 32
	entries := func(now time.Time) []audit.Entry {
		out := make([]audit.Entry, 0, size)
		for k := range size {
			out = append(out, audit.Entry{
				At: now, Principal: "key:mm_live_7Kq2mXa9", Role: "service", Credential: "key", Action: "meeting.create", SubjectKind: audit.Meeting,
				SubjectID: fmt.Sprint(k), RequestID: "0123456789abcdef", RemoteAddr: "192.0.2.1", Outcome: audit.OK,
				After: audit.Fields{"status": "CREATED", "participants_count": 3, "invited": []string{"person:0123456789abcdef01234567", "person:0123456789abcdef01234567"}, "time_zone": "America/Bogota"},
			})
		}
		return out
	}
	b.Run("chained at once", func(b *testing.B) {
		i := newInstance(b)
		for b.Loop() {
			if err := i.store.RecordAudit(b.Context(), today, entries(today)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/row")
	})
	b.Run("moved", func(b *testing.B) {
		i := newInstance(b)
		i.exec(b, `CREATE TABLE audit_waiting (pos bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line text NOT NULL)`)
		previous, seq := audit.Origin(), int64(0)
		conn, err := pgx.Connect(b.Context(), i.url)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = conn.Close(context.WithoutCancel(b.Context())) }() // nothing is pending on it
		for b.Loop() {
			var lines []string
			for _, e := range entries(today) {
				line, err := e.Line()
				if err != nil {
					b.Fatal(err)
				}
				lines = append(lines, line)
			}
			if _, err := conn.Exec(b.Context(), `INSERT INTO audit_waiting (line) SELECT unnest($1::text[])`, lines); err != nil {
				b.Fatal(err)
			}
			// The relay's part.
			tx, err := conn.Begin(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			rows, err := tx.Query(b.Context(), `DELETE FROM audit_waiting WHERE pos IN (SELECT pos FROM audit_waiting ORDER BY pos LIMIT 1000) RETURNING line`)
			if err != nil {
				b.Fatal(err)
			}
			waiting, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				b.Fatal(err)
			}
			var seqs []int64
			var before, hashes [][]byte
			var ats []time.Time
			var principals, actions, ids []string
			for _, line := range waiting {
				e, err := audit.ParseLine(line)
				if err != nil {
					b.Fatal(err)
				}
				seq++
				h := audit.Next(previous, seq, line)
				seqs, before, hashes = append(seqs, seq), append(before, previous[:]), append(hashes, h[:])
				ats, principals, actions, ids = append(ats, e.At), append(principals, e.Principal), append(actions, e.Action), append(ids, e.SubjectID)
				previous = h
			}
			if _, err := tx.Exec(b.Context(), `INSERT INTO audit SELECT unnest($1::bigint[]), unnest($2::timestamptz[]), unnest($3::text[]), unnest($4::text[]), 'meeting', unnest($5::text[]), 'ok', unnest($6::text[]), unnest($7::bytea[]), unnest($8::bytea[])`,
				seqs, ats, principals, actions, ids, waiting, before, hashes); err != nil {
				b.Fatal(err)
			}
			if _, err := tx.Exec(b.Context(), `UPDATE audit_head SET seq = $1, hash = $2`, seq, previous[:]); err != nil {
				b.Fatal(err)
			}
			if err := tx.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "µs/row")
	})
}

// BenchmarkVerify is the check of the chain.
func BenchmarkVerify(b *testing.B) {
	i := newInstance(b)
	for range 100 {
		entries := make([]audit.Entry, 0, 100)
		for range 100 {
			entries = append(entries, audit.Entry{At: today, Principal: "key:mm_live_7Kq2mXa9", Action: "meeting.create", SubjectKind: audit.Meeting, SubjectID: "1", Outcome: audit.OK, After: audit.Fields{"status": "CREATED"}})
		}
		if err := i.store.RecordAudit(b.Context(), today, entries); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if n, bad := i.verify(b, 10000); n != 10000 || bad != nil {
			b.Fatalf("checked %d, %+v", n, bad)
		}
	}
}
