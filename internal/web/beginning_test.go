package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/internal/web"
)

func TestADownloadHasToBeginInTimeAndMayThenTakeIts(t *testing.T) {
	t.Parallel()
	const idle = 200 * time.Millisecond
	url, _, _ := serve(t, web.Options{Idle: idle}, func(r *mux.Router) {
		r.Handle("/silent", web.Streaming(func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done() // a neighbour that says nothing
			return r.Context().Err()
		}))
		later := func(begin func(http.ResponseWriter, *http.Request, func(context.Context) error) error) web.Streaming {
			return func(w http.ResponseWriter, r *http.Request) error {
				return begin(w, r, func(ctx context.Context) error {
					select {
					case <-time.After(3 * idle): // what is under test is that this time is given
						return nil
					case <-ctx.Done():
						return errors.New("it was ended")
					}
				})
			}
		}
		r.Handle("/bytes", later(func(w http.ResponseWriter, r *http.Request, wait func(context.Context) error) error {
			w.WriteHeader(http.StatusOK)
			if err := wait(r.Context()); err != nil {
				return err
			}
			_, err := io.WriteString(w, "whole")
			return err
		}))
		r.Handle("/lines", later(func(w http.ResponseWriter, r *http.Request, wait func(context.Context) error) error {
			return web.ServeLines(w, r, func(ctx context.Context, out *web.Lines) error {
				if err := wait(ctx); err != nil {
					return err
				}
				return out.Write("whole")
			})
		}))
		r.Handle("/events", later(func(w http.ResponseWriter, r *http.Request, wait func(context.Context) error) error {
			return web.ServeEvents(w, r, time.Hour, func(ctx context.Context, out *web.Events) error {
				if err := wait(ctx); err != nil {
					return err
				}
				return out.Send("", "", []byte("whole"))
			})
		}))
	})
	res, body := do(t, http.MethodGet, url+"/silent")
	if p := problem(t, body); res.StatusCode != http.StatusServiceUnavailable || p.Code != "timeout" || res.Header.Get("Retry-After") == "" {
		t.Errorf("silent: %d %+v", res.StatusCode, p)
	}
	for path, want := range map[string]string{"/bytes": "whole", "/lines": "\"whole\"\n", "/events": "data: whole\n\n"} {
		if res, body := do(t, http.MethodGet, url+path); res.StatusCode != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
	}
}
