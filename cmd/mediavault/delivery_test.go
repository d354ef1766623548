package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	put      string // where its bytes were put straight to storage; empty: they were not

	mu        sync.Mutex // guards what follows
	at        string     // when it was there, for asking as of then
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

	mu    sync.Mutex // guards what follows
	items []*raced
	got   []got
}

// scannersTest is what every scanner takes for malware. Nothing that holds it may leave the vault, whatever becomes of the item.
const scannersTest = `X5O!P%@AP[4\PZX54(P^)7CC)7}$` + `EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`

// firstFilm is the number of the first item that is one.
const firstFilm = 5

func hostile(n int) bool { return n%9 == 4 }

// file is what item n is made of: a picture, or now and then a film, which has a copy that browsers play, or what scanners know.
func (r *race) file(ctx context.Context, n int) (name, contentType string, content []byte, err error) {
	if r.ffmpeg == "" || n%6 != firstFilm || hostile(n) {
		content, err = demo.Picture{Seed: uint64(n), Title: fmt.Sprint("race ", n), Taken: time.Date(2026, 11, 22, 0, 0, n, 0, time.UTC)}.JPEG(64, 48) //nolint:gosec // not negative
		if hostile(n) {
			content = append(content, scannersTest...)
		}
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
	all := everything(t, as("audrey"))
	r.hold(t, all)
	r.askStorage(t, all)
	t.Logf("%d items, %d deliveries as the log says, %d as was read, by door %v; films %v, %d deliveries of what browsers play of them",
		*raceUploads, served, len(r.got), r.byDoor(t), ffmpeg != "", r.played.Load())
	if served == 0 || served < len(r.got) {
		t.Errorf("%d deliveries are in the log, and %d were read", served, len(r.got))
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
	up, put, err := r.bring(ctx, alice, n, name, contentType, content)
	if err != nil {
		return err
	}
	permissions := []string{"view", "download"}
	link, err := alice.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": up.ID, "with": map[string]any{"link": true}, "permissions": permissions})
	if err == nil {
		_, err = alice.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": up.ID, "with": map[string]any{"user": "bob"}, "permissions": permissions})
	}
	if err != nil && !hostile(n) { // which is not shared, once that is known
		return err
	}
	item := &raced{id: up.ID, link: link.Token, put: put, at: strconv.FormatInt(alice.After, 10)}
	r.mu.Lock()
	r.items = append(r.items, item)
	r.mu.Unlock()
	if hostile(n) {
		return nil
	}
	if n == firstFilm || rnd.IntN(3) > 0 { // the others are decided about while they are being screened
		var now struct {
			Status     string
			WebVariant *struct{} `json:"web_variant"`
		}
		if err := alice.Until(ctx, "/v1/media/"+up.ID, &now, func() bool {
			return now.Status != "processing" && (now.WebVariant != nil || contentType != "video/mp4")
		}); err != nil {
			return err
		}
		item.mu.Lock()
		item.at = time.Now().UTC().Format(time.RFC3339Nano)
		item.mu.Unlock()
		if err := r.play(ctx, alice, item); err != nil {
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
		next := append(content, 0)
		if rnd.IntN(2) == 0 {
			next = append(content, scannersTest...)
		}
		_, err = alice.Upload(ctx, "/v1/media/"+up.ID+"/versions", "next-"+name, contentType, next, nil)
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
