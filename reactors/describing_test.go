package reactors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/describers"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/reactors"
)

// slope is a JPEG of a slope, a little brighter by the shade.
func slope(t *testing.T, shade int) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 200, 150))
	for y := range 150 {
		for x := range 200 {
			img.SetGray(x, y, color.Gray{Y: uint8(min(255, (x*y)/150+shade))}) //nolint:gosec // at most 255
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// screened is an item of alice's that was screened clean, with a thumbnail; the event is the last one that was asked for.
func (d *darkroom) screened(picture []byte) domain.MediaID {
	d.t.Helper()
	ctx, system := d.t.Context(), commands.Envelope{Actor: domain.System()}
	id := domain.MediaID(d.upload("a.jpg", picture).Stream.ID())
	_, err := d.media.RecordScreening(ctx, system, id, commands.Screening{Version: 1, Verdict: media.VerdictClean, Score: 80})
	if err != nil {
		d.t.Fatal(err)
	}
	info, err := d.media.StoreDerivative(ctx, "alice", id, "thumbnail-400", bytes.NewReader(picture), int64(len(picture)), "image/jpeg")
	if err != nil {
		d.t.Fatal(err)
	}
	thumbnail := media.Derivative{Kind: media.KindThumbnail, Name: "400", Type: "image/jpeg", Width: 200, Height: 150, Size: info.Size, SHA256: info.Digest, Object: info.Key}
	if _, err := d.media.RecordDerived(ctx, system, id, media.Derived{Version: 1, Derivatives: []media.Derivative{thumbnail}}); err != nil {
		d.t.Fatal(err)
	}
	return id
}

// last is the last event of an item that is of this type.
func (d *darkroom) last(id domain.MediaID, kind string) eventstore.Recorded {
	d.t.Helper()
	var found eventstore.Recorded
	for rec, err := range d.store.Stream(d.t.Context(), mediaStream(id), 0) {
		if err != nil {
			d.t.Fatal(err)
		}
		if rec.Type == kind {
			found = rec
		}
	}
	return found
}

func TestDescribing(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	picture := slope(t, 0)
	ask := func(id domain.MediaID) eventstore.Recorded {
		if _, err := d.media.RequestDescription(t.Context(), commands.Envelope{Actor: owner}, id, 0); err != nil {
			t.Fatal(err)
		}
		return d.last(id, "media.description_requested")
	}
	react := func(r reactors.Describing, rec eventstore.Recorded) media.DescriptionSuggested {
		for range 2 { // again changes nothing
			if err := r.React(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		said, _ := d.last(domain.MediaID(rec.Stream.ID()), "media.description_suggested").Event.(media.DescriptionSuggested)
		return said
	}
	var sent []byte
	eye := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ = io.ReadAll(r.Body)
		_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"message": map[string]any{"content": "A slope."}}}})
	}))
	t.Cleanup(eye.Close)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)

	t.Run("a second provider says what the first did not in time", func(t *testing.T) {
		id := d.screened(picture)
		said := react(reactors.Describing{Media: d.media, Describer: describers.New(nil,
			describers.Provider{Name: "first", URL: hanging.URL, Timeout: 50 * time.Millisecond}, describers.Provider{Name: "second", URL: eye.URL, Model: "eye"},
		)}, ask(id))
		if said.Text.Text() != "A slope." || said.Provider != "second" || said.Model != "eye" || !slices.Equal(said.Failed, []string{"first: timeout"}) {
			t.Errorf("suggested %+v", said)
		}
		if !strings.Contains(string(sent), "data:image/jpeg;base64,") {
			t.Errorf("no picture was sent: %.200s", sent)
		}
		if said.Text.Subject() != owner.ID {
			t.Error("the text is not the owner's")
		}
	})
	t.Run("without a provider the metadata speaks, and says so", func(t *testing.T) {
		for _, r := range []reactors.Describing{{Media: d.media}, {Media: d.media, Describer: describers.New(nil, describers.Provider{Name: "gone", URL: "http://127.0.0.1:1"})}} {
			said := react(r, ask(d.screened(picture)))
			if said.Provider != media.ByMetadata || !strings.Contains(said.Text.Text(), "image/jpeg") || !strings.Contains(said.Text.Text(), "nobody has looked at it") {
				t.Errorf("suggested %+v", said)
			}
			if r.Describer != nil && !slices.Equal(said.Failed, []string{"gone: unreachable"}) {
				t.Errorf("failed: %v", said.Failed)
			}
		}
	})
	t.Run("what was quarantined since is shown to nobody", func(t *testing.T) {
		id := d.screened(picture)
		rec := ask(id)
		ruling := commands.Ruling{Case: "c", Number: 1, Action: moderation.Quarantine, By: "mod", Version: 1}
		if _, err := d.media.ApplyDecision(t.Context(), commands.Envelope{Actor: domain.System()}, id, ruling); err != nil {
			t.Fatal(err)
		}
		sent = nil
		said := react(reactors.Describing{Media: d.media, Describer: describers.New(nil, describers.Provider{URL: eye.URL})}, rec)
		if sent != nil || said.Provider != media.ByMetadata {
			t.Errorf("sent %d bytes, suggested %+v", len(sent), said)
		}
	})
}

