package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/demo"
)

var rounds = flag.Int("rounds", 3, "how often the vault is killed at a random moment and started again")

// acked is a write that the vault acknowledged: from then on it may not be lost.
type acked struct {
	demo.Written
	title  string // of a description
	sha256 string // of an upload
}

// journal is what the clients were told.
type journal struct {
	mu    sync.Mutex // guards all below
	acks  []acked
	media []string // acknowledged uploads
	bad   []error  // answers with status 500: a lost neighbour is a 503
}

func (j *journal) fault(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bad = append(j.bad, err)
}

func (j *journal) add(a acked) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acks = append(j.acks, a)
	if a.sha256 != "" {
		j.media = append(j.media, a.ID)
	}
}

func (j *journal) any(rnd *rand.Rand) (string, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.media) == 0 {
		return "", false
	}
	return j.media[rnd.IntN(len(j.media))], true
}

func (j *journal) all() []acked {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]acked(nil), j.acks...)
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	j := &journal{}
	v := startVault(t, dir)
	alice := v.as("alice", "user")
	for round := range *rounds {
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for w := range 8 {
			writers.Go(func() { writeAtRandom(ctx, alice, j, rand.New(rand.NewPCG(seed, uint64(round*100+w)))) })
		}
		select {
		case <-time.After(time.Duration(200+rnd.IntN(1300)) * time.Millisecond): // the random moment of the kill, not a wait for anything
		case <-t.Context().Done():
		}
		whole := true
		switch rnd.IntN(4) {
		case 0:
			v.killPart("postgres")
			whole = false
		case 1:
			v.killPart("s3")
			whole = false
		case 2: // everything at once: the children die with their parent, here at the same moment
			v.killPart("postgres")
			v.killPart("s3")
			v.kill()
		default:
			v.kill()
		}
		if !whole {
			answersAgain(t, v, alice) // it heals by itself
		}
		stop()
		writers.Wait()
		if whole {
			v = startVault(t, dir)
			alice = v.as("alice", "user")
		}
		began := time.Now()
		check(t, v, j)
		t.Logf("round %d: %d acknowledged writes, checked in %v", round, len(j.all()), time.Since(began).Round(time.Millisecond))
	}
	t.Logf("%d rounds, %d acknowledged writes", *rounds, len(j.all()))
}

// writeAtRandom uploads, describes and shares until ctx ends, and writes down what was acknowledged.
func writeAtRandom(ctx context.Context, c *demo.Client, j *journal, rnd *rand.Rand) {
	for ctx.Err() == nil {
		writeOnce(ctx, c, j, rnd)
	}
}

func writeOnce(ctx context.Context, c *demo.Client, j *journal, rnd *rand.Rand) {
	mine := *c // a position of its own
	id, some := j.any(rnd)
	var a acked
	var err error
	switch kind := rnd.IntN(12); {
	case !some || kind < 4:
		file := pdf(rnd)
		sum := sha256.Sum256(file)
		a.sha256 = hex.EncodeToString(sum[:])
		a.Written, err = mine.Upload(ctx, "/v1/media", "paper.pdf", "application/pdf", file, nil)
	case kind < 6:
		a.Written, err = mine.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{
			"media_id": id, "with": map[string]any{"user": fmt.Sprintf("friend-%d", rnd.IntN(5))}, "permissions": []string{"view"},
		})
	default:
		a.title = fmt.Sprintf("title %d", rnd.Uint64())
		a.Written, err = mine.Write(ctx, http.MethodPatch, "/v1/media/"+id, map[string]any{"title": a.title})
	}
	if err == nil {
		j.add(a)
	}
	if demo.Refused(err, http.StatusInternalServerError) {
		j.fault(err)
	}
}

// pdf is a small document whose bytes are like no other's.
func pdf(rnd *rand.Rand) []byte {
	return fmt.Appendf(nil, "%%PDF-1.4\n%% %x\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%%%EOF\n%s",
		rnd.Uint64(), strings.Repeat("%", rnd.IntN(20_000)))
}

