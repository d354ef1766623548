package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// door is a way to an item's bytes.
type door struct {
	name, who, path string
	header          http.Header
	link, part, web bool
}

// doors are all ways to the item's bytes, for its owner, for whom it is shared with, and by its link.
func (r *raced) doors() []door {
	r.mu.Lock()
	item, then := "/v1/media/"+r.id, "as_of="+r.at
	r.mu.Unlock()
	var all []door
	for _, who := range []string{"alice", "bob", ""} {
		base, name := item, who
		if who == "" {
			if r.link == "" {
				continue
			}
			base, name = "/v1/public/"+r.link, "link"
		}
		for what, path := range map[string]string{
			"content": "/content", "download": "/content?download=1", "web": "/content?variant=web", "part": "/content", "content of then": "/content?" + then,
			"thumbnail": "/thumbnail", "small thumbnail": "/thumbnail?size=200", "thumbnail in WebP": "/thumbnail", "thumbnail of then": "/thumbnail?" + then,
		} {
			d := door{name: name + ": " + what, who: who, path: base + path, link: who == "", part: what == "part", web: what == "web", header: http.Header{}}
			if d.part {
				d.header.Set("Range", "bytes=1-40")
			}
			if what == "thumbnail in WebP" {
				d.header.Set("Accept", "image/webp")
			}
			all = append(all, d)
		}
	}
	return append(all, door{name: "alice: first version", who: "alice", path: item + "/content?version=1", header: http.Header{}})
}

// got is bytes that somebody was given: what the test itself saw, whatever the vault says.
type got struct {
	door         door
	item         *raced
	sum          string // of all of them
	began, ended time.Time
}

// bring uploads an item, now and then by putting its bytes straight to storage; put is where.
func (r *race) bring(ctx context.Context, alice *demo.Client, n int, name, contentType string, content []byte) (up demo.Written, put string, err error) {
	if n%5 != 1 {
		up, err = alice.Upload(ctx, "/v1/media", name, contentType, content, nil)
		return up, "", err
	}
	sum := sha256.Sum256(content)
	var ticket struct {
		ID, Method, URL string
		Headers         map[string]string
	}
	if err := alice.Do(ctx, http.MethodPost, "/v1/uploads", map[string]any{
		"filename": name, "content_type": contentType, "size": len(content), "sha256": hex.EncodeToString(sum[:]),
	}, &ticket); err != nil {
		return up, "", err
	}
	req, err := http.NewRequestWithContext(ctx, ticket.Method, ticket.URL, bytes.NewReader(content))
	if err != nil {
		return up, "", err
	}
	for k, v := range ticket.Headers {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return up, "", err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return up, "", fmt.Errorf("storage answers %s", res.Status)
	}
	up, err = alice.Write(ctx, http.MethodPost, "/v1/uploads/"+ticket.ID+"/complete", nil)
	return up, ticket.URL, err
}

// try asks at a door.
func (r *race) try(ctx context.Context, c *demo.Client, path string, header http.Header) (status int, body []byte, err error) {
	if !strings.HasPrefix(path, "http") {
		path = r.v.base + path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
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
		doors := item.doors()
		d := doors[rnd.IntN(len(doors))]
		if item.put != "" {
			if status, _, err := r.try(ctx, who[""], item.put, nil); err == nil && status == http.StatusOK {
				t.Error("storage gives out by the address for putting")
			}
		}
		if err := r.enter(ctx, who[d.who], item, d); err != nil {
			t.Error(err)
		}
	}
}

// enter asks at a door, and keeps what it was given. An error is what nobody may be given.
func (r *race) enter(ctx context.Context, c *demo.Client, item *raced, d door) error {
	began := time.Now()
	status, body, err := r.try(ctx, c, d.path, d.header)
	ended := time.Now()
	switch {
	case bytes.Contains(body, []byte("EICAR-STANDARD")):
		return fmt.Errorf("%s: what scanners know was delivered of %s", d.name, item.id)
	case status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable:
		return fmt.Errorf("%s: %d %s", d.name, status, body)
	case err != nil || status/100 != 2 || len(body) == 0:
		return nil
	}
	if closed := item.since(d.link); !closed.IsZero() && began.After(closed) {
		return fmt.Errorf("%s delivered %d bytes of %s %v after it was forbidden", d.name, len(body), item.id, began.Sub(closed))
	}
	if d.web {
		r.played.Add(1)
	}
	sum := sha256.Sum256(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, got{door: d, item: item, sum: hex.EncodeToString(sum[:]), began: began, ended: ended})
	return nil
}

// play plays what browsers can.
func (r *race) play(ctx context.Context, alice *demo.Client, item *raced) error {
	for _, d := range item.doors() {
		if d.web && d.who == "alice" {
			return r.enter(ctx, alice, item, d)
		}
	}
	return nil
}

