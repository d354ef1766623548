package projections

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/domain/parked"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestAuditRowSaysWhatEachEventIsAbout(t *testing.T) {
	t.Parallel()
	id, s, c := newMedia(), newShare(), newCase()
	for _, tt := range []struct {
		stream eventstore.Stream
		event  domain.Event
		want   AuditRow
	}{
		{mediaStream(id), uploaded(id, alice, 5), AuditRow{ResourceKind: "media", ResourceID: string(id), Media: id, Outcome: "ok", Score: NoScore, Detail: "uploaded version 1: image/jpeg, 5 B"}},
		{mediaStream(id), media.Screened{Version: 1, Verdict: media.VerdictReview, Score: 40, Stages: []media.Stage{{Codes: []string{"nsfw"}}}},
			AuditRow{ResourceKind: "media", ResourceID: string(id), Media: id, Outcome: "ok", Score: 40, Detail: "review: nsfw"}},
		{mediaStream(id), media.UploadRefused{Media: id, Reasons: []string{"empty", "missing"}},
			AuditRow{ResourceKind: "media", ResourceID: string(id), Media: id, Outcome: "refused", Code: "empty", Score: NoScore, Detail: "empty, missing"}},
		{mediaStream(id), media.Described{Title: domain.NewPersonal("alice", "secret title")},
			AuditRow{ResourceKind: "media", ResourceID: string(id), Media: id, Outcome: "ok", Score: NoScore}},
		{shareStream(s), share.Granted{Share: s, Media: id, With: withUser(bob), Terms: share.Terms{Permissions: []share.Permission{share.View}, PasswordHash: "$argon2id$"}},
			AuditRow{ResourceKind: "share", ResourceID: string(s), Media: id, Outcome: "ok", Score: NoScore, Detail: "user bob: view, with a password"}},
		{shareStream(s), share.Revoked{}, AuditRow{ResourceKind: "share", ResourceID: string(s), Outcome: "ok", Score: NoScore}},
		{caseStream(c), moderation.Decided{Number: 1, Media: id, Action: moderation.Remove, Policy: "p", Reason: domain.NewPersonal("alice", "secret")},
			AuditRow{ResourceKind: "case", ResourceID: string(c), Media: id, Outcome: "ok", Score: NoScore, Detail: "decided (1): remove, by policy p"}},
		{accessStream(s), access.Served{Media: id, Version: 2, What: "download", Via: access.ViaShare, Share: s, Bytes: 2048},
			AuditRow{ResourceKind: "media", ResourceID: string(id), Media: id, Outcome: "ok", Score: NoScore, Detail: "was served the download of version 2, 2.0 KiB, as share " + string(s)}},
		{accessStream("mallory"), access.Refused{Action: "GET /v1/moderation/cases/{id}", Resource: string(c), Code: "not_found", Status: 404},
			AuditRow{ResourceKind: "case", ResourceID: string(c), Outcome: "refused", Code: "not_found", Score: NoScore, Detail: "GET /v1/moderation/cases/{id}"}},
		{accessStream(id), access.Refused{Action: "GET /v1/media/{id}/content", Resource: string(id), Media: id, Code: "quarantined", Status: 403},
			AuditRow{ResourceKind: "media", ResourceID: string(id), Media: id, Outcome: "refused", Code: "quarantined", Score: NoScore, Detail: "GET /v1/media/{id}/content"}},
		{"person-1", person.ErasureRequested{Subject: "alice", By: "root", Ground: person.Withdrawn},
			AuditRow{ResourceKind: "other", ResourceID: "alice", Outcome: "ok", Score: NoScore, Detail: "asked for the person to be forgotten: consent_withdrawn"}},
		{"finding-1", finding.Raised{Media: id, Type: "iban", Place: finding.InTitle, Count: 2, Risk: 80, Sample: domain.NewPersonal("alice", "secret")},
			AuditRow{ResourceKind: "other", ResourceID: "1", Media: id, Outcome: "ok", Score: NoScore, Detail: "found 2 values of type iban in the title: risk 80"}},
		{"finding-1", finding.StatusChanged{From: finding.Open, To: finding.Accepted, Note: domain.NewPersonal("alice", "secret")},
			AuditRow{ResourceKind: "other", ResourceID: "1", Outcome: "ok", Score: NoScore, Detail: "took it from open to accepted"}},
		{"parked-1", parked.Dropped{What: parked.What{Source: parked.Reactor, Name: "screening", Key: "media-1", Position: 12}, Type: "media.uploaded"},
			AuditRow{ResourceKind: "other", ResourceID: "1", Outcome: "ok", Score: NoScore, Detail: "had reactor screening go on without media.uploaded of media-1 at position 12"}},
		{"object-swept", object.Swept{Objects: []object.Litter{{Object: "k", Size: 2048}}},
			AuditRow{ResourceKind: "other", ResourceID: "swept", Outcome: "ok", Score: NoScore, Detail: "swept 1 object that nobody needs, 2.0 KiB"}},
	} {
		got := auditRow(recorded(1, tt.stream, tt.event))
		got = AuditRow{ResourceKind: got.ResourceKind, ResourceID: got.ResourceID, Media: got.Media, Outcome: got.Outcome, Code: got.Code, Score: got.Score, Detail: got.Detail}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(tt.want)
		if string(a) != string(b) {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.event.EventType(), a, b)
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	id := v.item(alice)
	s := v.grant(alice, alice, id, withUser(bob), allow(share.View), "")
	v.by(mallory, accessStream(id), access.Refused{Action: "GET /v1/media/{id}", Resource: string(id), Media: id, Code: "not_found", Status: 404})
	middle, err := v.store.Head(ctx)
	must(t, err)
	noon := v.clock()
	v.by(alice, shareStream(s), share.Revoked{By: alice.ID})
	v.settle()

	t.Run("an entry tells who, what, when, where, why, how it ended and how long it took", func(t *testing.T) {
		list, err := v.audit.Page(ctx, auditor, AuditQuery{Outcome: "refused"}, Paging{}, Moment{})
		must(t, err)
		if len(list.Items) != 1 {
			t.Fatalf("found %+v", list)
		}
		e := list.Items[0]
		if e.Position != middle || e.Actor != mallory.ID || e.Action != "access.refused" || e.Address != "192.0.2.7" || e.UserAgent != "curl/8" ||
			e.Reason != "because mallory" || e.Code != "not_found" || e.DurationMS != 1.5 || !e.At.Equal(noon) || e.EventID == uuid.Nil ||
			e.Correlation == uuid.Nil || e.Score != nil || !slices.Equal(e.Roles, mallory.Roles) {
			t.Errorf("the entry is %+v", e)
		}
	})

	t.Run("filters find what they say, as of the moment", func(t *testing.T) {
		for _, tt := range []struct {
			name string
			q    AuditQuery
			m    Moment
			want int
		}{
			{"everything", AuditQuery{}, Moment{}, 5},
			{"as of the middle", AuditQuery{}, AsOf(middle), 4},
			{"as of noon", AuditQuery{}, AsOfTime(noon), 4},
			{"before everything", AuditQuery{}, AsOf(0), 0},
			{"who", AuditQuery{Who: alice.ID}, Moment{}, 3},
			{"action", AuditQuery{Action: "media.uploaded"}, Moment{}, 1},
			{"category", AuditQuery{Action: "share"}, Moment{}, 2},
			{"resource", AuditQuery{Resource: string(s)}, Moment{}, 2},
			{"kind", AuditQuery{Kind: "media"}, Moment{}, 3},
			{"media", AuditQuery{Media: id}, Moment{}, 4},
			{"ok", AuditQuery{Outcome: "ok"}, Moment{}, 4},
			{"from", AuditQuery{From: noon}, Moment{}, 2},
			{"to", AuditQuery{To: noon}, Moment{}, 3},
			{"from and to", AuditQuery{From: noon, To: noon.Add(time.Microsecond)}, Moment{}, 1},
			{"together", AuditQuery{Who: alice.ID, Action: "share", From: noon.Add(time.Second)}, Moment{}, 1},
		} {
			list, err := v.audit.Page(ctx, auditor, tt.q, Paging{}, tt.m)
			must(t, err)
			if len(list.Items) != tt.want || list.Total != int64(tt.want) {
				t.Errorf("%s: found %d of %d, want %d", tt.name, len(list.Items), list.Total, tt.want)
			}
			oldest := tt.q
			oldest.Oldest = true
			var positions []Position
			p := Paging{Size: 1}
			for range 20 {
				page, err := v.audit.Page(ctx, auditor, oldest, p, tt.m)
				must(t, err)
				for _, e := range page.Items {
					positions = append(positions, e.Position)
				}
				if p.Cursor = page.Next; p.Cursor == "" {
					break
				}
			}
			var reversed []Position
			for _, e := range list.Items {
				reversed = append(reversed, e.Position)
			}
			slices.Reverse(reversed)
			if !slices.Equal(positions, reversed) {
				t.Errorf("%s: one by one %v, at once %v", tt.name, positions, reversed)
			}
		}
	})

	t.Run("others than auditors and admins see what they did themselves", func(t *testing.T) {
		for who, want := range map[*domain.Actor]int{&alice: 3, &mallory: 1, &moderator: 0, &analyst: 0, &partner: 0, &auditor: 5, &admin: 5} {
			list, err := v.audit.Page(ctx, *who, AuditQuery{}, Paging{}, Moment{})
			must(t, err)
			if len(list.Items) != want {
				t.Errorf("%s sees %d entries", who.ID, len(list.Items))
			}
		}
		for _, who := range []domain.Actor{mallory, moderator, guest} {
			if _, err := v.audit.Page(ctx, who, AuditQuery{Who: alice.ID}, Paging{}, Moment{}); !errors.Is(err, ErrMayNotSee) {
				t.Errorf("%s asks for alice's: %v", who.ID, err)
			}
			if _, err := v.audit.Export(ctx, who, AuditQuery{Who: alice.ID}, Moment{}); !errors.Is(err, ErrMayNotSee) {
				t.Errorf("%s exports alice's: %v", who.ID, err)
			}
		}
	})

	t.Run("what cannot be asked is refused by the field's name", func(t *testing.T) {
		for field, q := range map[string]AuditQuery{
			"outcome": {Outcome: "maybe"}, "kind": {Kind: "soul"}, "action": {Action: "media.upload%"}, "to": {From: noon, To: noon},
		} {
			_, err := v.audit.Page(ctx, auditor, q, Paging{}, Moment{})
			if r, ok := domain.AsRefusal(err); !ok || r.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
	})

	t.Run("an export as of a moment is the list of that moment, oldest first", func(t *testing.T) {
		entries, err := v.audit.Export(ctx, auditor, AuditQuery{}, AsOf(middle))
		must(t, err)
		var text bytes.Buffer
		n, err := WriteAuditCSV(&text, entries)
		must(t, err)
		records, err := csv.NewReader(&text).ReadAll()
		must(t, err)
		if n != 4 || len(records) != 5 || records[0][0] != "position" || records[1][0] != "1" || records[4][5] != "access.refused" {
			t.Errorf("the export is %q", records)
		}
		entries, err = v.audit.Export(ctx, auditor, AuditQuery{}, Moment{})
		must(t, err)
		var actions []string
		for e, err := range entries {
			must(t, err)
			actions = append(actions, e.Action)
		}
		if len(actions) != 5 || actions[4] != "share.revoked" {
			t.Errorf("the whole log is %q", actions)
		}
	})

	t.Run("who was forgotten is forgotten in the log, too", func(t *testing.T) {
		must(t, v.keys.Destroy(context.Background(), mallory.ID))
		list, err := v.audit.Page(ctx, auditor, AuditQuery{Who: mallory.ID}, Paging{}, Moment{})
		must(t, err)
		if e := list.Items[0]; e.Address != Erased || e.Reason != Erased || e.Actor != mallory.ID {
			t.Errorf("the entry is %+v", e)
		}
	})
}

func TestAuditCSVIsHarmlessToSpreadsheets(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1+1", "\u00a0@x", "=cmd|' /C calc'!A0", "\ufeff=1", "\"=1", "a,\"=b\"\r\n=c",
	} {
		var text bytes.Buffer
		_, err := WriteAuditCSV(&text, func(yield func(AuditEntry, error) bool) {
			yield(AuditEntry{Reason: evil, UserAgent: evil, Resource: Resource{ID: evil}, Actor: domain.UserID(evil)}, nil)
		})
		must(t, err)
		records, err := csv.NewReader(&text).ReadAll()
		must(t, err)
		if len(records) != 2 {
			t.Fatalf("%q makes %d records", evil, len(records))
		}
		for _, cell := range records[1] {
			if trimmed := strings.TrimLeft(cell, " \t\r\n\u00a0\ufeff"); trimmed != "" && strings.ContainsRune("=+-@＝", []rune(trimmed)[0]) {
				t.Errorf("%q is exported as %q", evil, cell)
			}
		}
	}
}

