package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// TestEveryEffectShowsOnce kills the vault at random moments while people upload, share, report, decide and delete, and holds what
// arrived outside, and what the log says, against what should have followed from each event: all of it, and once. -rounds says how
// often.
func TestEveryEffectShowsOnce(t *testing.T) {
	t.Parallel()
	t.Run("of one process that is killed", func(t *testing.T) { t.Parallel(); killAndCount(t, false) })
	t.Run("of two processes that react, of which one or both are killed", func(t *testing.T) { t.Parallel(); killAndCount(t, true) })
}

func killAndCount(t *testing.T, beside bool) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := &stage{outside: newOutside(t), dir: t.TempDir(), beside: beside}
	s.start(t)
	s.hook(t, "bob", "/bob")
	s.hook(t, "alice", "/alice")
	for round := range *rounds {
		ctx, stop := context.WithCancel(t.Context())
		var people sync.WaitGroup
		for w := range 6 {
			people.Go(func() {
				rnd := rand.New(rand.NewPCG(seed, uint64(round*100+w)))
				for n := 0; ctx.Err() == nil; n++ {
					s.act(ctx, s.client(rnd, w+n), rnd)
				}
			})
		}
		s.refuse(round % 2)
		select {
		case <-time.After(time.Duration(500+rnd.IntN(3000)) * time.Millisecond): // the random moment of the kill, not a wait for anything
		case <-t.Context().Done():
		}
		s.kill(t, rnd)
		stop()
		people.Wait()
		s.start(t)
		began := time.Now()
		s.settle(t)
		all := everything(t, s.as["audrey"])
		s.check(t, all)
		t.Logf("round %d: %d events, %d webhook messages and %d mails so far, quiet after %v", round, len(all), s.posted(), len(s.mails), time.Since(began).Round(time.Millisecond))
		if t.Failed() {
			t.Fatalf("the vault said:\n%s", s.v.log)
		}
	}
	t.Logf("%d rounds, %d kills, %d webhook messages and %d mails came twice", *rounds, s.kills, s.hooksTwice, s.mailsTwice)
}

// stage is a vault with its people and what is outside.
type stage struct {
	*outside
	dir    string
	beside bool
	v      *vault
	second *vault // nil: none
	kills  int

	as    map[string]*demo.Client
	other map[string]*demo.Client // the same people at the second process

	mu    sync.Mutex // guards what follows
	items []string
	cases []string

	hooksTwice, mailsTwice int
}

// start runs what was killed, and greets its people again: an address that changed made their tokens void.
func (s *stage) start(t *testing.T) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if s.v == nil {
		cmd := exec.Command(path, "dev", "--data", s.dir, "--addr", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), s.environ()...)
		s.v = startCommand(t, s.dir, cmd)
		s.as = map[string]*demo.Client{}
		for user, role := range map[string]string{
			"alice": "user", "bob": "user", "carl": "user", "mona": "moderator", "moe": "moderator", "audrey": "auditor",
		} {
			s.as[user] = s.v.as(user, role)
		}
	}
	if s.beside && s.second == nil {
		s.second = serveBeside(t, s.v, s.environ()...)
		s.other = map[string]*demo.Client{}
		for user, c := range s.as {
			s.other[user] = &demo.Client{Base: s.second.base, Token: c.Token, HTTP: &http.Client{Transport: &http.Transport{}}}
		}
	}
}

// hook gives somebody a webhook and an e-mail address.
func (s *stage) hook(t *testing.T, user, path string) {
	t.Helper()
	var added struct{ Secret string }
	if err := s.as[user].Do(t.Context(), http.MethodPost, "/v1/webhooks", map[string]any{"url": s.hooks.URL + path}, &added); err != nil {
		t.Fatal(err)
	}
	s.outside.mu.Lock()
	s.secrets[path] = added.Secret
	s.outside.mu.Unlock()
	if _, err := s.as[user].Write(t.Context(), http.MethodPut, "/v1/notifications/preferences", map[string]any{"email": user + "@example.org"}); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) refuse(n int) {
	s.outside.mu.Lock()
	defer s.outside.mu.Unlock()
	s.outside.refuse = n
}

func (s *stage) posted() (n int) {
	s.outside.mu.Lock()
	defer s.outside.mu.Unlock()
	for _, p := range s.posts {
		n += len(p)
	}
	return n
}

func (s *stage) client(rnd *rand.Rand, n int) map[string]*demo.Client {
	if s.beside && n%2 == 1 && rnd.IntN(2) == 0 {
		return s.other
	}
	return s.as
}

