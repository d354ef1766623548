package reactors

import "github.com/prometheus/client_golang/prometheus"

// metrics are what an operator watches of reactors.
type metrics struct {
	reactions  *prometheus.CounterVec
	failures   *prometheus.CounterVec
	retries    *prometheus.CounterVec
	parked     *prometheus.CounterVec
	parkedKeys *prometheus.GaugeVec
	lag        *prometheus.GaugeVec
	inFlight   *prometheus.GaugeVec
	delay      *prometheus.HistogramVec
	took       *prometheus.HistogramVec
	open       *prometheus.GaugeVec
}

func newMetrics(into prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mediavault_reactor_" + name, Help: help}, []string{"reactor"})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mediavault_reactor_" + name, Help: help}, []string{"reactor"})
	}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mediavault_reactor_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 18),
		}, []string{"reactor"})
	}
	m := &metrics{
		reactions:  counter("reactions_total", "Events that were reacted to."),
		failures:   counter("failures_total", "Reactions that failed, each attempt."),
		retries:    counter("retries_total", "Reactions that were tried again."),
		parked:     counter("parked_total", "Events that were parked because they kept failing."),
		parkedKeys: gauge("parked_keys", "Keys whose events are parked now."),
		lag:        gauge("lag_events", "Events of the log after the reactor's checkpoint, of whatever type."),
		inFlight:   gauge("in_flight", "Events that were handed out and are not done."),
		delay:      histogram("delay_seconds", "From an event's recording to its being handed to the reactor, while it follows live."),
		took:       histogram("reaction_seconds", "How long one attempt took."),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mediavault_circuit_open", Help: "1 while nobody asks the neighbour because it kept failing, 0.5 while one attempt is let through.",
		}, []string{"neighbour"}),
	}
	if into != nil {
		into.MustRegister(m.reactions, m.failures, m.retries, m.parked, m.parkedKeys, m.lag, m.inFlight, m.delay, m.took, m.open)
	}
	return m
}
