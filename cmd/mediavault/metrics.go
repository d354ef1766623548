package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mediavault-io/mediavault/projections"
)

// metrics are the vault's own, beside those of the edge and of Go.
type metrics struct {
	projected *prometheus.CounterVec
	parked    *prometheus.CounterVec
	position  *prometheus.GaugeVec
	batch     *prometheus.HistogramVec
	age       *prometheus.HistogramVec
}

func newMetrics(into prometheus.Registerer, log eventLog) *metrics {
	m := &metrics{
		projected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediavault_projection_events_total", Help: "Events that a read model took in.",
		}, []string{"projection"}),
		parked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mediavault_projection_parked_total", Help: "Events that a read model set aside because they could not be processed.",
		}, []string{"projection"}),
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "mediavault_projection_position", Help: "The position up to which a read model has come.",
		}, []string{"projection"}),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mediavault_projection_batch_seconds", Help: "How long a batch of a read model took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"projection"}),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mediavault_projection_age_seconds", Help: "From an event's recording to its being visible in a read model, while it follows live.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"projection"}),
	}
	into.MustRegister(m.projected, m.parked, m.position, m.batch, m.age,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "mediavault_events_appended_total", Help: "Events that this process appended.",
		}, func() float64 { return float64(log.counts().events) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "mediavault_append_batches_total", Help: "Transactions in which they were committed.",
		}, func() float64 { return float64(log.counts().batches) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "mediavault_append_retries_total", Help: "How often the event store was asked again, after a lost connection.",
		}, func() float64 { return float64(log.counts().retries) }))
	return m
}

func (m *metrics) observe(b projections.Batch) {
	m.projected.WithLabelValues(b.Projection).Add(float64(b.Events))
	m.parked.WithLabelValues(b.Projection).Add(float64(b.Parked))
	m.position.WithLabelValues(b.Projection).Set(float64(b.Position))
	m.batch.WithLabelValues(b.Projection).Observe(b.Took.Seconds())
	if b.Live && b.Events > 0 {
		m.age.WithLabelValues(b.Projection).Observe(b.Age.Seconds())
	}
}