func answersAgain(t *testing.T, v *vault, c *demo.Client) {
	t.Helper()
	deadline := time.After(startTime)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := c.Upload(t.Context(), "/v1/media", "probe.pdf", "application/pdf", pdf(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 9))), nil)
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the vault did not heal: %v\n%s", err, v.log)
		case <-tick.C:
		}
	}
}

type storedEvent struct {
	Position int64           `json:"position"`
	Stream   string          `json:"stream"`
	Revision int64           `json:"revision"`
	Type     string          `json:"type"`
	Data     json.RawMessage `json:"data"`

	RecordedAt time.Time `json:"recorded_at"`
}

// check holds the vault against the journal: every receipt at its place with what was written, positions without a gap, blobs
// with their hash, projections equal to a replay.
func check(t *testing.T, v *vault, j *journal) {
	t.Helper()
	for _, err := range j.bad {
		t.Errorf("a fault was answered: %v\n%s", err, v.log)
	}
	auditor := v.as("audrey", "auditor")
	events := everything(t, auditor)
	for i, e := range events {
		if e.Position != int64(i+1) {
			t.Fatalf("event %d is at position %d: positions have a gap", i+1, e.Position)
		}
	}
	acks := j.all()
	for _, a := range acks {
		if a.Position < 1 || a.Position > int64(len(events)) {
			t.Fatalf("position %d was acknowledged and is gone (the log ends at %d)", a.Position, len(events))
		}
		e := events[a.Position-1]
		if e.Stream != a.Stream || e.Revision != a.Revision {
			t.Fatalf("position %d holds %s@%d, acknowledged was %s@%d", a.Position, e.Stream, e.Revision, a.Stream, a.Revision)
		}
		for _, want := range []string{a.title, a.sha256} {
			if want != "" && !strings.Contains(string(e.Data), want) {
				t.Fatalf("position %d does not say %q: %s", a.Position, want, e.Data)
			}
		}
	}
	alice := v.as("alice", "user")
	alice.After = int64(len(events))
	rnd := rand.New(rand.NewPCG(uint64(len(acks)), 2))
	for i, a := range acks {
		if a.sha256 == "" || (i < len(acks)-60 && rnd.IntN(10) > 0) {
			continue // every blob of the last round, a sample of the older ones
		}
		body := content(t, alice, a.ID, auditor)
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != a.sha256 {
			t.Fatalf("the blob of %s has another hash than was acknowledged", a.ID)
		}
	}
	if out, err := v.run("verify", "projections"); err != nil {
		t.Fatalf("verify projections: %v\n%s", err, out)
	}
}

// content reads an item's bytes once it is screened; where it is not, the auditor knows what happened instead.
func content(t *testing.T, c *demo.Client, id string, auditor *demo.Client) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	var item struct {
		Status string `json:"status"`
	}
	if err := c.Until(ctx, "/v1/media/"+id, &item, func() bool { return item.Status == "available" }); err != nil {
		happened, _ := auditor.Get(t.Context(), "/v1/streams/media-"+id)
		t.Fatalf("%s is %q: %v\n%s", id, item.Status, err, happened)
	}
	body, err := c.Get(ctx, "/v1/media/"+id+"/content")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// everything reads the whole log; a vault that says that it is busy is asked again.
func everything(t *testing.T, c *demo.Client) []storedEvent {
	t.Helper()
	var events []storedEvent
	after := int64(0)
	patience := time.After(startTime)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/v1/events?after=%d&limit=1000", c.Base, after), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+c.Token)
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusServiceUnavailable {
			resp.Body.Close()
			select {
			case <-patience:
			case <-time.After(time.Second): // as its Retry-After says
				continue
			}
		}
		before := len(events)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var e storedEvent
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%v: %s", err, lines.Bytes())
			}
			events = append(events, e)
			after = e.Position
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || lines.Err() != nil {
			t.Fatalf("read events: %s %v", resp.Status, lines.Err())
		}
		if len(events) == before {
			return events
		}
	}
}
