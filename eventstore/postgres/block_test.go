package postgres_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
)

// TestBlocksSayWhatTheLogSays has two processes take turns within blocks, and batches fail: whoever completes a block, from what it
// knows or by asking, every event is in it once.
func TestBlocksSayWhatTheLogSays(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.New(t)
	logs := []eventstore.Log{open(t, pool), open(t, pool)}
	last := eventstore.Entry{}
	for turn, n := range []int{700, 1, 700, 1024, 3000, 10, 620, 2048, 17, 1024, 512, 400} {
		log, stream := logs[(turn/2)%2], eventstore.Stream(fmt.Sprintf("it's %d-%d", turn%3, turn))
		entries := make([]eventstore.Entry, n)
		for i := range entries {
			entries[i] = entry(i)
			entries[i].Type = fmt.Sprintf(`test.\'%d`, i%5)
		}
		if _, err := log.Append(ctx, stream, eventstore.Any, entries...); err != nil {
			t.Fatal(err)
		}
		if last.ID != uuid.Nil { // is placed first, fails in Postgres, and is found to be there then
			if r, err := log.Append(ctx, eventstore.Stream(fmt.Sprintf("it's %d-%d", (turn-1)%3, turn-1)), eventstore.Any, last); err != nil || !r.Repeated {
				t.Fatalf("a repeated append: %+v, %v", r, err)
			}
		}
		last = entries[n-1]
	}
	checkBlocks(t, pool)
}

// checkBlocks compares the blocks with the log.
func checkBlocks(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	var head, missing, wrong, places int
	if err := pool.QueryRow(context.Background(), `
		WITH blocks AS (SELECT type, category, block * 1024 + 1 + unnest(places) AS position FROM events_blocks)
		SELECT (SELECT count(*) FROM events e LEFT JOIN blocks b USING (position) WHERE b.position IS NULL AND e.position <= h.position / 1024 * 1024),
			(SELECT count(*) FROM blocks b LEFT JOIN events e USING (position)
				WHERE e.position IS NULL OR e.type <> b.type OR split_part(e.stream, '-', 1) <> b.category),
			(SELECT count(*) FROM blocks), h.position FROM events_head h`).Scan(&missing, &wrong, &places, &head); err != nil {
		t.Fatal(err)
	}
	if missing != 0 || wrong != 0 || places != head/1024*1024 {
		t.Errorf("%d places in blocks, want %d; %d events are in none, %d in the wrong one", places, head/1024*1024, missing, wrong)
	}
}
