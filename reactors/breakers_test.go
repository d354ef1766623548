package reactors_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/reactors"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	store, pool, w := newStore(t), pgtest.New(t), newWitness()
	down := errors.New("does not answer")
	var up atomic.Bool
	var asked atomic.Int64
	w.fail = func(eventstore.Recorded) error {
		asked.Add(1)
		if up.Load() {
			return nil
		}
		return down
	}
	opts := quick()
	opts.BreakAfter, opts.BreakFor = 3, 20*time.Millisecond
	opts.Transient = func(err error) bool { return errors.Is(err, down) }
	registry := prometheus.NewRegistry()
	opts.Metrics = registry
	for n := range 50 {
		happen(t, store, streamOf(n), 0)
	}
	run(t, store, pool, opts, tuned{w, reactors.Tuning{Neighbours: []string{"clamd"}, Concurrency: 2}})
	waitFor(t, func() bool { return gauge(t, registry, "mediavault_circuit_open") > 0 })
	up.Store(true)
	w.await(t, 50)
	if n := parked(t, pool); n != 0 {
		t.Errorf("%d events were parked because a neighbour was down", n)
	}
	if gauge(t, registry, "mediavault_reactor_reactions_total") != 50 {
		t.Error("reactions were not counted")
	}
}

func TestABreakerStopsThoseAloneWhoNeedTheNeighbourThatFails(t *testing.T) {
	t.Parallel()
	store, pool, needs, other := newStore(t), pgtest.New(t), newWitness(), newWitness()
	down, lost := errors.New("the scanner does not answer"), errors.New("the database does not answer")
	var up atomic.Bool
	var asked, tries atomic.Int64
	needs.fail = func(eventstore.Recorded) error {
		if asked.Add(1); up.Load() {
			return nil
		}
		return down
	}
	other.fail = func(eventstore.Recorded) error {
		if tries.Add(1)%2 == 1 {
			return lost // nobody's fault who has a circuit
		}
		return nil
	}
	opts, registry := quick(), prometheus.NewRegistry()
	opts.BreakAfter, opts.BreakFor, opts.Metrics = 2, time.Hour, registry
	opts.Transient = func(err error) bool { return errors.Is(err, down) || errors.Is(err, lost) }
	opts.Neighbour = func(err error) string {
		if errors.Is(err, down) {
			return "scanner"
		}
		return ""
	}
	for n := range 20 {
		happen(t, store, streamOf(n), 0)
	}
	run(t, store, pool, opts, renamed{tuned{needs, reactors.Tuning{Neighbours: []string{"storage", "scanner"}, Concurrency: 1}}, "needs"},
		renamed{tuned{other, reactors.Tuning{Neighbours: []string{"storage"}, Concurrency: 1}}, "other"})
	other.await(t, 20)
	waitFor(t, func() bool { return circuits(t, registry)["scanner"] == 1 })
	if got := circuits(t, registry); got["storage"] != 0 || asked.Load() != 2 || parked(t, pool) != 0 {
		t.Errorf("circuits %v, asked %d times, %d parked", got, asked.Load(), parked(t, pool))
	}
}

// circuits are what is told of each neighbour's.
func circuits(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "mediavault_circuit_open" {
				all[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return all
}
