package commands_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
)

// stored is where the bytes of an item's versions are.
func (v *vault) stored(id domain.MediaID) []domain.ObjectKey {
	v.t.Helper()
	var state media.State
	for _, rec := range v.events(eventstore.StreamOf(media.Category, id)) {
		state = media.Evolve(state, rec.Event.(media.Event)) //nolint:forcetypeassert // its own events
	}
	return state.Objects()
}

func (v *vault) reads(key domain.ObjectKey) ([]byte, error) {
	v.t.Helper()
	blob, err := v.blobs.Get(v.t.Context(), key)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return io.ReadAll(blob)
}

func (v *vault) uploads(who domain.Actor, content []byte) domain.MediaID {
	v.t.Helper()
	got, err := v.media.Upload(v.t.Context(), by(who), commands.File{Name: "a.png", Size: -1, Way: media.WayBody}, bytes.NewReader(content))
	if err != nil {
		v.t.Fatal(err)
	}
	return domain.MediaID(got.ID)
}

// purges deletes and purges an item, and destroys what the reactor would.
func (v *vault) purges(who domain.Actor, id domain.MediaID) {
	v.t.Helper()
	ctx := v.t.Context()
	_, err := v.media.Delete(ctx, by(who), id)
	if err == nil {
		_, err = v.media.Purge(ctx, by(who), id)
	}
	if err == nil {
		err = v.media.DestroyObjects(ctx, by(domain.System()), id)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func TestTheSameBytesOfOneOwnerAreStoredOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	content := picture(t, 7)
	one, two, others := v.uploads(alice, content), v.uploads(alice, content), v.uploads(bob, content)
	key := v.stored(one)[0]
	if v.stored(two)[0] != key {
		t.Errorf("the same bytes are at %s and %s", key, v.stored(two)[0])
	}
	if v.stored(others)[0] == key {
		t.Error("two owners share bytes")
	}
	version, err := v.media.AddVersion(t.Context(), by(alice), two, commands.File{Name: "b.png", Size: -1}, bytes.NewReader(picture(t, 9)))
	if err != nil || version.Version != 2 {
		t.Fatalf("%+v, %v", version, err)
	}

	v.purges(alice, one)
	if got, err := v.reads(key); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the bytes that another item needs are gone: %v", err)
	}
	if err := v.media.DestroyObjects(t.Context(), by(domain.System()), one); err != nil { // again, as a reactor may
		t.Fatal(err)
	}
	both := v.stored(two)
	v.purges(alice, two)
	for _, key := range both {
		if _, err := v.reads(key); !errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("nobody needs %s, and it is there: %v", key, err)
		}
	}
	three := v.uploads(alice, content)
	if got, err := v.reads(v.stored(three)[0]); err != nil || !bytes.Equal(got, content) {
		t.Errorf("uploaded anew after all was destroyed: %v", err)
	}
	if got, err := v.reads(v.stored(others)[0]); err != nil || !bytes.Equal(got, content) {
		t.Errorf("another owner's bytes: %v", err)
	}
}

