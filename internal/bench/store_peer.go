package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/eventstore"
)

// The peer is the usual way of keeping order: a transaction for each event, behind a locked head row, with the same columns
// and keys as ours.
const (
	peerSetupSQL = `
		DROP TABLE IF EXISTS bench_events, bench_head;
		CREATE TABLE bench_head (position bigint NOT NULL) WITH (fillfactor = 10);
		INSERT INTO bench_head VALUES (0);
		CREATE TABLE bench_events (LIKE events INCLUDING INDEXES INCLUDING STORAGE)`
	peerHeadSQL   = `UPDATE bench_head SET position = position + 1 RETURNING position`
	peerInsertSQL = `INSERT INTO bench_events (position, origin, revision, recorded_at, event_id, stream, type, data, metadata)
		VALUES ($1, $1, 0, now(), gen_random_uuid(), 'media-' || gen_random_uuid(), 'media.described', $2, $3)`
)

func (b *storeBench) peers(e eventstore.Entry, one, ten figures) error {
	for _, clients := range []int{1, 64} {
		if _, err := b.pool.Exec(b.ctx, peerSetupSQL); err != nil {
			return fmt.Errorf("bench: peer: %w", err)
		}
		name, rate, err := b.peer(e, clients)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.w, "peer: a row per transaction behind a locked head row, %s, %2d clients: %7.0f ev/s (ours x 1: %.1f times, x 10: %.1f times)\n",
			name, clients, rate, one.perSecond/rate, ten.perSecond/rate)
	}
	_, err := b.pool.Exec(b.ctx, `DROP TABLE bench_events, bench_head`)
	return err
}

// peer measures with pgbench where it is installed, and else with what ours is measured with, pgx.
func (b *storeBench) peer(e eventstore.Entry, clients int) (name string, rate float64, err error) {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		rate, err = b.peerPgx(e, clients)
		return "pgx", rate, err
	}
	rate, err = b.peerPgbench(program, e, clients)
	return "pgbench", rate, err
}

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

func (b *storeBench) peerPgbench(program string, e eventstore.Entry, clients int) (float64, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "peer.sql")
	insert := fmt.Sprintf(`INSERT INTO bench_events (position, origin, revision, recorded_at, event_id, stream, type, data, metadata)
		VALUES (:position, :position, 0, now(), gen_random_uuid(), 'media-' || gen_random_uuid(), 'media.described', '\x%x', '\x%x')`,
		e.Data, e.Metadata)
	if err := os.WriteFile(script, []byte("BEGIN;\n"+peerHeadSQL+" \\gset\n"+insert+";\nCOMMIT;\n"), 0o600); err != nil {
		return 0, err
	}
	// On a machine that has much else to do a second may pass without a transaction.
	for seconds := max(1, int(b.For.Seconds())); ; seconds *= 4 {
		rate, said, err := b.pgbench(program, script, clients, seconds)
		if err != nil || rate > 0 {
			return rate, err
		}
		if seconds > 60 {
			return 0, fmt.Errorf("bench: pgbench said nothing of its rate: %s", said)
		}
	}
}

// pgbench runs the script and answers its transactions per second; 0 where there was none, and what it said.
func (b *storeBench) pgbench(program, script string, clients, seconds int) (rate float64, said []byte, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, time.Duration(seconds+30)*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--no-vacuum", "--protocol=prepared", "--file="+script, //nolint:gosec // pgbench, by us
		"--client="+strconv.Itoa(clients), "--jobs="+strconv.Itoa(min(clients, 2)),
		"--time="+strconv.Itoa(seconds), b.url)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return 0, nil, fmt.Errorf("bench: pgbench: %w: %s", err, stderr.Bytes())
	}
	if found := tps.FindSubmatch(out.Bytes()); found != nil {
		rate, err = strconv.ParseFloat(string(found[1]), 64)
	}
	return rate, out.Bytes(), err
}

func (b *storeBench) peerPgx(e eventstore.Entry, clients int) (float64, error) {
	var (
		group sync.WaitGroup
		n     atomic.Int64
		errs  = make([]error, clients)
		start = time.Now()
	)
	for c := range clients {
		group.Go(func() {
			conn, err := pgx.Connect(b.ctx, b.url)
			if err != nil {
				errs[c] = err
				return
			}
			defer conn.Close(b.ctx)
			for time.Since(start) < b.For && errs[c] == nil {
				errs[c] = pgx.BeginFunc(b.ctx, conn, func(tx pgx.Tx) error {
					var position int64
					if err := tx.QueryRow(b.ctx, peerHeadSQL).Scan(&position); err != nil {
						return err
					}
					_, err := tx.Exec(b.ctx, peerInsertSQL, position, e.Data, e.Metadata)
					return err
				})
				n.Add(1)
			}
		})
	}
	group.Wait()
	return float64(n.Load()) / time.Since(start).Seconds(), errors.Join(errs...)
}