func (s *stage) kill(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	s.kills++
	if s.beside && rnd.IntN(3) > 0 { // what it led, the other takes over
		s.second.kill()
		s.second = nil
		return
	}
	if rnd.IntN(3) == 0 {
		s.v.killPart("postgres")
	}
	s.v.kill()
	s.v = nil
	if s.second != nil {
		s.second.kill()
		s.second = nil
	}
}

// pick answers one of the ids, or nothing.
func (s *stage) pick(rnd *rand.Rand, ids *[]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*ids) == 0 {
		return ""
	}
	return (*ids)[len(*ids)-1-rnd.IntN(min(len(*ids), 12))] // of late ones, so that things happen to the same
}

func (s *stage) keep(ids *[]string, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" && !slices.Contains(*ids, id) {
		*ids = append(*ids, id)
	}
}

// act is one thing that somebody does. What is refused, or cut off by a kill, is no matter: the log says what happened.
func (s *stage) act(ctx context.Context, as map[string]*demo.Client, rnd *rand.Rand) {
	who := func(name string) *demo.Client { c := *as[name]; return &c }
	item, dispute := s.pick(rnd, &s.items), s.pick(rnd, &s.cases)
	post := func(name, path string, body any) string {
		w, err := who(name).Write(ctx, http.MethodPost, path, body)
		if err != nil {
			return ""
		}
		return w.ID
	}
	judge := map[string]any{"reason": "r", "policy": "p", "statement": "s"}
	switch kind := rnd.IntN(20); {
	case kind < 4 || item == "":
		file, err := demo.Picture{Seed: rnd.Uint64(), Title: "effects", Taken: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)}.JPEG(64, 48)
		if err != nil {
			return
		}
		if up, err := who("alice").Upload(ctx, "/v1/media", "p.jpg", "image/jpeg", file, nil); err == nil {
			s.keep(&s.items, up.ID)
		}
	case kind < 10:
		post("alice", "/v1/shares", map[string]any{"media_id": item, "with": map[string]any{"user": []string{"bob", "carl"}[rnd.IntN(2)]}})
	case kind < 12:
		w, err := who("bob").Write(ctx, http.MethodPost, "/v1/media/"+item+"/reports", map[string]any{"category": "spam"})
		if err == nil {
			s.keep(&s.cases, w.CaseID)
		}
	case kind < 13:
		s.keep(&s.cases, post("moe", "/v1/moderation/cases", map[string]any{"media_id": item, "category": "other"}))
	case kind < 16 && dispute != "":
		judge["action"] = []string{"approve", "restrict", "quarantine", "remove"}[rnd.IntN(4)]
		post("mona", "/v1/moderation/cases/"+dispute+"/decisions", judge)
	case kind < 17 && dispute != "":
		post("mona", "/v1/moderation/cases/"+dispute+"/assign", map[string]any{"moderator": []string{"mona", "moe"}[rnd.IntN(2)]})
	case kind < 18 && dispute != "":
		post("alice", "/v1/moderation/cases/"+dispute+"/appeals", map[string]any{"note": "n"})
	case kind < 19 && dispute != "":
		post("moe", "/v1/moderation/cases/"+dispute+"/appeals/1/decision", map[string]any{"outcome": []string{"uphold", "overturn"}[rnd.IntN(2)], "reason": "r"})
	case rnd.IntN(4) == 0:
		_, _ = who("alice").Write(ctx, http.MethodDelete, "/v1/media/"+item, nil)
	}
}

// settle waits until all reactors have come to the end of the log, nothing waits to be sent, and nothing more is said.
func (s *stage) settle(t *testing.T) {
	t.Helper()
	r, err := whereabouts(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, r.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var head, least, after int64
		var waits, parked int
		err := conn.QueryRow(ctx, `SELECT (SELECT position FROM events_head), (SELECT min(position) FROM reactor_checkpoints),
			(SELECT count(*) FROM reactor_outbox), (SELECT count(*) FROM reactor_parked)`).Scan(&head, &least, &waits, &parked)
		if err != nil {
			t.Fatal(err)
		}
		if least >= head && waits == 0 {
			err = conn.QueryRow(ctx, `SELECT position FROM events_head`).Scan(&after)
		}
		switch {
		case err != nil:
			t.Fatal(err)
		case parked > 0:
			t.Fatalf("%d events are parked\n%s", parked, s.v.log)
		case after == head && after > 0:
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the reactors are at %d of %d, and %d letters wait\n%s", least, head, waits, s.v.log)
		case <-tick.C:
		}
	}
}
