package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
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

// fact is what the checks need of an event.
type fact struct {
	Media     string
	Owner     string
	Version   int
	Verdict   string
	By        string
	Moderator string
	Action    string
	Outcome   string
	Code      string
	Number    int
	Decision  int
	Category  string
	With      struct{ Kind, User string }
	Source    struct {
		Case   string
		Number int
	}
	Notification string
	To           string
	Channel      string
	Endpoint     string
	Digest       string
	About        struct {
		Topic string
		Cause int64
	}
	Derivatives []struct{ Kind, Name string }
}

func (s *stage) check(t *testing.T, all []storedEvent) {
	t.Helper()
	facts := make([]fact, len(all))
	for i, e := range all {
		if err := json.Unmarshal(e.Data, &facts[i]); err != nil {
			t.Fatalf("%s: %v: %s", e.Type, err, e.Data)
		}
	}
	s.checkItems(t, all, facts)
	s.checkCases(t, all, facts)
	s.checkTold(t, all, facts)
}

// once holds what was counted to one each.
func once(t *testing.T, what string, want, got map[string]int) {
	t.Helper()
	for key := range want {
		if got[key] != 1 {
			t.Errorf("%s: %s shows %d times", what, key, got[key])
		}
	}
	for key, n := range got {
		if want[key] == 0 {
			t.Errorf("%s: %s shows %d times, and nothing asked for it", what, key, n)
		}
	}
}

// checkItems: each version was screened once, and has its thumbnails once; each decision was followed once.
func (s *stage) checkItems(t *testing.T, all []storedEvent, facts []fact) {
	t.Helper()
	versions, screened, pictures, derived, followed := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for i, e := range all {
		f := facts[i]
		version := fmt.Sprint(e.Stream, " version ", max(f.Version, 1))
		switch e.Type {
		case "media.uploaded", "media.version_added":
			versions[version]++
		case "media.screened":
			screened[version]++
			if f.Verdict != "blocked" {
				pictures[version+" 200"]++
				pictures[version+" 400"]++
			}
		case "media.derived":
			for _, d := range f.Derivatives {
				if d.Kind == "thumbnail" {
					derived[version+" "+d.Name]++
				}
			}
		case "media.restricted", "media.quarantined", "media.removed", "media.released":
			if f.Source.Case != "" {
				followed[fmt.Sprint(e.Type, " ", f.Source.Case, " ", f.Source.Number)]++
			}
		}
	}
	once(t, "screening", versions, screened)
	for key, n := range pictures {
		if derived[key] != n {
			t.Errorf("thumbnail %s was derived %d times", key, derived[key])
		}
	}
	for key, n := range followed {
		if n > 1 {
			t.Errorf("%s shows %d times", key, n)
		}
	}
}

// checkCases: an item has one case at most that is not closed, in which each says the same once.
func (s *stage) checkCases(t *testing.T, all []storedEvent, facts []fact) {
	t.Helper()
	open, said := map[string]string{}, map[string]int{}
	for i, e := range all {
		f := facts[i]
		switch e.Type {
		case "moderation.opened":
			if other := open[f.Media]; other != "" {
				t.Errorf("%s was opened while %s was open", e.Stream, other)
			}
			open[f.Media] = e.Stream
			said[fmt.Sprint(e.Stream, " ", f.By, " ", f.Category, " ", f.Version)]++
		case "moderation.reported":
			said[fmt.Sprint(e.Stream, " ", f.By, " ", f.Category, " ", f.Version)]++
		case "moderation.closed":
			for item, stream := range open {
				if stream == e.Stream {
					delete(open, item)
				}
			}
		}
	}
	for what, n := range said {
		if n > 1 {
			t.Errorf("%s was reported %d times", what, n)
		}
	}
}

