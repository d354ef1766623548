package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

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
	Origin    string
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
	released := map[string]int64{} // by stream: where the release ends, with the holds of other cases that it lays again
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
			key := fmt.Sprint(e.Type, " ", f.Source.Case, " ", f.Source.Number)
			last, ok := released[e.Stream]
			behind := ok && e.Revision == last+1
			if e.Type == "media.released" || behind {
				released[e.Stream] = e.Revision
			}
			if again := behind && e.Type != "media.released" && followed[key] > 0; f.Source.Case != "" && !again {
				followed[key]++
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
	withheld, decided := map[string]bool{}, map[string]bool{}
	reporters, since := map[string]map[string]bool{}, map[string]map[string]bool{} // of a case, and of those who did since it was decided
	action := map[string]string{}                                                  // of a case's last decision
	answer := func(e storedEvent, to map[string]bool) {
		for who := range to {
			want[told(who, "report_decided", e.Position)]++
		}
	}
	for i, e := range all {
		f := facts[i]
		switch e.Type {
		case "media.uploaded":
			owner[strings.TrimPrefix(e.Stream, "media-")] = f.Owner
		case "media.screened":
			if f.Verdict == "review" {
				want[told(owner[strings.TrimPrefix(e.Stream, "media-")], "item_in_review", e.Position)]++
			}
		case "share.granted":
			if f.With.Kind == "user" {
				want[told(f.With.User, "share_granted", e.Position)]++
			}
		case "media.restricted", "media.quarantined", "media.removed", "media.released":
			withheld[strings.TrimPrefix(e.Stream, "media-")] = e.Type != "media.released"
		case "moderation.opened", "moderation.reported":
			if f.Origin != "report" {
				continue
			}
			if reporters[e.Stream] == nil {
				reporters[e.Stream], since[e.Stream] = map[string]bool{}, map[string]bool{}
			}
			since[e.Stream][f.By] = true
			if reporters[e.Stream][f.By] = true; decided[e.Stream] {
				want[told(f.By, "report_decided", e.Position)]++
			}
		case "moderation.decided":
			if f.Action != "approve" || withheld[f.Media] {
				want[told(owner[f.Media], "item_decided", e.Position)]++
			}
			decided[e.Stream] = true
			if to := reporters[e.Stream]; f.Action != action[e.Stream] {
				answer(e, to)
			} else {
				answer(e, since[e.Stream])
			}
			action[e.Stream], since[e.Stream] = f.Action, map[string]bool{}
		case "moderation.reopened":
			decided[e.Stream] = false // who reports now is heard
		case "moderation.appeal_decided":
			want[told(owner[f.Media], "appeal_decided", e.Position)]++
			if f.Outcome == "overturn" {
				answer(e, reporters[e.Stream])
				action[e.Stream] = ""
			}
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