// nearby is an index that knows one other item.
type nearby struct{ seen []media.Resembles }

func (n nearby) Near(context.Context, domain.UserID, domain.MediaID, string, string, eventstore.Position) ([]media.Resembles, error) {
	return n.seen, nil
}

func TestLookalikes(t *testing.T) {
	t.Parallel()
	d := newDarkroom(t)
	one, brighter := d.screened(slope(t, 0)), d.screened(slope(t, 3))
	r := reactors.Lookalikes{Media: d.media, Index: nearby{[]media.Resembles{{Other: one, Of: 1, Distance: 2}}}}
	print := func(id domain.MediaID) string {
		for range 2 {
			if err := r.React(t.Context(), d.last(id, "media.derived")); err != nil {
				t.Fatal(err)
			}
		}
		e, _ := d.last(id, "media.fingerprinted").Event.(media.Fingerprinted)
		return e.Hash
	}
	a, b := print(one), print(brighter)
	if a == "" || a != b && differs(t, a, b) > 8 {
		t.Errorf("the same slope looks like %s and %s", a, b)
	}
	for range 2 {
		if err := r.React(t.Context(), d.last(brighter, "media.fingerprinted")); err != nil {
			t.Fatal(err)
		}
	}
	if e, _ := d.last(brighter, "media.resembles").Event.(media.Resembles); e.Other != one || e.Version != 1 || e.Distance != 2 {
		t.Errorf("found %+v", e)
	}
	if _, ok := reactors.Looks([]byte("no picture")); ok {
		t.Error("something looks like nothing")
	}
}

func differs(t *testing.T, a, b string) (n int) {
	t.Helper()
	for i := range a {
		x, y := strings.IndexByte("0123456789abcdef", a[i]), strings.IndexByte("0123456789abcdef", b[i])
		for bit := range 4 {
			n += (x ^ y) >> bit & 1
		}
	}
	return n
}

func TestReviewAndEnforcement(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	items, cases := commands.NewMedia(v.vault, nil), commands.NewModeration(v.vault)
	defer v.react(reactors.Review{Moderation: cases}, reactors.Enforcement{Media: items})()
	item := v.item()
	s := v.share(item, share.Terms{})
	v.by("system", mediaStream(item), media.Screened{Version: 1, Verdict: media.VerdictReview, Score: 30})
	v.done()
	opened := v.said(eventstore.StreamOf(moderation.Category, caseOf(v, item)))
	if n := len(slices.DeleteFunc(slices.Clone(opened), func(said string) bool { return said == "moderation.reach_changed" })); opened[0] != "moderation.opened" || n != 1 {
		t.Fatalf("the case says %v", opened)
	}
	// A decision whose command did not live to make the item follow.
	v.by("mod", eventstore.StreamOf(moderation.Category, caseOf(v, item)), moderation.Decided{
		Number: 1, Media: item, Version: 1, By: "mod", Action: moderation.Quarantine, Policy: "p",
	})
	v.by("alice", shareStream(s), share.Revoked{By: "alice"})
	v.done()
	if said := v.said(mediaStream(item)); said[len(said)-1] != "media.quarantined" {
		t.Errorf("the item says %v", said)
	}
}

// caseOf finds the case about an item.
func caseOf(v *vault, item domain.MediaID) domain.CaseID {
	v.Helper()
	for rec, err := range v.store.ReadAll(v.Context(), eventstore.Read{Filter: eventstore.Filter{Types: []string{"moderation.opened"}}}) {
		if err != nil {
			v.Fatal(err)
		}
		if e, ok := rec.Event.(moderation.Opened); ok && e.Media == item {
			return e.Case
		}
	}
	v.Fatalf("no case about %s", item)
	return ""
}
