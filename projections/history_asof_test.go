package projections

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/access"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// TestEveryModelAsOfEveryPositionEqualsAFoldFromScratch draws histories, valid or not, and compares each table, asked as of each
// position, with the rows that folding the events up to there makes.
func TestEveryModelAsOfEveryPositionEqualsAFoldFromScratch(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	rapid.Check(t, func(r *rapid.T) {
		from, err := v.store.Head(context.Background())
		must(t, err)
		v.draw(r)
		v.settle()
		var recs []eventstore.Recorded
		for rec, err := range v.store.ReadAll(context.Background(), eventstore.Read{After: from}) {
			must(t, err)
			recs = append(recs, rec)
		}
		sameAsFold(r, v, LibraryProjection(), from, recs)
		sameAsFold(r, v, SharesProjection(), from, recs)
		sameAsFold(r, v, AccessProjection(), from, recs)
		sameAsFold(r, v, ReviewProjection(), from, recs)
		sameAsFold(r, v, AuditProjection(), from, recs)
		sameAsFold(r, v, UsageProjection(), from, recs)
	})
}

// sameAsFold compares one model. The history's things are its own, so that what was there before has no part in it.
func sameAsFold[R any](r *rapid.T, v *vault, p Projection[R], from eventstore.Position, recs []eventstore.Recorded) {
	view, err := ViewOf(v.engine, p)
	if err != nil {
		r.Fatal(err)
	}
	keys := map[string]bool{}
	taken := map[string]bool{}
	for _, name := range p.Types() {
		taken[name] = true
	}
	for _, rec := range recs {
		if taken[rec.Type] {
			for _, key := range p.Keys(rec) {
				keys[key] = true
			}
		}
	}
	var args Args
	all, err := view.Query(context.Background(), "select "+view.Columns("s")+" from "+p.Name()+" s where s.key = any ("+
		args.Add(slices.Collect(maps.Keys(keys)))+")", &args)
	if err != nil {
		r.Fatal(err)
	}
	asked := rapid.IntRange(0, len(recs)).Draw(r, "asked") // as of this one the database is asked, too
	rows := map[string]R{}
	for i := range len(recs) + 1 {
		position := from
		if i > 0 {
			rec := recs[i-1]
			position = rec.Position
			if taken[rec.Type] {
				for _, key := range p.Keys(rec) {
					row, there := p.Evolve(key, rows[key], rec)
					if rows[key] = row; !there {
						delete(rows, key)
					}
				}
			}
		}
		folded := bytesOf(r, view, rows)
		stored := map[string]R{}
		for _, f := range all {
			if f.From <= position && position < f.Until {
				if _, twice := stored[f.Key]; twice {
					r.Fatalf("%s has two versions of %s as of %d", p.Name(), f.Key, position)
				}
				stored[f.Key] = f.Row
			}
		}
		if !reflect.DeepEqual(folded, bytesOf(r, view, stored)) {
			r.Fatalf("%s as of %d (event %d):\nfolded %s\nstored %s", p.Name(), position, i, rowsText(rows), rowsText(stored))
		}
		if i != asked {
			continue
		}
		answered := map[string]R{}
		var args Args
		at := At{Position: position, Past: true}
		found, err := view.Query(context.Background(), "select "+view.Columns("s")+" from "+p.Name()+" s where s.key = any ("+
			args.Add(slices.Collect(maps.Keys(keys)))+") and "+at.Where("s", &args), &args)
		if err != nil {
			r.Fatal(err)
		}
		for _, f := range found {
			answered[f.Key] = f.Row
		}
		if !reflect.DeepEqual(folded, bytesOf(r, view, answered)) {
			r.Fatalf("%s asked as of %d:\nfolded %s\nanswered %s", p.Name(), position, rowsText(rows), rowsText(answered))
		}
	}
}

// bytesOf are rows as they are stored.
func bytesOf[R any](r *rapid.T, view View[R], rows map[string]R) map[string]string {
	all := map[string]string{}
	for key, row := range rows {
		b, err := view.model.shape.append(nil, reflect.ValueOf(&row).Elem())
		if err != nil {
			r.Fatal(err)
		}
		all[key] = string(b)
	}
	return all
}

func rowsText[R any](rows map[string]R) string {
	s := ""
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		s += fmt.Sprintf("\n  %s: %+v", key, rows[key])
	}
	return s
}

// draw appends a random history of a few things.
func (v *vault) draw(r *rapid.T) {
	items := []domain.MediaID{newMedia(), newMedia()}
	shares := []domain.ShareID{newShare(), newShare(), newShare()}
	cases := []domain.CaseID{newCase(), newCase()}
	for range rapid.IntRange(1, 40).Draw(r, "events") {
		actor := rapid.SampledFrom([]domain.Actor{alice, partner, moderator, domain.System()}).Draw(r, "actor")
		id := rapid.SampledFrom(items).Draw(r, "item")
		s := rapid.SampledFrom(shares).Draw(r, "share")
		c := rapid.SampledFrom(cases).Draw(r, "case")
		number := rapid.IntRange(1, 3).Draw(r, "number")
		stream, event := v.drawn(r, actor, id, s, c, number)
		v.by(actor, stream, event)
	}
}

