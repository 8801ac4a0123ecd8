// Package limit measures what the machine could do at best: how many creates the same Postgres commits when nothing stands
// in between, and how many messages the same NATS stores. What the product reaches is judged by these, not by another machine.
package limit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// schema is where the copies of the tables are; it is dropped at the end.
const schema = "bench_limit"

// tables in the order in which they may be written.
func tables() []string {
	return []string{"users", "meetings", "participants", "jobs", "events", "commands"}
}

// row is one row as text, by column; nil is NULL.
type row map[string]*string

// Snapshot is all rows of one meeting at one moment, by table.
type Snapshot map[string][]row

// Read takes the rows of a meeting that is the only one of its organizer.
func Read(ctx context.Context, conn *pgx.Conn, meeting int64) (Snapshot, error) {
	s := make(Snapshot)
	for _, table := range tables() {
		where := "meeting_id = $1"
		switch table {
		case "users":
			where = "id = (SELECT organizer_id FROM public.meetings WHERE id = $1)"
		case "meetings":
			where = "id = $1"
		}
		// hstore would do it in one step, but is not everywhere.
		rows, err := conn.Query(ctx, "SELECT key, value, n FROM (SELECT row_number() OVER () AS n, to_jsonb(t) AS j FROM public."+table+" t WHERE "+where+
			") AS r, jsonb_each_text(j) ORDER BY n", meeting)
		if err != nil {
			return nil, fmt.Errorf("read the rows of a meeting: %w", err)
		}
		var key string
		var value *string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&key, &value, &n}, func() error {
			if n > len(s[table]) {
				s[table] = append(s[table], row{})
			}
			s[table][n-1][key] = value
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the rows of a meeting in %s: %w", table, err)
		}
	}
	return s, nil
}

// Postgres commits creates on one connection, without the product.
type Postgres struct {
	conn *pgx.Conn
	// steps are the two transactions of a create: its own rows, then what Google's answer changes and adds.
	steps [2][]statement
	made  int64 // creates so far: every one has ids of its own
}

// statement writes the rows of a whole batch, one array a column.
type statement struct {
	sql     string
	columns []column
	// rows of one create.
	rows []row
}

type column struct{ name, kind string }

// NewPostgres copies the tables' shape, indexes and references included, into a schema of its own, and prepares the writes
// that turn nothing into pending and pending into done: rows of one create when it was committed, and when Google had
// answered. Close drops it all.
func NewPostgres(ctx context.Context, url string, pending, done Snapshot) (*Postgres, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	// The same guard against plans made for empty tables that the product has.
	for _, off := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.RuntimeParams[off] = "off"
	}
	config.RuntimeParams["search_path"] = schema
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	p := &Postgres{conn: conn}
	if err := p.prepare(ctx, pending, done); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the limits of Postgres: %w", err), p.Close(ctx))
	}
	return p, nil
}

// Close drops the copies and closes the connection.
func (p *Postgres) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	_, err := p.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
	return errors.Join(err, p.conn.Close(ctx))
}

func (p *Postgres) prepare(ctx context.Context, pending, done Snapshot) error {
	if _, err := p.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE; CREATE SCHEMA "+schema); err != nil {
		return err
	}
	for _, table := range tables() {
		if _, err := p.conn.Exec(ctx, "CREATE TABLE "+table+" (LIKE public."+table+" INCLUDING ALL)"); err != nil {
			return err
		}
	}
	for _, table := range tables() {
		if err := p.references(ctx, table); err != nil {
			return err
		}
		columns, err := p.columns(ctx, table)
		if err != nil {
			return err
		}
		before, after := pending[table], done[table]
		if len(before) > 0 {
			p.steps[0] = append(p.steps[0], insert(table, columns, before))
		}
		if len(after) > len(before) { // rows are read in the order in which they were written
			p.steps[1] = append(p.steps[1], insert(table, columns, after[len(before):]))
		}
		if changed := changes(before, after); len(changed) > 0 {
			p.steps[1] = append(p.steps[1], update(table, columns, changed))
		}
	}
	return nil
}

// references copies the foreign keys, which LIKE leaves out.
func (p *Postgres) references(ctx context.Context, table string) error {
	rows, err := p.conn.Query(ctx, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' AND conrelid = $1::regclass", "public."+table)
	if err != nil {
		return err
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := p.conn.Exec(ctx, "ALTER TABLE "+table+" ADD "+strings.ReplaceAll(key, "public.", "")); err != nil {
			return err
		}
	}
	return nil
}

// columns are those that a writer gives: no numbers that the table makes, nor the one that the relay gives an event later.
func (p *Postgres) columns(ctx context.Context, table string) ([]column, error) {
	rows, err := p.conn.Query(ctx, `SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity <> 'a'
		ORDER BY attnum`, schema+"."+table)
	if err != nil {
		return nil, err
	}
	columns, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (column, error) {
		var c column
		return c, r.Scan(&c.name, &c.kind)
	})
	return slices.DeleteFunc(columns, func(c column) bool {
		return table == "participants" && c.name == "id" || table == "events" && c.name == "seq"
	}), err
}

