package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/demo"
)

var raceUploads = flag.Int("race-uploads", 60, "how many items are uploaded, decided about and deleted while they are read")

// promptly is how long a decision may take until it is effective at every door.
const promptly = time.Second

// raced is an item of the race. What the test knows is weaker than what the vault does: it is told when an answer comes.
type raced struct {
	id, link string

	mu        sync.Mutex // guards what follows
	forbidden time.Time  // since when nobody may have it: its decision or deletion was answered
	noLinks   time.Time  // since when links do not lead to it
}

func (r *raced) forbid(links bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if links {
		r.noLinks = time.Now()
	} else {
		r.forbidden = time.Now()
	}
}

// since is when a door was closed; zero: it is open.
func (r *raced) since(link bool) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if link && !r.noLinks.IsZero() && (r.forbidden.IsZero() || r.noLinks.Before(r.forbidden)) {
		return r.noLinks
	}
	return r.forbidden
}

type race struct {
	v      *vault
	dir    string       // for films
	ffmpeg string       // empty: it is not installed, and there are no films
	played atomic.Int64 // deliveries of what browsers play
	mu     sync.Mutex   // guards items
	items  []*raced
}

// file is what item n is made of: a picture, or now and then a film, which has a copy that browsers play.
func (r *race) file(ctx context.Context, n int) (name, contentType string, content []byte, err error) {
	if r.ffmpeg == "" || n%6 != 5 {
		content, err = demo.Picture{Seed: uint64(n), Title: fmt.Sprint("race ", n), Taken: time.Date(2026, 11, 22, 0, 0, n, 0, time.UTC)}.JPEG(64, 48) //nolint:gosec // not negative
		return fmt.Sprintf("race-%d.jpg", n), "image/jpeg", content, err
	}
	name = fmt.Sprintf("race-%d.mp4", n)
	path := filepath.Join(r.dir, name)
	out, err := exec.CommandContext(ctx, r.ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:d=1", //nolint:gosec // found on PATH
		"-c:v", "libx264", "-preset", "ultrafast", "-metadata", "title="+name, path).CombinedOutput()
	if err != nil {
		return "", "", nil, fmt.Errorf("%w: %s", err, out)
	}
	content, err = os.ReadFile(path)
	return name, "video/mp4", content, err
}

func (r *race) any(rnd *rand.Rand) *raced {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.items) == 0 {
		return nil
	}
	return r.items[rnd.IntN(len(r.items))]
}

// TestNothingThatIsHeldIsDelivered uploads, decides and deletes at random while readers stand at every door. What a reader asks
// for after a decision was answered is refused; and the log itself is asked whether anything was served that was not
// screened, or was held or deleted.
func TestNothingThatIsHeldIsDelivered(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	tokens := map[string]string{}
	for user, role := range map[string]string{"alice": "user", "bob": "user", "mona": "moderator", "audrey": "auditor"} {
		tokens[user] = v.as(user, role).Token
	}
	as := func(user string) *demo.Client {
		return &demo.Client{Base: v.base, Token: tokens[user], HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	}
	ffmpeg, _ := exec.LookPath("ffmpeg") // the vault that is tested finds the same one, or none
	r := &race{v: v, dir: t.TempDir(), ffmpeg: ffmpeg}
	reading, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for n := range 4 {
		readers.Go(func() {
			r.read(reading, t, map[string]*demo.Client{"alice": as("alice"), "bob": as("bob"), "": {Base: v.base, HTTP: as("").HTTP}}, rand.New(rand.NewPCG(uint64(n), 7)))
		})
	}
	var writers sync.WaitGroup
	numbers := make(chan int)
	for n := range 4 {
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 8))
			for i := range numbers {
				if err := r.live(t.Context(), as("alice"), as("mona"), i, rnd); err != nil {
					t.Errorf("item %d: %v", i, err)
				}
			}
		})
	}
	for i := range *raceUploads {
		numbers <- i
	}
	close(numbers)
	writers.Wait()
	stop()
	readers.Wait()
	served := r.audit(t, as("audrey"))
	t.Logf("%d items, %d deliveries, none of what was held; films %v, %d deliveries of what browsers play of them", *raceUploads, served, ffmpeg != "", r.played.Load())
	if served == 0 {
		t.Error("nothing was delivered at all")
	}
	if played := r.played.Load() > 0; played != (ffmpeg != "") {
		t.Errorf("what browsers play was delivered: %v, with ffmpeg at %q", played, ffmpeg)
	}
}