func TestAuditExportWritesWhatItHasAndSaysThatItIsNotAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("the database went away")
	entries := iter.Seq2[AuditEntry, error](func(yield func(AuditEntry, error) bool) {
		if yield(AuditEntry{Action: "media.uploaded"}, nil) {
			yield(AuditEntry{}, broken)
		}
	})
	var text bytes.Buffer
	if n, err := WriteAuditCSV(&text, entries); n != 1 || !errors.Is(err, broken) || !strings.Contains(text.String(), "media.uploaded") {
		t.Errorf("CSV: %d, %v, %s", n, err, text.String())
	}
}

// TestAuditExportNeedsNoMoreMemoryForMoreRows exports many rows and watches the heap: it must not follow the rows. It is not
// parallel, because what other tests allocate would be counted, too.
func TestAuditExportNeedsNoMoreMemoryForMoreRows(t *testing.T) {
	const rows = 20_000 // about 12 MB of CSV
	v := newVault(t)
	id := newMedia()
	events := make([]domain.Event, 500)
	for i := range events {
		events[i] = access.Served{Media: id, Version: 1, What: access.Content, Via: access.ViaOwner, Bytes: 1}
	}
	for range rows / len(events) {
		v.by(alice, accessStream(id), events...)
	}
	v.settle()
	entries, err := v.audit.Export(t.Context(), auditor, AuditQuery{}, Moment{})
	must(t, err)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n := heap(), uint64(0), 0
	watched := func(yield func(AuditEntry, error) bool) {
		for e, err := range entries {
			if n++; n%5_000 == 0 {
				most = max(most, heap())
			}
			if !yield(e, err) {
				return
			}
		}
	}
	written, err := WriteAuditCSV(io.Discard, watched)
	must(t, err)
	if written != rows {
		t.Errorf("exported %d rows of %d", written, rows)
	}
	if most > before && most-before > 8<<20 { // all rows would be 20 MB and more
		t.Errorf("the heap grew by %d MB", (most-before)>>20)
	}
}
