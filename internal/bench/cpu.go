package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A cpuMeter tells what work costs in CPU time, which a busy machine changes far less than it changes the rate: of this process,
// and of all of Postgres's when it runs here. Off Linux, or with Postgres elsewhere, it has less to tell.
type cpuMeter struct {
	postmaster int // 0: not here
	own, pg    time.Duration
}

func newCPUMeter(ctx context.Context, pool *pgxpool.Pool) *cpuMeter {
	m := &cpuMeter{}
	var backend int
	if err := pool.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&backend); err != nil {
		return m
	}
	if p, ok := processOf(strconv.Itoa(backend)); ok && p.name == "postgres" {
		m.postmaster = p.parent
	}
	return m
}

// newOwnCPUMeter is for a Postgres that this process started itself.
func newOwnCPUMeter() *cpuMeter {
	m := &cpuMeter{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return m
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := processOf(e.Name()); ok && p.name == "postgres" && p.parent == os.Getpid() {
			m.postmaster = pid
		}
	}
	return m
}

func (m *cpuMeter) start() { m.own, m.pg = m.read() }

// per says what was used since start, for each of n things.
func (m *cpuMeter) per(n int) string {
	own, pg := m.read()
	one := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(n, 1)) }
	switch {
	case own == 0:
		return "CPU not known"
	case m.postmaster == 0:
		return fmt.Sprintf("CPU each: %5.2f us here", one(own-m.own))
	default:
		return fmt.Sprintf("CPU each: %5.2f us here, %5.2f us in Postgres", one(own-m.own), one(pg-m.pg))
	}
}

func (m *cpuMeter) read() (own, pg time.Duration) {
	if p, ok := processOf("self"); ok {
		own = p.used
	}
	if m.postmaster == 0 {
		return own, 0
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return own, 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := processOf(e.Name()); ok && pid == m.postmaster {
			pg += p.used + p.ended
		} else if ok && p.parent == m.postmaster {
			pg += p.used
		}
	}
	return own, pg
}

type process struct {
	name        string
	parent      int
	used, ended time.Duration // by itself; by children that ended
}

const tick = 10 * time.Millisecond // of the times in /proc, on every Linux that Go runs on

func processOf(pid string) (process, bool) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	open, shut := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if err != nil || open < 0 || shut < open {
		return process{}, false
	}
	fields := bytes.Fields(stat[shut+1:]) // from field 3 of proc_pid_stat(5)
	if len(fields) < 15 {
		return process{}, false
	}
	number := func(field int) int { n, _ := strconv.Atoi(string(fields[field-3])); return n }
	return process{
		name: string(stat[open+1 : shut]), parent: number(4),
		used:  time.Duration(number(14)+number(15)) * tick,
		ended: time.Duration(number(16)+number(17)) * tick,
	}, true
}