// live is the life of one item.
func (r *race) live(ctx context.Context, alice, mona *demo.Client, n int, rnd *rand.Rand) error {
	name, contentType, content, err := r.file(ctx, n)
	if err != nil {
		return err
	}
	up, err := alice.Upload(ctx, "/v1/media", name, contentType, content, nil)
	if err != nil {
		return err
	}
	link, err := alice.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": up.ID, "with": map[string]any{"link": true}})
	if err == nil {
		_, err = alice.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": up.ID, "with": map[string]any{"user": "bob"}})
	}
	if err != nil {
		return err
	}
	item := &raced{id: up.ID, link: link.Token}
	r.mu.Lock()
	r.items = append(r.items, item)
	r.mu.Unlock()
	if rnd.IntN(3) > 0 { // the others are decided about while they are being screened
		var now struct {
			Status     string
			WebVariant *struct{} `json:"web_variant"`
		}
		if err := alice.Until(ctx, "/v1/media/"+up.ID, &now, func() bool {
			return now.Status != "processing" && (now.WebVariant != nil || contentType != "video/mp4")
		}); err != nil {
			return err
		}
	}
	action := []string{"none", "restrict", "quarantine", "remove", "delete", "version"}[rnd.IntN(6)]
	switch action {
	case "none":
		return nil
	case "delete":
		_, err = alice.Write(ctx, http.MethodDelete, "/v1/media/"+up.ID, nil)
		if err == nil {
			item.forbid(false)
		}
		return err
	case "version":
		_, err = alice.Upload(ctx, "/v1/media/"+up.ID+"/versions", "next-"+name, contentType, append(content, 0), nil)
		return err
	}
	opened, err := mona.Write(ctx, http.MethodPost, "/v1/moderation/cases", map[string]any{"media_id": up.ID, "category": "other"})
	if err != nil {
		return err
	}
	_, err = mona.Write(ctx, http.MethodPost, "/v1/moderation/cases/"+opened.ID+"/decisions",
		map[string]any{"action": action, "reason": "r", "policy": "p", "statement": "s"})
	if err == nil {
		item.forbid(action == "restrict")
	}
	return err
}

// read asks for items at every door until ctx ends.
func (r *race) read(ctx context.Context, t *testing.T, who map[string]*demo.Client, rnd *rand.Rand) {
	for ctx.Err() == nil {
		item := r.any(rnd)
		if item == nil {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond): // nothing is there yet
			}
			continue
		}
		door := []struct{ who, path string }{
			{"alice", "/v1/media/" + item.id + "/content"}, {"bob", "/v1/media/" + item.id + "/content"},
			{"alice", "/v1/media/" + item.id + "/thumbnail"}, {"", "/v1/public/" + item.link + "/content"},
			{"bob", "/v1/media/" + item.id + "/content?download=1"}, {"bob", "/v1/media/" + item.id + "/content?variant=web"},
			{"", "/v1/public/" + item.link + "/content?variant=web"}, {"", "/v1/public/" + item.link + "/thumbnail"},
		}[rnd.IntN(8)]
		began := time.Now()
		bytes, err := who[door.who].Get(ctx, door.path)
		closed := item.since(door.who == "")
		if err == nil && strings.HasSuffix(door.path, "?variant=web") {
			r.played.Add(1)
		}
		if err == nil && len(bytes) > 0 && !closed.IsZero() && began.After(closed) {
			t.Errorf("%s delivered %d bytes %v after it was forbidden", strings.ReplaceAll(door.path, item.link, "(link)"), len(bytes), began.Sub(closed))
		}
		var p *demo.Problem
		if errors.As(err, &p) && p.Status >= http.StatusInternalServerError && p.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %v", door.path, err)
		}
	}
}

// told is what the log says of an item, as far as delivering goes.
type told struct {
	clean     map[int]bool // versions that may be delivered
	held      bool
	gone      bool
	forbidden time.Time // since when it is held or gone
}

// audit holds every delivery in the log against what the log said before it. A delivery that was allowed, and then recorded while
// a decision was being recorded, is allowed for as long as a decision may take.
func (r *race) audit(t *testing.T, audrey *demo.Client) (served int) {
	t.Helper()
	items := map[string]*told{}
	after := int64(0)
	for {
		var page struct {
			Items []struct {
				Position   int64
				Stream     string
				Type       string
				RecordedAt time.Time `json:"recorded_at"`
				Data       struct {
					Media, What, Via, Verdict string
					Version                   int
				}
			}
		}
		raw, err := audrey.Get(t.Context(), fmt.Sprintf("/v1/events?after=%d&limit=1000", after))
		if err == nil {
			err = json.Unmarshal(raw, &page)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) == 0 {
			return served
		}
		for _, e := range page.Items {
			after = e.Position
			id := strings.TrimPrefix(e.Stream, "media-")
			item := items[id]
			if item == nil {
				item = &told{clean: map[int]bool{}}
				items[id] = item
			}
			switch e.Type {
			case "media.screened":
				item.clean[e.Data.Version] = e.Data.Verdict == "clean"
			case "media.quarantined", "media.removed":
				item.held, item.forbidden = true, e.RecordedAt
			case "media.released":
				item.held = false
			case "media.deleted":
				item.gone, item.forbidden = true, e.RecordedAt
			case "access.served":
				if e.Data.What == "view" || e.Data.Via == "role" {
					continue
				}
				served++
				what := items[e.Data.Media]
				switch {
				case what == nil || !what.clean[e.Data.Version]:
					t.Errorf("position %d: version %d of %s was served before it was screened clean", e.Position, e.Data.Version, e.Data.Media)
				case (what.held || what.gone) && e.RecordedAt.Sub(what.forbidden) > promptly:
					t.Errorf("position %d: %s was served %v after it was forbidden", e.Position, e.Data.Media, e.RecordedAt.Sub(what.forbidden))
				}
			}
		}
	}
}