func (v *vault) drawn(
	r *rapid.T, actor domain.Actor, id domain.MediaID, s domain.ShareID, c domain.CaseID, number int,
) (eventstore.Stream, domain.Event) {
	note := domain.NewPersonal(actor.ID, rapid.SampledFrom([]string{"", "a note", "Ünï\x00code"}).Draw(r, "note"))
	source := media.Source{Case: c, Number: number, By: actor.ID, Version: number}
	terms := share.Terms{
		Permissions: rapid.SampledFrom([][]share.Permission{{share.View}, {share.Reshare, share.View}, nil}).Draw(r, "permissions"),
		MaxOpens:    rapid.IntRange(0, 2).Draw(r, "max"),
	}
	if rapid.Bool().Draw(r, "expires") {
		terms.ExpiresAt = v.clock().Add(time.Duration(number) * time.Second)
	}
	switch rapid.IntRange(0, 26).Draw(r, "event") {
	case 0, 1:
		return mediaStream(id), uploaded(id, actor, int64(number))
	case 2:
		return mediaStream(id), media.VersionAdded{Version: number, File: file(actor, int64(number))}
	case 3:
		return mediaStream(id), media.RolledBack{Version: number, From: 1}
	case 4, 5:
		verdict := rapid.SampledFrom([]media.Verdict{media.VerdictClean, media.VerdictReview, media.VerdictBlocked}).Draw(r, "verdict")
		return mediaStream(id), media.Screened{Version: number, Verdict: verdict, Score: number, Stages: []media.Stage{{Name: "type", Codes: []string{"x"}}}}
	case 6:
		return mediaStream(id), media.Restricted{Source: source}
	case 7:
		return mediaStream(id), media.Quarantined{Source: source, Code: media.CodeModeration}
	case 8:
		return mediaStream(id), media.Removed{Source: source}
	case 9:
		return mediaStream(id), media.Released{Source: source}
	case 10:
		return mediaStream(id), media.Deleted{By: actor.ID}
	case 11:
		return mediaStream(id), media.Restored{By: actor.ID}
	case 12:
		return mediaStream(id), media.Purged{By: actor.ID, Objects: []domain.ObjectKey{"o"}}
	case 13:
		if rapid.Bool().Draw(r, "seen") {
			return mediaStream(id), rapid.SampledFrom([]domain.Event{
				media.DescriptionRequested{Number: number, Version: 1, By: actor.ID},
				media.DescriptionSuggested{Number: number, Version: 1, Text: note, Provider: "p", Failed: []string{"q: timeout"}},
				media.SuggestionAccepted{Number: number, By: actor.ID}, media.SuggestionRejected{Number: number, By: actor.ID},
				media.Fingerprinted{Version: 1, Owner: actor.ID, Algorithm: "phash64-1", Hash: "ff00ff00ff00ff00"},
				media.Resembles{Version: 1, Other: id, Of: 1, Distance: number, Algorithm: "phash64-1"},
			}).Draw(r, "media event")
		}
		return mediaStream(id), media.Described{Title: note, Description: note, Tags: []domain.Personal{domain.NewPersonal(actor.ID, "tag")}}
	case 14:
		return mediaStream(id), media.UploadRefused{Media: id, Owner: actor.ID, Org: actor.Org, Name: note, Reasons: []string{"empty"}}
	case 15, 16:
		with := rapid.SampledFrom([]share.Grantee{withUser(bob), withOrg("globex"), withLink(digest('e'))}).Draw(r, "with")
		return shareStream(s), share.Granted{Share: s, Media: id, Owner: actor.ID, By: actor.ID, With: with, Terms: terms}
	case 17:
		return shareStream(s), share.Changed{By: actor.ID, Terms: terms}
	case 18:
		return shareStream(s), share.Revoked{By: actor.ID}
	case 19:
		return caseStream(c), moderation.Opened{Case: c, Media: id, Owner: actor.ID, Origin: moderation.FromReport, By: bob.ID, Category: "spam", Note: note, Score: number}
	case 20:
		return caseStream(c), moderation.Reported{Origin: moderation.FromDetector, By: bob.ID, Category: "spam", Note: note, Score: number * 10}
	case 21:
		return caseStream(c), moderation.Decided{Number: number, Media: id, By: moderator.ID, Action: moderation.Remove, Reason: note, Policy: "p", Statement: note}
	case 22:
		return caseStream(c), moderation.Appealed{Number: number, Decision: 1, By: actor.ID, Note: note}
	case 23:
		return caseStream(c), moderation.AppealDecided{Number: number, Media: id, By: judge.ID, Outcome: moderation.Overturn, Reason: note}
	case 24:
		return caseStream(c), rapid.SampledFrom([]domain.Event{
			moderation.Closed{By: judge.ID, Code: "final"},
			moderation.Assigned{Moderator: moderator.ID, By: judge.ID},
			moderation.Claimed{Moderator: moderator.ID, Until: time.Date(2026, 11, 22, 12, 0, number, 0, time.UTC)},
			moderation.GivenBack{Moderator: moderator.ID},
			moderation.Escalated{By: moderator.ID, Note: note},
			moderation.Proposed{Number: number, Media: id, By: moderator.ID, Action: moderation.Remove, Reason: note, Policy: "p", Statement: note},
			moderation.Confirmed{Number: number, By: judge.ID},
			moderation.Declined{Number: number, By: judge.ID, Reason: note},
			moderation.ReachChanged{Reach: moderation.Reach{Users: number, Links: 1}},
		}).Draw(r, "case event")
	case 25:
		return accessStream(id), access.Refused{Action: "GET /v1/media/{id}", Resource: string(id), Media: id, Code: "not_owner", Status: 403}
	default:
		what := rapid.SampledFrom([]string{"content", "download", "thumbnail", "view"}).Draw(r, "what")
		return accessStream(id), access.Served{Media: id, Version: 1, What: what, Via: access.ViaShare, Share: s, Bytes: int64(number)}
	}
}
