package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 10)
	url, log, edge := serve(t, web.Options{}, func(r *mux.Router) {
		r.Handle("/events", web.Streaming(func(w http.ResponseWriter, r *http.Request) error {
			err := web.ServeEvents(w, r, 5*time.Millisecond, func(ctx context.Context, out *web.Events) error {
				if r.URL.Query().Has("refuse") {
					return domain.Refuse(domain.Forbidden, "not_yours", "no")
				}
				if err := out.Send("1", "media.uploaded", []byte("one\r\ntwo")); err != nil {
					return err
				}
				if err := out.SendJSON("2", "", map[string]int{"a": 1}); err != nil {
					return err
				}
				if err := out.Send("3\n", "", nil); err == nil {
					return errors.New("an id with a line break was accepted")
				}
				if err := out.Flush(); err != nil {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			})
			if !r.URL.Query().Has("refuse") {
				ended <- err
			}
			return err
		}))
	})
	open := func() (*bufio.Reader, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cancel(); _ = res.Body.Close() })
		if res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%v", res.Header)
		}
		return bufio.NewReader(res.Body), cancel
	}
	expect := func(from *bufio.Reader, want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
	}
	both := "id: 1\nevent: media.uploaded\ndata: one\ndata: two\n\nid: 2\ndata: {\"a\":1}\n\n: beat\n\n: beat\n\n"
	stream, leave := open()
	expect(stream, both)
	leave()
	if err := <-ended; err != nil {
		t.Errorf("a client that left: %v", err)
	}
	res, body := do(t, http.MethodGet, url+"/events?refuse")
	if res.StatusCode != 403 || problem(t, body).Code != "not_yours" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	stream, _ = open()
	expect(stream, both)
	edge.Drain()
	if err := <-ended; err != nil {
		t.Errorf("a stream that was drained: %v", err)
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		t.Errorf("the end of a drained stream: %v", err)
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Error(log)
	}
}

func TestALiveStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	url, _, _ := serve(t, web.Options{Until: func(r *http.Request) time.Time {
		if r.URL.Query().Has("forever") {
			return time.Time{}
		}
		return time.Now().Add(30 * time.Millisecond)
	}}, func(r *mux.Router) {
		r.Handle("/events", web.Streaming(func(w http.ResponseWriter, r *http.Request) error {
			return web.ServeEvents(w, r, 0, func(ctx context.Context, out *web.Events) error {
				if err := errors.Join(out.Send("7", "", []byte("seven")), out.Flush()); err != nil {
					return err
				}
				if r.URL.Query().Has("forever") {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			})
		}))
	})
	const seven = "id: 7\ndata: seven\n\n"
	_, body := do(t, http.MethodGet, url+"/events")
	if last, ok := strings.CutPrefix(string(body), seven+"event: expired\ndata: {"); !ok || !strings.Contains(last, `"code":"token_expired"`) || !strings.HasSuffix(last, "}\n\n") {
		t.Errorf("a stream whose token expired: %q", body)
	}
	if _, body := do(t, http.MethodGet, url+"/events?forever"); string(body) != seven {
		t.Errorf("a stream that ended before: %q", body)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	url, _, _ := serve(t, web.Options{}, func(r *mux.Router) {
		r.Handle("/lines/{n:[0-9]+}", web.Streaming(func(w http.ResponseWriter, r *http.Request) error {
			var n int
			_, _ = fmt.Sscan(mux.Vars(r)["n"], &n)
			return web.ServeLines(w, r, func(_ context.Context, out *web.Lines) error {
				for i := range n {
					if err := out.Write(map[string]any{"i": i, "text": "<&>"}); err != nil {
						return err
					}
				}
				if r.URL.Query().Has("fail") {
					return errors.New("the database is gone")
				}
				return nil
			})
		}))
	})
	res, body := do(t, http.MethodGet, url+"/lines/5000")
	if lines := strings.Split(body, "\n"); res.StatusCode != 200 || len(lines) != 5001 || lines[4999] != `{"i":4999,"text":"<&>"}` || res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d, %d lines", res.StatusCode, len(lines))
	}
	res, body = do(t, http.MethodGet, url+"/lines/0")
	if res.StatusCode != 200 || body != "" || res.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("nothing: %d %q %v", res.StatusCode, body, res.Header)
	}
	res, body = do(t, http.MethodGet, url+"/lines/3?fail")
	if res.StatusCode != 500 || problem(t, body).Code != "internal" {
		t.Errorf("a fault before the first bytes: %d %s", res.StatusCode, body)
	}
	whole, err := http.Get(url + "/lines/5000?fail")
	if err == nil {
		defer func() { _ = whole.Body.Close() }()
		if _, err := io.Copy(io.Discard, whole.Body); err == nil {
			t.Error("half an export looks like the whole")
		}
	}
}

func TestWhoStandsStillIsLetGo(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 2)
	url, log, _ := serve(t, web.Options{Idle: 100 * time.Millisecond}, func(r *mux.Router) {
		r.Handle("/down", web.Streaming(func(w http.ResponseWriter, _ *http.Request) error {
			var err error
			for chunk := make([]byte, 1<<20); err == nil; {
				_, err = w.Write(chunk)
			}
			ended <- err
			return err
		}))
		r.Handle("/up", web.Streaming(func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
			return err
		}))
	})
	for _, head := range []string{"GET /down HTTP/1.1\r\nHost: x\r\n\r\n", "POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: no error", head)
		}
	}
	if strings.Contains(log.String(), "level=ERROR") {
		t.Error(log)
	}
}

func TestAnExportThatIsDrainedIsNotTakenForEmpty(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	url, _, edge := serve(t, web.Options{}, func(r *mux.Router) {
		r.Handle("/lines", web.Streaming(func(w http.ResponseWriter, r *http.Request) error {
			return web.ServeLines(w, r, func(ctx context.Context, _ *web.Lines) error {
				close(reached)
				<-ctx.Done()
				return ctx.Err()
			})
		}))
	})
	go func() { <-reached; edge.Drain() }()
	res, body := do(t, http.MethodGet, url+"/lines")
	if res.StatusCode != 503 || problem(t, body).Code != "shutting_down" || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestADeadlineIsForOneRead(t *testing.T) {
	t.Parallel()
	for _, protocol := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", protocol), func(t *testing.T) {
			t.Parallel()
			edge, err := web.New(web.Options{Timeout: time.Second, Idle: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			router := web.NewRouter()
			router.Handle("/late", web.Streaming(late)).Methods(http.MethodPost)
			s := httptest.NewUnstartedServer(edge.Serve(router))
			s.EnableHTTP2 = protocol == 2
			s.StartTLS()
			t.Cleanup(s.Close)
			res, err := s.Client().Post(s.URL+"/late", "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "here and there" || res.ProtoMajor != protocol {
				t.Errorf("%s: %q %v", res.Proto, body, err)
			}
			again, err := s.Client().Get(s.URL + "/nowhere")
			if err != nil || again.StatusCode != http.StatusNotFound {
				t.Fatalf("the next request: %v %v", again, err)
			}
			_ = again.Body.Close()
		})
	}
}

// late stands still, longer than the edge's idle time, after reading and between two writes.
func late(w http.ResponseWriter, r *http.Request) error {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	for _, text := range []string{"here", " and there"} {
		passed := time.NewTimer(120 * time.Millisecond)
		select {
		case <-passed.C:
		case <-r.Context().Done():
			return r.Context().Err()
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
	}
	return nil
}
