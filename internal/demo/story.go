// Package demo does the vault's main job once, as people would, over HTTP: it draws pictures, uploads, describes, versions,
// shares, reports, decides and appeals, and then shows the history and what was true earlier.
package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// People gives tokens: who, with which role.
type People func(user, role string) (token string, err error)

// story is one run: who takes part, and where it is told.
type story struct {
	ctx   context.Context //nolint:containedctx // lives as long as Run
	out   io.Writer
	alice *Client // has pictures
	bob   *Client // is shown some
	mona  *Client // moderates
	mike  *Client // moderates, too
	audit *Client // reads everything
	err   error
	after int64 // the last position that anybody wrote
}

// Run tells the story to out, against the vault at base. It may be told again: every run has pictures of its own.
func Run(ctx context.Context, base string, people People, out io.Writer) error {
	s := &story{ctx: ctx, out: out}
	for _, p := range []struct {
		who        **Client
		name, role string
	}{
		{&s.alice, "alice", "user"},
		{&s.bob, "bob", "user"},
		{&s.mona, "mona", "moderator"},
		{&s.mike, "mike", "moderator"},
		{&s.audit, "audrey", "auditor"},
	} {
		token, err := people(p.name, p.role)
		if err != nil {
			return fmt.Errorf("token for %s: %w", p.name, err)
		}
		*p.who = &Client{Base: base, Token: token}
	}
	s.tell()
	return s.err
}

// Pictures are what the demo uploads.
func Pictures() []Picture {
	day := func(d int) time.Time { return time.Date(2026, time.May, d, 18, 40, 0, 0, time.UTC) }
	return []Picture{
		{Name: "harbour.jpg", Title: "Harbour at dusk", Tags: []string{"harbour", "evening"}, Taken: day(2), Lat: -33.8523, Lon: 151.2108, Seed: 3},
		{Name: "fjord.jpg", Title: "Fjord", Tags: []string{"norway", "water"}, Taken: day(9), Lat: 60.8726, Lon: 7.1208, Seed: 11},
		{Name: "lake.jpg", Title: "The lake in May", Tags: []string{"water"}, Taken: day(17), Lat: 46.4531, Lon: 6.5568, Seed: 29},
	}
}

type item struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	Status   string `json:"status"`
	Version  int    `json:"version"`
	Position int64  `json:"position"` // of the last event about it
}

func (s *story) tell() {
	var ids []string
	for _, p := range Pictures() {
		ids = append(ids, s.upload(p))
	}
	if s.err != nil {
		return
	}
	harbour := ids[0]

	s.step("alice gives the harbour a better title and a second version")
	before := s.write(s.alice, http.MethodPatch, "/v1/media/"+harbour, map[string]any{"title": "Sydney harbour, last light"})
	better := Pictures()[0]
	better.Seed, better.Name = 4, "harbour-retouched.jpg"
	s.addVersion(harbour, better)

	s.step("alice shows it to bob, and gives a link to everybody")
	s.write(s.alice, http.MethodPost, "/v1/shares", map[string]any{
		"media_id": harbour, "with": map[string]any{"user": "bob"}, "permissions": []string{"view", "download"},
	})
	link := s.write(s.alice, http.MethodPost, "/v1/shares", map[string]any{
		"media_id": harbour, "with": map[string]any{"link": true}, "permissions": []string{"view"}, "max_opens": 3,
	})
	s.get(s.bob, "/v1/media/"+harbour+"/content", "bob looks at it")
	s.get(&Client{Base: s.alice.Base}, "/v1/public/"+link.Token+"/content", "somebody opens the link")

	s.step("bob reports it; mona removes it")
	report := s.write(s.bob, http.MethodPost, "/v1/media/"+harbour+"/reports", map[string]any{
		"category": "privacy", "note": "My boat's number can be read.",
	})
	case_ := "/v1/moderation/cases/" + report.CaseID
	s.write(s.mona, http.MethodPost, case_+"/assign", map[string]any{"moderator": "mona"})
	s.write(s.mona, http.MethodPost, case_+"/decisions", map[string]any{
		"action": "remove", "reason": "A registration can be read.", "policy": "privacy-4",
		"statement": "We removed the picture because a boat's registration can be read.",
	})
	removed := s.until(harbour, "removed", 0)
	s.refused(s.bob, "/v1/media/"+harbour+"/content", "bob is refused")

	s.step("alice appeals; mona may not judge her own decision, mike overturns it")
	appeal := s.write(s.alice, http.MethodPost, case_+"/appeals", map[string]any{"note": "It is my own boat."})
	decision := case_ + "/appeals/" + strconv.Itoa(appeal.Number) + "/decision"
	verdict := map[string]any{"outcome": "overturn", "reason": "The boat is the owner's.", "statement": "You were right."}
	if s.err == nil {
		if _, err := s.mona.Write(s.ctx, http.MethodPost, decision, verdict); err == nil {
			s.err = fmt.Errorf("mona judged her own decision")
		} else {
			s.say("mona: %s", plain(err))
		}
	}
	s.write(s.mike, http.MethodPost, decision, verdict)
	s.until(harbour, "available", 2)
	s.get(s.bob, "/v1/media/"+harbour+"/content", "bob looks at it again")

	s.history(harbour)
	s.asOf(harbour, []moment{
		{"before the new title", before.Position - 1},
		{"with the new title", before.Position},
		{"while it was removed", removed},
		{"now", 0},
	})
}

