package postgres_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// schema describes tables, constraints and indexes from the catalog, the same for every supported release: a dump's text
// differs from one to the next.
const schema = `
WITH mine AS (SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'goose_db_version')
SELECT line FROM (
    SELECT relname, 1 AS part, a.attnum::int AS place, format('%s.%s %s%s%s%s', relname, attname, format_type(atttypid, atttypmod),
        CASE WHEN attnotnull THEN ' not null' ELSE '' END, CASE attidentity WHEN 'a' THEN ' always identity' WHEN 'd' THEN ' default identity' ELSE '' END,
        coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) AS line
    FROM mine JOIN pg_attribute a ON a.attrelid = mine.oid AND attnum > 0 AND NOT attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = mine.oid AND d.adnum = attnum
    UNION ALL
    SELECT relname, 2, 0, format('%s: %s %s', relname, conname, pg_get_constraintdef(k.oid)) FROM mine JOIN pg_constraint k ON k.conrelid = mine.oid AND contype <> 'n'
    UNION ALL
    SELECT relname, 3, 0, pg_get_indexdef(i.indexrelid) FROM mine JOIN pg_index i ON i.indrelid = mine.oid
    UNION ALL
    SELECT relname, 4, 0, format('%s with %s', relname, array_to_string(reloptions, ', ')) FROM mine JOIN pg_class USING (oid, relname) WHERE reloptions IS NOT NULL
) AS described ORDER BY relname COLLATE "C", part, place, line COLLATE "C"`

func TestTheMigrationsMakeTheApprovedSchema(t *testing.T) {
	i := newInstance(t)
	golden.Equal(t, "../../migrations/schema.golden.txt", []byte(strings.Join(column[string](t, i, schema), "\n")+"\n"))
}

func TestInstancesThatStartTogetherMigrateOnce(t *testing.T) {
	url := pgtest.New(t, nil)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := postgres.Migrate(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	i := instanceAt(t, url, clock.NewManual(today)) // once more
	if versions := column[int64](t, i, `SELECT version_id FROM goose_db_version ORDER BY id`); !slices.IsSorted(versions) || len(slices.Compact(slices.Clone(versions))) != len(versions) {
		t.Errorf("versions %v", versions)
	}
	i.accept(t, create("doctor@clinic.example"), update(1, meeting.Patch{}))
}