// checkTold: everybody who has to be told of an event is told in the app once; what arrived outside is that, in order, and comes twice
// only as a kill makes it.
func (s *stage) checkTold(t *testing.T, all []storedEvent, facts []fact) {
	t.Helper()
	owner := map[string]string{}
	want, got := map[string]int{}, map[string]int{}
	byPerson := map[string][]post{} // what each was told in the app, in order
	delivered := map[string]int{}
	digests := map[string][]string{}
	told := func(to, topic string, cause int64) string { return fmt.Sprint(to, " of ", topic, " at ", cause) }
	for i, e := range all {
		f := facts[i]
		switch e.Type {
		case "media.uploaded":
			owner[strings.TrimPrefix(e.Stream, "media-")] = f.Owner
		case "share.granted":
			if f.With.Kind == "user" {
				want[told(f.With.User, "share_granted", e.Position)]++
			}
		case "moderation.decided":
			want[told(owner[f.Media], "item_decided", e.Position)]++
		case "moderation.appeal_decided":
			want[told(owner[f.Media], "appeal_decided", e.Position)]++
		case "moderation.assigned":
			if f.By != f.Moderator {
				want[told(f.Moderator, "case_assigned", e.Position)]++
			}
		case "notification.sent":
			key := f.Notification + " " + f.Channel + " " + f.Endpoint
			switch {
			case f.Channel == "in_app":
				got[told(f.To, f.About.Topic, f.About.Cause)]++
				byPerson[f.To] = append(byPerson[f.To], post{id: f.Notification, position: e.Position})
			case f.Outcome == "delivered":
				if delivered[key]++; f.Channel == "email" {
					digests[f.Digest] = append(digests[f.Digest], f.Notification)
				}
			}
		}
	}
	once(t, "notification", want, got)
	for what, n := range delivered {
		if n > 1 {
			t.Errorf("%s is recorded as delivered %d times", what, n)
		}
	}
	s.outside.mu.Lock()
	defer s.outside.mu.Unlock()
	if len(s.wrong) > 0 {
		t.Errorf("not signed, or not JSON: %v", s.wrong)
	}
	s.hooksTwice, s.mailsTwice = 0, 0
	for _, person := range []string{"alice", "bob"} {
		s.checkHook(t, person, s.posts["/"+person], byPerson[person])
	}
	s.checkMails(t, digests, byPerson)
}

// checkHook: what came by a webhook is what the person was told, in order, but that the last before a kill may have come twice.
func (s *stage) checkHook(t *testing.T, person string, came, want []post) {
	t.Helper()
	var first []post
	twice := 0
	for i, p := range came {
		if i > 0 && p.id == came[i-1].id {
			if twice++; p.body != came[i-1].body {
				t.Errorf("%s's webhook got %s with two bodies", person, p.id)
			}
			continue
		}
		first = append(first, p)
	}
	if len(first) != len(want) || twice > s.kills {
		t.Errorf("%s's webhook got %d messages of %d, %d of them twice after %d kills", person, len(first), len(want), twice, s.kills)
	}
	for i := range min(len(first), len(want)) {
		if first[i].id != want[i].id || first[i].position != want[i].position {
			t.Errorf("message %d at %s's webhook is of position %d, not of %d", i, person, first[i].position, want[i].position)
			break
		}
	}
	s.hooksTwice += twice
}

// checkMails: each notification went in one mail, and a mail that came twice is the same, for a kill.
func (s *stage) checkMails(t *testing.T, digests map[string][]string, told map[string][]post) {
	t.Helper()
	came, times := map[string]letterIn{}, map[string]int{}
	for _, m := range s.mails {
		id, _, _ := strings.Cut(strings.Trim(m.id, "<>"), "@")
		if before, twice := came[id]; twice && before != m {
			t.Errorf("mail %s came as two:\n%s\n%s", id, before.body, m.body)
		}
		came[id] = m
		if times[id]++; times[id] > 1 {
			s.mailsTwice++
		}
	}
	if s.mailsTwice > 2*s.kills { // one for each person whose mail was on its way
		t.Errorf("%d mails came twice after %d kills", s.mailsTwice, s.kills)
	}
	inMail := map[string]int{}
	for digest, notifications := range digests {
		m, ok := came[digest]
		if !ok {
			t.Errorf("mail %s is recorded, and did not come", digest)
		}
		if lines := strings.Split(strings.TrimSpace(strings.Split(m.body, "\n-- ")[0]), "\n"); len(lines) != len(notifications) {
			t.Errorf("mail %s tells %d things, not %d:\n%s", digest, len(lines), len(notifications), m.body)
		}
		for _, n := range notifications {
			inMail[n]++
		}
	}
	for id := range came {
		if digests[id] == nil {
			t.Errorf("mail %s came, and is not recorded", id)
		}
	}
	for _, person := range []string{"alice", "bob"} {
		for _, p := range told[person] {
			if inMail[p.id] != 1 {
				t.Errorf("notification %s of %s stands in %d mails", p.id, person, inMail[p.id])
			}
		}
	}
}
