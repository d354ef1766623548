package web

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the edge's numbers for operators. A nil *metrics counts nothing.
type metrics struct {
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(into prometheus.Registerer) (*metrics, error) {
	if into == nil {
		return nil, nil
	}
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mediavault_http_request_duration_seconds", Help: "Time from a request's first line to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30},
		}, []string{"route", "method", "status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mediavault_http_requests_in_flight", Help: "Requests being answered now.",
		}),
	}
	if err := into.Register(m.duration); err != nil {
		return nil, err
	}
	return m, into.Register(m.inFlight)
}

func (m *metrics) began() {
	if m != nil {
		m.inFlight.Inc()
	}
}

func (m *metrics) ended(route, verb string, status int, took time.Duration) {
	if m != nil {
		m.inFlight.Dec()
		m.duration.WithLabelValues(route, method(verb), strconv.Itoa(status)).Observe(took.Seconds())
	}
}