// insert adds rows: those of all creates of a batch in one statement.
func insert(table string, columns []column, rows []row) statement {
	names := make([]string, 0, len(columns))
	for _, c := range columns {
		names = append(names, c.name)
	}
	return statement{
		sql:     "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") " + unnest(columns),
		columns: columns, rows: rows,
	}
}

// update sets every column but the key, as the product does.
func update(table string, columns []column, rows []row) statement {
	var sets []string
	for _, c := range columns {
		if c.name != "id" {
			sets = append(sets, c.name+" = t."+c.name)
		}
	}
	return statement{
		sql:     "UPDATE " + table + " AS u SET " + strings.Join(sets, ", ") + " FROM (" + unnest(columns) + ") AS t WHERE u.id = t.id",
		columns: columns, rows: rows,
	}
}

func unnest(columns []column) string {
	fields := make([]string, 0, len(columns))
	for n, c := range columns {
		fields = append(fields, "unnest($"+strconv.Itoa(n+1)+"::text[])::"+c.kind+" AS "+c.name)
	}
	return "SELECT " + strings.Join(fields, ", ")
}

// changes are the rows that are there before and after, and differ.
func changes(before, after []row) []row {
	var changed []row
	for n, b := range before {
		if n >= len(after) {
			break
		}
		for name, was := range b {
			// An event's number is the relay's work.
			if is := after[n][name]; name != "seq" && (was == nil) != (is == nil) || was != nil && is != nil && name != "seq" && *was != *is {
				changed = append(changed, after[n])
				break
			}
		}
	}
	return changed
}

// Commit writes the rows of size creates: theirs in one transaction, then those of Google's answers in another.
func (p *Postgres) Commit(ctx context.Context, size int) error {
	first := p.made
	p.made += int64(size)
	for _, step := range p.steps {
		batch := new(pgx.Batch)
		batch.Queue("begin")
		for _, s := range step {
			batch.Queue(s.sql, s.arguments(first, size)...)
		}
		batch.Queue("commit")
		if err := p.conn.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("commit %d creates: %w", size, err)
		}
	}
	return nil
}

// arguments are the columns of creates first to first+size-1.
func (s statement) arguments(first int64, size int) []any {
	args := make([]any, 0, len(s.columns))
	for _, c := range s.columns {
		values := make([]*string, 0, size*len(s.rows))
		for n := first; n < first+int64(size); n++ {
			for _, r := range s.rows {
				values = append(values, own(c, r[c.name], n))
			}
		}
		args = append(args, values)
	}
	return args
}

// own makes a value that must differ from create to create create n's own. It is the same each time it is asked for n.
func own(c column, value *string, n int64) *string {
	if value == nil {
		return nil
	}
	switch {
	case c.kind == "uuid":
		id := uuid.NewSHA1(uuid.Nil, []byte(*value+strconv.FormatInt(n, 10))).String()
		return &id
	case c.kind == "bigint" && (c.name == "id" || strings.HasSuffix(c.name, "_id")):
		id := strconv.FormatInt(n+1, 10)
		return &id
	case c.name == "username" || c.name == "email" || c.name == "external_reference" || c.name == "google_event_id" || c.name == "meeting_code":
		text := *value
		if text != "" {
			text = strconv.FormatInt(n, 10) + text
		}
		return &text
	}
	return value
}

// Rate is how many creates a second one connection commits in batches of size during d.
func (p *Postgres) Rate(ctx context.Context, size int, d time.Duration) (float64, error) {
	began := time.Now()
	made := 0
	for time.Since(began) < d {
		if err := p.Commit(ctx, size); err != nil {
			return 0, err
		}
		made += size
	}
	return float64(made) / time.Since(began).Seconds(), nil
}

var digits = regexp.MustCompile(`^[0-9.]+`)

// Version is the server's, such as 15.18.
func (p *Postgres) Version(ctx context.Context) (string, error) {
	var text string
	err := p.conn.QueryRow(ctx, "SHOW server_version").Scan(&text)
	return digits.FindString(text), err
}

// Rows tells how many rows one create writes and changes, for the report.
func (p *Postgres) Rows() (inserted, updated int) {
	for _, step := range p.steps {
		for _, s := range step {
			if strings.HasPrefix(s.sql, "UPDATE") {
				updated += len(s.rows)
			} else {
				inserted += len(s.rows)
			}
		}
	}
	return inserted, updated
}
