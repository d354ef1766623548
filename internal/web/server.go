package web

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer is an http.Server with the bounds that the edge does not set: for the head of a request, and for a connection that
// is kept open in between. Bodies and answers are bounded by the edge, request by request.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // scanners' broken handshakes are no news
	}
}
