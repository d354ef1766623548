package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// TestPlans holds Postgres to the ways that the statements mean, with statistics and without.
func TestPlans(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	plan := func(sql string, args string) string {
		t.Helper()
		exec(`PREPARE explained AS ` + sql)
		defer exec(`DEALLOCATE explained`)
		rows, err := conn.Query(ctx, `EXPLAIN EXECUTE explained(`+args+`)`, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	// The committer plans once, perhaps on an empty log, and stays with that.
	writers := func(stage string) {
		t.Helper()
		for _, c := range []struct {
			sql, args string
			conds     []string
		}{
			{streamsSQL, `'{media-7}'`, []string{"Index Cond: (stream = s.name)", "Index Cond: (origin = o.\"position\")"}},
			{idsSQL, `'{media-7}', '{550e8400-e29b-41d4-a716-446655440000}'`, []string{
				"Index Cond: (stream = q.stream)", "Index Cond: (((origin | '0'::bigint) = o.\"position\") AND (event_id = q.event_id))"}},
		} {
			p := plan(c.sql, c.args)
			for _, cond := range c.conds {
				if !strings.Contains(p, cond) {
					t.Errorf("%s:\n%s\nis answered by\n%s", stage, c.sql, p)
				}
			}
		}
	}
	for name, value := range writerSettings {
		exec(fmt.Sprintf(`SET %s = '%s'`, name, value))
	}
	writers("an empty log")
	exec(`INSERT INTO events SELECT n, greatest(n / 20 * 20, 1), CASE WHEN n < 20 THEN n - 1 ELSE n % 20 END, now(), gen_random_uuid(), 'media-' || n / 20,
		CASE WHEN n % 1000 = 0 THEN 'rare' ELSE 'common' END, '', '' FROM generate_series(1, 20000) AS n`)
	for n := range 20000 / blockSize {
		exec(fmt.Sprintf(blockSQL, n, n*blockSize, (n+1)*blockSize))
	}
	writers("a young log")
	for name := range writerSettings {
		exec(`RESET ` + name)
	}
	exec(`ALTER TABLE events_blocks SET (autovacuum_enabled = off)`)
	exec(`ALTER TABLE events SET (autovacuum_enabled = off)`)
	for _, stage := range []string{`SET plan_cache_mode = force_generic_plan`, `ANALYZE events, events_blocks`, `SET plan_cache_mode = force_custom_plan`} {
		exec(stage)
		for _, c := range []struct{ sql, args, index string }{
			{streamForwardSQL, `'media-7', 0, 1000`, "events_revision_key"},
			{streamBackwardSQL, `'media-7', 19, 1000`, "events_revision_key"},
			{forwards.byType, `0, 20001, '{rare,never}', 1000`, "events_blocks_pkey"},
			{backwards.byType, `0, 20001, '{rare,common}', 1000`, "events_blocks_pkey"},
			{forwards.byCategory, `0, 20001, '{media}', 1000`, "events_blocks_category_idx"},
			{forwards.dense, `100, 4100, '{media}', '{common}', 1000`, "events_pkey"},
			{backwards.dense, `100, 4100, NULL, NULL, 1000`, "events_pkey"},
		} {
			if p := plan(c.sql, c.args); !strings.Contains(p, c.index) || (strings.Contains(p, "Seq Scan on events")) {
				t.Errorf("%s:\n%s\nis answered by\n%s", stage, c.sql, p)
			}
		}
	}
}
