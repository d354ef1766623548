package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/pprof"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Served is a vault that runs while it is measured.
type Served struct {
	Base  string // http://host:port
	Token string // of a user
}

// APIOptions say against what the API is measured, and how long.
type APIOptions struct {
	// Serve runs the named parts of the vault (all, when none is named) for as long as use runs. It is called several times, on
	// the same data.
	Serve   func(ctx context.Context, parts []string, use func(context.Context, Served) error) error
	Clients int // 0: 64
	Items   int // that are described; 0: 512
	Time    time.Duration
}

// API measures the write API over real HTTP: PATCH of a title by many clients with the token checked, beside the same clients
// asking for /healthz, which is what HTTP itself costs here: in a vault that runs all its parts, in one without reactors, and in
// one that only writes, which shows where the time goes.
func API(ctx context.Context, w io.Writer, o APIOptions) error {
	if o.Clients == 0 {
		o.Clients = 64
	}
	if o.Items == 0 {
		o.Items = 512
	}
	if o.Time == 0 {
		o.Time = 10 * time.Second
	}
	var ids []string
	for _, parts := range [][]string{nil, {"write", "project"}, {"write"}} {
		what := "all parts serve"
		if len(parts) > 0 {
			what = "serve " + strings.Join(parts, " ")
		}
		var err error
		pprof.Do(ctx, pprof.Labels("bench", what), func(ctx context.Context) {
			err = o.Serve(ctx, parts, func(ctx context.Context, s Served) error { return apiPart(ctx, w, o, what, &ids, s) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// apiPart measures the vault as it is served now. The first time it uploads the items.
func apiPart(ctx context.Context, w io.Writer, o APIOptions, what string, ids *[]string, s Served) error {
	if *ids == nil {
		var err error
		if *ids, err = someItems(ctx, s, o.Items); err != nil {
			return err
		}
		if err := settled(ctx, s.Base); err != nil {
			return err
		}
		health, err := hammer(ctx, s, o, [][]byte{[]byte("GET /healthz HTTP/1.1\r\nHost: vault\r\n\r\n")})
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "GET /healthz, %d clients: what HTTP costs        %s  %s\n", o.Clients, health.requests(), health.cpu)
	}
	patch, err := hammer(ctx, s, o, titles(s, *ids))
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "PATCH title, %d clients, %-24s %s  %s\n", o.Clients, what, patch.requests(), patch.cpu)
	return nil
}

// titles are requests that each give an item a title that it never had.
func titles(s Served, ids []string) [][]byte {
	requests := make([][]byte, len(ids))
	for i, id := range ids {
		body := fmt.Sprintf(`{"title":"Harbour %s, at dusk"}`, marker)
		requests[i] = fmt.Appendf(nil, "PATCH /v1/media/%s HTTP/1.1\r\nHost: vault\r\nUser-Agent: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			id, s.Token, len(body), body)
	}
	return requests
}

// someItems uploads the items that are described: text, of which nothing is derived.
func someItems(ctx context.Context, s Served, n int) ([]string, error) {
	ids := make([]string, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range ids {
		g.Go(func() error {
			body := fmt.Sprintf("This is item %d.\n", i)
			var err error
			ids[i], err = uploadBody(ctx, s, fmt.Sprintf("item-%d.txt", i), "text/plain", strings.NewReader(body), int64(len(body)))
			return err
		})
	}
	return ids, g.Wait()
}

// uploadBody sends a raw body and answers the item's id.
func uploadBody(ctx context.Context, s Served, name, contentType string, body io.Reader, size int64) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Base+"/v1/media", body)
	if err != nil {
		return "", err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return sendUpload(s, req)
}

func sendUpload(s Served, req *http.Request) (string, error) {
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		ID     string `json:"id"`
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("upload: %s: %s", resp.Status, answer.Detail)
	}
	return answer.ID, nil
}

// settled waits until the reactors have done what there was to do, and what followed from it: what they do for the uploads must
// not be measured with what comes then.
func settled(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Second) // as often as the reactors say how far they are
	defer tick.Stop()
	for quiet := 0; quiet < 3; {
		select {
		case <-ctx.Done():
			return errors.New("the reactors do not come to rest")
		case <-tick.C:
		}
		busy, err := busy(ctx, base)
		if err != nil {
			return err
		}
		if quiet++; busy {
			quiet = 0
		}
	}
	return nil
}

// busy reports whether a reactor is behind, by the vault's metrics.
func busy(ctx context.Context, base string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	behind, found := false, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, "mediavault_reactor_lag_events{") && !strings.HasPrefix(line, "mediavault_reactor_in_flight{") {
			continue
		}
		found = true
		behind = behind || !strings.HasSuffix(line, " 0")
	}
	return behind || !found, lines.Err()
}

// hammer lets the clients ask, and says what it cost the vault, its Postgres and the clients.
func hammer(ctx context.Context, s Served, o APIOptions, requests [][]byte) (figures, error) {
	target, err := url.Parse(s.Base)
	if err != nil {
		return figures{}, err
	}
	cpu := newOwnCPUMeter()
	cpu.start()
	got, err := ask(ctx, LoadJob{Requests: &requestsJob{Address: target.Host, Clients: o.Clients, Time: o.Time, Requests: requests}})
	if err != nil {
		return figures{}, err
	}
	f := figuresOf(got.Took, o.Time)
	f.cpu = fmt.Sprintf("%s, %5.2f us in the clients", cpu.per(got.All), float64(got.CPU.Microseconds())/float64(max(got.All, 1)))
	return f, nil
}