func (s *story) upload(p Picture) string {
	s.step("alice uploads " + p.Name)
	var w Written
	s.try(func() error {
		file, err := p.JPEG(1200, 800)
		if err != nil {
			return err
		}
		w, err = s.alice.Upload(s.ctx, "/v1/media", p.Name, "image/jpeg", file, map[string]string{
			"title": p.Title, "tags": strings.Join(p.Tags, ","),
		})
		s.after = max(s.after, w.Position)
		return err
	})
	s.say("it is %s, at position %d", w.ID, w.Position)
	s.until(w.ID, "available", 1)
	return w.ID
}

func (s *story) addVersion(id string, p Picture) {
	s.try(func() error {
		file, err := p.JPEG(1200, 800)
		if err != nil {
			return err
		}
		w, err := s.alice.Upload(s.ctx, "/v1/media/"+id+"/versions", p.Name, "image/jpeg", file, nil)
		s.after = max(s.after, w.Position)
		return err
	})
	s.until(id, "available", 2)
}

// until waits for what the vault does by itself, screening and carrying out decisions, and answers since which position it is so.
func (s *story) until(id, status string, version int) int64 {
	var it item
	s.try(func() error {
		ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
		defer cancel()
		s.alice.After = s.after
		err := s.alice.Until(ctx, "/v1/media/"+id, &it, func() bool {
			return it.Status == status && (version == 0 || it.Version == version)
		})
		if err != nil {
			return fmt.Errorf("wait until %s is %s (it is %s): %w", id, status, it.Status, err)
		}
		s.after = max(s.after, it.Position) // what the vault did by itself, the others' reads wait for, too
		s.say("%q is %s", it.Title, it.Status)
		return nil
	})
	return it.Position
}

func (s *story) write(c *Client, method, path string, body any) Written {
	var w Written
	s.try(func() error {
		var err error
		w, err = c.Write(s.ctx, method, path, body)
		s.after = max(s.after, w.Position)
		return err
	})
	return w
}

func (s *story) get(c *Client, path, what string) {
	s.try(func() error {
		c.After = s.after
		b, err := c.Get(s.ctx, path)
		if err == nil {
			s.say("%s: %d bytes", what, len(b))
		}
		return err
	})
}

func (s *story) refused(c *Client, path, what string) {
	s.try(func() error {
		c.After = s.after
		_, err := c.Get(s.ctx, path)
		if err == nil {
			return fmt.Errorf("%s was answered", path)
		}
		s.say("%s: %s", what, plain(err))
		return nil
	})
}

func (s *story) history(id string) {
	s.step("the whole history of the harbour, as the auditor reads it")
	s.try(func() error {
		s.audit.After = s.after
		var h struct {
			Items []struct {
				Position   int64     `json:"position"`
				RecordedAt time.Time `json:"recorded_at"`
				Type       string    `json:"type"`
				Summary    string    `json:"summary"`
				Who        struct {
					ID string `json:"id"`
				} `json:"who"`
			} `json:"items"`
		}
		if err := s.audit.Do(s.ctx, http.MethodGet, "/v1/media/"+id+"/history", nil, &h); err != nil {
			return err
		}
		for _, e := range h.Items {
			s.say("%5d  %s  %-28s %-8s %s", e.Position, e.RecordedAt.Format("15:04:05.000"), e.Type, e.Who.ID, e.Summary)
		}
		return nil
	})
}

type moment struct {
	what     string
	position int64 // 0: now
}

func (s *story) asOf(id string, moments []moment) {
	s.step("the same item as of four moments")
	for _, m := range moments {
		s.try(func() error {
			path := "/v1/media/" + id
			if m.position > 0 {
				path += "?as_of=" + strconv.FormatInt(m.position, 10)
			}
			s.audit.After = s.after
			var it item
			if err := s.audit.Do(s.ctx, http.MethodGet, path, nil, &it); err != nil {
				return err
			}
			s.say("%-22s %-30q version %d, %s", m.what, it.Title, it.Version, it.Status)
			return nil
		})
	}
}

func (s *story) step(what string) {
	if s.err == nil {
		fmt.Fprintf(s.out, "\n%s\n", what)
	}
}

func (s *story) say(format string, args ...any) {
	if s.err == nil {
		fmt.Fprintf(s.out, "  "+format+"\n", args...)
	}
}

func (s *story) try(do func() error) {
	if s.err == nil {
		s.err = do()
	}
}

// plain is what an error says to a person, without the request that it came from.
func plain(err error) string {
	_, says, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return err.Error()
	}
	return says
}