// life is an item's, as the log tells it.
type life struct {
	of    map[string][]int  // versions, by the SHA-256 of their bytes and of what was made of them
	clean map[int]time.Time // since when a version may be delivered
	shut  []shut
}

// shut is a time in which doors were shut: of links alone, or all.
type shut struct {
	linksOnly   bool
	since, till time.Time
}

func livesOf(t *testing.T, all []storedEvent) map[string]*life {
	t.Helper()
	lives := map[string]*life{}
	for _, e := range all {
		id, ok := strings.CutPrefix(e.Stream, "media-")
		if !ok {
			continue
		}
		var f struct {
			Version     int
			Verdict     string
			File        struct{ SHA256 string }
			Derivatives []struct{ SHA256 string }
		}
		if err := json.Unmarshal(e.Data, &f); err != nil {
			t.Fatalf("%s: %v", e.Type, err)
		}
		l := lives[id]
		if l == nil {
			l = &life{of: map[string][]int{}, clean: map[int]time.Time{}}
			lives[id] = l
		}
		switch e.Type {
		case "media.uploaded", "media.version_added":
			l.of[f.File.SHA256] = append(l.of[f.File.SHA256], max(1, f.Version))
		case "media.derived":
			for _, d := range f.Derivatives {
				l.of[d.SHA256] = append(l.of[d.SHA256], f.Version)
			}
		case "media.screened":
			if f.Verdict == "clean" {
				l.clean[f.Version] = e.RecordedAt
			}
		case "media.restricted", "media.quarantined", "media.removed", "media.deleted":
			l.shut = append(l.shut, shut{linksOnly: e.Type == "media.restricted", since: e.RecordedAt})
		case "media.released":
			for i := range l.shut {
				if l.shut[i].till.IsZero() {
					l.shut[i].till = e.RecordedAt
				}
			}
		}
	}
	return lives
}

// hold holds what was read against what the log says: each byte is of a version that was screened clean before it came, and none was asked
// for while its door was shut.
func (r *race) hold(t *testing.T, all []storedEvent) {
	t.Helper()
	lives := livesOf(t, all)
	for _, g := range r.got {
		l := lives[g.item.id]
		if l == nil {
			t.Fatalf("%s is not in the log", g.item.id)
		}
		versions := l.of[g.sum]
		if g.door.part {
			versions = nil
			for v := range l.clean {
				versions = append(versions, v)
			}
		}
		screened := false
		for _, v := range versions {
			at, ok := l.clean[v]
			screened = screened || ok && at.Before(g.ended)
		}
		if !screened {
			t.Errorf("%s gave bytes of versions %v of %s, screened clean are %v, at %v", g.door.name, versions, g.item.id, l.clean, g.ended)
		}
		for _, s := range l.shut {
			if s.linksOnly && !g.door.link || !g.began.After(s.since.Add(promptly)) || !s.till.IsZero() && g.ended.After(s.till) {
				continue
			}
			t.Errorf("%s gave bytes of %s %v after it was shut", g.door.name, g.item.id, g.began.Sub(s.since))
		}
	}
}

// byDoor is how often each door gave something. Each that can has to.
func (r *race) byDoor(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, g := range r.got {
		n[g.door.name]++
	}
	if len(r.got) < 1000 {
		return n // chance
	}
	for _, d := range (&raced{id: "x", link: "x"}).doors() {
		chance := d.web && r.ffmpeg == "" || strings.HasSuffix(d.name, "thumbnail of then") // which was not there yet, for most
		if n[d.name] == 0 && !chance {
			t.Errorf("nothing was ever delivered at %q: it is no test of it", d.name)
		}
	}
	return n
}

// askStorage asks the storage itself for everything that is in it, as somebody who knows the names and has no key.
func (r *race) askStorage(t *testing.T, all []storedEvent) {
	t.Helper()
	at, err := whereabouts(r.v.dir)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, e := range all {
		var f struct {
			File        struct{ Object string }
			Derivatives []struct{ Object string }
		}
		if !strings.HasPrefix(e.Stream, "media-") || json.Unmarshal(e.Data, &f) != nil {
			continue
		}
		objects := []string{f.File.Object}
		for _, d := range f.Derivatives {
			objects = append(objects, d.Object)
		}
		for _, object := range objects {
			if object == "" {
				continue
			}
			asked++
			status, _, err := r.try(t.Context(), &demo.Client{HTTP: http.DefaultClient}, "http://"+at.S3.Endpoint+"/"+at.S3.Bucket+"/"+object, nil)
			if err != nil || status/100 == 2 {
				t.Fatalf("storage answers a stranger %d: %v", status, err)
			}
		}
	}
	if asked == 0 {
		t.Error("storage was asked for nothing")
	}
}