func TestAVersionThatComesToNothingTakesNothingWithIt(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	v.shared.Policy.MaxVersions = 2
	first := picture(t, 1)
	id := v.uploads(alice, first)
	add := func(content []byte) error {
		_, err := v.media.AddVersion(t.Context(), by(alice), id, commands.File{Name: "a.png", Size: -1}, bytes.NewReader(content))
		return err
	}
	if err := add(picture(t, 2)); err != nil {
		t.Fatal(err)
	}
	refused(t, add(first), media.ErrTooManyOf)         // the bytes of version 1: they stay
	refused(t, add(picture(t, 3)), media.ErrTooManyOf) // others: they go
	if err := add(picture(t, 2)); err != nil {         // the current ones: nothing new
		t.Fatal(err)
	}
	for _, key := range v.stored(id) {
		if _, err := v.reads(key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	keys := 0
	for range v.s3.ListObjects(t.Context(), bucket, listAll) {
		keys++
	}
	if keys != 2 {
		t.Errorf("%d objects of two versions", keys)
	}
}

// TestBytesThatAreNeededAreNeverDestroyed uploads and purges the same bytes at once.
func TestBytesThatAreNeededAreNeverDestroyed(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	content := picture(t, 5)
	stay := make([]domain.MediaID, 6)
	together(12, func(i int) {
		for n := range 3 {
			id := v.uploads(alice, content)
			if i < len(stay) && n == 2 {
				stay[i] = id
				return
			}
			v.purges(alice, id)
		}
	})
	for i, id := range stay {
		if got, err := v.reads(v.stored(id)[0]); err != nil || !bytes.Equal(got, content) {
			t.Errorf("item %d lost its bytes: %v", i, err)
		}
	}
}

func TestEvidenceIsFrozenUntilTheCaseIsClosed(t *testing.T) {
	t.Parallel()
	v := newVault(t, true)
	ctx := t.Context()
	id := v.uploads(alice, picture(t, 5))
	if _, err := v.media.RecordScreening(ctx, by(domain.System()), id, commands.Screening{Version: 1, Verdict: media.VerdictClean, Score: 80}); err != nil {
		t.Fatal(err)
	}
	reported := must(v.moderation.Refer(ctx, by(mod), commands.Report{Media: id, Category: "violence"}))(t)
	if _, err := v.media.AddVersion(ctx, by(alice), id, commands.File{Name: "a.png", Size: -1}, bytes.NewReader(picture(t, 6))); err != nil {
		t.Fatal(err)
	}
	must(v.media.Delete(ctx, by(alice), id))(t)
	_, err := v.media.Purge(ctx, by(alice), id)
	refused(t, err, media.ErrFrozen)
	looks := func() error {
		_, err := v.access.Serve(ctx, by(mod), commands.Serving{Media: id, Version: 1, What: "content"})
		return err
	}
	if err := looks(); err != nil {
		t.Fatalf("a moderator cannot see what was reported: %v", err)
	}
	key := v.stored(id)[0]

	// A purge that was decided in the moment in which the case was opened.
	_, err = v.store.Append(ctx, eventstore.StreamOf(media.Category, id), eventstore.Any, eventstore.Metadata{Command: v.shared.NewID()},
		media.Purged{By: alice.ID, Objects: v.stored(id)})
	if err == nil {
		err = v.media.DestroyObjects(ctx, by(domain.System()), id)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.reads(key); err != nil {
		t.Fatalf("evidence was destroyed: %v", err)
	}
	if err := looks(); err != nil {
		t.Fatalf("a moderator cannot see what was reported: %v", err)
	}
	caseID := domain.CaseID(reported.ID)
	must(v.moderation.Decide(ctx, by(mod), caseID, commands.Decision{Action: moderation.Approve, Version: 1}))(t)
	if of, err := v.media.OfCase(ctx, caseID); of != id || err != nil {
		t.Fatal(of, err)
	}
	if err := v.media.DestroyObjects(ctx, by(domain.System()), id); err != nil {
		t.Fatal(err)
	}
	if _, err := v.reads(key); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("the case is closed, and the bytes are there: %v", err)
	}
}

func TestTwoModeratorsNeverHoldOneCase(t *testing.T) {
	t.Parallel()
	v := newVault(t, false)
	ctx := t.Context()
	q := &waiting{}
	v.shared.Cases = q
	for range 20 {
		q.ids = append(q.ids, domain.CaseID(must(v.moderation.Refer(ctx, by(mod), commands.Report{Media: v.item(alice, media.VerdictClean), Category: "spam"}))(t).ID))
	}
	got := make([]string, 25)
	together(len(got), func(i int) {
		who := domain.Actor{ID: domain.UserID("mod-" + strconv.Itoa(i)), Roles: []domain.Role{domain.RoleModerator}}
		claimed, err := v.moderation.Next(ctx, by(who))
		if err == nil {
			got[i] = claimed.ID
		} else if !errors.Is(err, commands.ErrQueueEmpty) {
			t.Error(err)
		}
	})
	holders := map[string]int{}
	for _, id := range got {
		holders[id]++
	}
	if len(holders) != 21 || holders[""] != 5 {
		t.Errorf("25 moderators hold %d of 20 cases: %v", len(holders)-1, holders)
	}
	v.clock.pass(commands.DefaultLease)
	again := must(v.moderation.Next(ctx, keyed(judge, "once")))(t)
	repeated := must(v.moderation.Next(ctx, keyed(judge, "once")))(t)
	if again.ID != string(q.ids[0]) || repeated.ID != again.ID || !repeated.Until.Equal(again.Until) {
		t.Errorf("when the leases are over: %+v, and again %+v", again, repeated)
	}
}

func TestADecisionIsEffectiveWhenItIsAnswered(t *testing.T) {
	t.Parallel()
	v := newVault(t, false)
	ctx := t.Context()
	id := v.item(alice, media.VerdictClean)
	c := domain.CaseID(must(v.moderation.Refer(ctx, by(mod), commands.Report{Media: id, Category: "violence"}))(t).ID)
	serve := func() error {
		_, err := v.access.Serve(ctx, by(alice), commands.Serving{Media: id, What: "content"})
		return err
	}
	if err := serve(); err != nil {
		t.Fatal(err)
	}
	must(v.moderation.Decide(ctx, by(mod), c, commands.Decision{Action: moderation.Quarantine, Reason: "r", Policy: "p", Statement: "s"}))(t)
	refused(t, serve(), media.ErrQuarantined)
	must(v.moderation.Appeal(ctx, by(alice), c, "mine"))(t)
	must(v.moderation.DecideAppeal(ctx, by(judge), c, 1, commands.Verdict{Outcome: moderation.Overturn, Reason: "r", Statement: "s"}))(t)
	if err := serve(); err != nil {
		t.Errorf("the decision fell: %v", err)
	}
	if got := v.types(eventstore.StreamOf(media.Category, id)); len(got) != 4 {
		t.Errorf("the item's events are %v", got)
	}
}

func TestScreeningsDoubtOpensACaseOnce(t *testing.T) {
	t.Parallel()
	v := newVault(t, false)
	ctx := t.Context()
	id := v.item(alice, media.VerdictReview)
	one := must(v.moderation.Flag(ctx, keyed(domain.System(), "review-1"), id))(t)
	must(v.moderation.Flag(ctx, keyed(domain.System(), "review-1"), id))(t)
	must(v.moderation.Flag(ctx, keyed(domain.System(), "review-2"), id))(t)
	stream := eventstore.StreamOf(moderation.Category, domain.CaseID(one.ID))
	if got := v.types(stream); len(got) != 1 {
		t.Fatalf("the case's events are %v", got)
	}
	opened := v.events(stream)[0].Event.(moderation.Opened) //nolint:forcetypeassert // the only one
	if opened.Origin != moderation.FromDetector || opened.Score != 50 || opened.Version != 1 || opened.Category != "screening" {
		t.Errorf("opened %+v", opened)
	}
	must(v.moderation.Decide(ctx, by(mod), domain.CaseID(one.ID), commands.Decision{Action: moderation.Approve}))(t)
	if got := must(v.moderation.Flag(ctx, keyed(domain.System(), "review-3"), id))(t); !got.Silent {
		t.Errorf("what a moderator cleared is flagged again: %+v", got)
	}
	if _, err := v.access.Serve(ctx, by(alice), commands.Serving{Media: id, What: "content"}); err != nil {
		t.Errorf("what a moderator cleared is not delivered: %v", err)
	}
}

// listAll lists every object of the bucket.
var listAll = minio.ListObjectsOptions{Recursive: true}

// waiting is an index of cases that never changes.
type waiting struct{ ids []domain.CaseID }

func (w *waiting) Waiting(context.Context, domain.Actor, int) ([]domain.CaseID, error) {
	return w.ids, nil
}

func (w *waiting) ClaimedBy(context.Context, domain.UserID, int) ([]domain.CaseID, error) {
	return w.ids, nil
}

func (w *waiting) SharesOf(context.Context, domain.MediaID) ([]domain.ShareID, error) {
	return nil, nil
}
