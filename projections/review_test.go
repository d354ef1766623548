package projections

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestReviewRow(t *testing.T) {
	t.Parallel()
	c, id := newCase(), newMedia()
	note := domain.NewPersonal("bob", "ugly")
	steps := []struct {
		event  domain.Event
		status CaseStatus
	}{
		{moderation.Opened{Case: c, Media: id, Owner: "alice", Origin: moderation.FromReport, By: "bob", Category: "spam", Note: note}, CaseOpen},
		{moderation.Reported{Origin: moderation.FromDetector, By: "system", Category: "spam", Score: 80}, CaseOpen},
		{moderation.Assigned{Moderator: "mod", By: "mod"}, CaseAssigned},
		{moderation.Decided{Number: 1, Media: id, By: "mod", Action: moderation.Remove, Policy: "p1"}, CaseDecided},
		{moderation.Appealed{Number: 1, Decision: 1, By: "alice"}, CaseAppealed},
		{moderation.Assigned{Moderator: "judge", By: "judge"}, CaseAppealed},
		{moderation.AppealDecided{Number: 1, Media: id, By: "judge", Outcome: moderation.Overturn}, CaseDecided},
		{moderation.Closed{By: "judge", Code: "appeal_decided"}, CaseClosed},
	}
	var row CaseRow
	var priorities []int
	for i, step := range steps {
		row, _ = reviewModel{}.Evolve(string(c), row, recorded(eventstore.Position(i+1), caseStream(c), step.event))
		if row.Status != step.status {
			t.Errorf("after %s the case is %s", step.event.EventType(), row.Status)
		}
		priorities = append(priorities, row.Priority)
	}
	if row.Count != 2 || row.Score != 80 || row.Moderator != "judge" || len(row.Decisions) != 1 || row.Closed != "appeal_decided" {
		t.Errorf("the row is %+v", row)
	}
	if a := row.Appeals[0]; a.Outcome != "overturn" || a.Judge != "judge" || a.DecidedAt.IsZero() {
		t.Errorf("the appeal is %+v", a)
	}
	if !(priorities[1] > priorities[0] && priorities[4] > priorities[2] && priorities[3] < priorities[0] && priorities[7] == 0) {
		t.Errorf("priorities are %v", priorities)
	}
}

func TestACampaignOfReportsIsCountedButNotKeptInTheRow(t *testing.T) {
	t.Parallel()
	row := CaseRow{Status: CaseOpen, Waits: true}
	c := newCase()
	for i := range 1000 {
		e := moderation.Reported{Origin: moderation.FromReport, By: "bob", Category: "spam"}
		row, _ = reviewModel{}.Evolve(string(c), row, recorded(eventstore.Position(i+1), caseStream(c), e))
	}
	if row.Count != 1000 || len(row.Reports) != keptReports || row.Priority != 20 {
		t.Errorf("count %d, kept %d, priority %d: one person is one, however much he says", row.Count, len(row.Reports), row.Priority)
	}
	for i := range 1000 {
		e := moderation.Reported{Origin: moderation.FromReport, By: domain.UserID(strconv.Itoa(i)), Category: "spam"}
		row, _ = reviewModel{}.Evolve(string(c), row, recorded(eventstore.Position(i+1001), caseStream(c), e))
	}
	if len(row.Reporters) != countedReporters || row.Priority != 110 {
		t.Errorf("%d count, priority %d", len(row.Reporters), row.Priority)
	}
}

func TestReview(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	open := func(owner domain.Actor, category string, score int) domain.CaseID {
		c, id := newCase(), v.item(owner)
		origin := moderation.FromReport
		if score > 0 {
			origin = moderation.FromDetector
		}
		v.by(bob, caseStream(c), moderation.Opened{
			Case: c, Media: id, Owner: owner.ID, Origin: origin, By: bob.ID, Category: category,
			Note: domain.NewPersonal(bob.ID, "reporter's words"), Score: score,
		})
		return c
	}
	old := open(alice, "spam", 0)
	hot := open(alice, "violence", 95)
	young := open(partner, "spam", 0)
	before, err := v.store.Head(ctx)
	must(t, err)
	v.by(moderator, caseStream(old), moderation.Assigned{Moderator: moderator.ID, By: moderator.ID})
	v.by(moderator, caseStream(old), moderation.Decided{
		Number: 1, By: moderator.ID, Action: moderation.Remove, Policy: "policy 4.2",
		Reason: domain.NewPersonal(alice.ID, "internal words"), Statement: domain.NewPersonal(alice.ID, "words to the owner"),
	})
	v.settle()

	ids := func(list List[Case]) []domain.CaseID {
		var all []domain.CaseID
		for _, c := range list.Items {
			all = append(all, c.ID)
		}
		return all
	}

	t.Run("the queue puts what is most urgent first, then what waits longest", func(t *testing.T) {
		for _, tt := range []struct {
			viewer domain.Actor
			q      CaseQuery
			m      Moment
			want   []domain.CaseID
		}{
			{moderator, CaseQuery{}, AsOf(before), []domain.CaseID{hot, old, young}},
			{moderator, CaseQuery{}, Moment{}, []domain.CaseID{hot, young, old}},
			{moderator, CaseQuery{Status: []CaseStatus{CaseOpen, CaseAssigned}}, Moment{}, []domain.CaseID{hot, young}},
			{auditor, CaseQuery{Category: "spam", Sort: "opened_at"}, Moment{}, []domain.CaseID{old, young}},
			{admin, CaseQuery{Moderator: moderator.ID}, Moment{}, []domain.CaseID{old}},
			{admin, CaseQuery{Moderator: moderator.ID}, AsOf(before), nil},
			{moderator, CaseQuery{Origin: "detector"}, Moment{}, []domain.CaseID{hot}},
			{alice, CaseQuery{}, Moment{}, []domain.CaseID{old, hot}},
			{bob, CaseQuery{}, Moment{}, nil},
			{analyst, CaseQuery{}, Moment{}, nil},
		} {
			list, err := v.review.Queue(ctx, tt.viewer, tt.q, Paging{}, tt.m)
			must(t, err)
			if got := ids(list); !slices.Equal(got, tt.want) || list.Total != int64(len(tt.want)) {
				t.Errorf("%s, %+v: got %v, want %v", tt.viewer.ID, tt.q, got, tt.want)
			}
			var paged []domain.CaseID
			p := Paging{Size: 1}
			for range 10 {
				page, err := v.review.Queue(ctx, tt.viewer, tt.q, p, tt.m)
				must(t, err)
				paged = append(paged, ids(page)...)
				if p.Cursor = page.Next; p.Cursor == "" {
					break
				}
			}
			if !slices.Equal(paged, tt.want) {
				t.Errorf("%s, %+v, one by one: %v", tt.viewer.ID, tt.q, paged)
			}
		}
	})

	t.Run("the owner reads the statement, and neither who reported or judged nor what they wrote for each other", func(t *testing.T) {
		c, err := v.review.Get(ctx, alice, old, Moment{})
		must(t, err)
		text, err := json.Marshal(c)
		must(t, err)
		for _, secret := range []string{"bob", `"mod"`, "internal words", "reporter's words"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the owner reads %q in %s", secret, text)
			}
		}
		if c.Decisions[0].Statement != "words to the owner" || c.Decisions[0].Policy != "policy 4.2" {
			t.Errorf("the owner reads %+v", c.Decisions)
		}
		c, err = v.review.Get(ctx, moderator, old, Moment{})
		must(t, err)
		if c.ReportList[0].Note != "reporter's words" || c.Decisions[0].Reason != "internal words" || c.Decisions[0].By != moderator.ID {
			t.Errorf("the moderator reads %+v", c)
		}
	})

	t.Run("a case is there for staff and the owner only", func(t *testing.T) {
		for _, who := range []domain.Actor{bob, mallory, partner, analyst, guest} {
			if _, err := v.review.Get(ctx, who, old, Moment{}); !errors.Is(err, ErrHidden) {
				t.Errorf("%s: %v", who.ID, err)
			}
		}
		if _, err := v.review.Get(ctx, moderator, newCase(), Moment{}); !errors.Is(err, ErrHidden) {
			t.Errorf("no such case: %v", err)
		}
		if _, err := v.review.Queue(ctx, guest, CaseQuery{}, Paging{}, Moment{}); !errors.Is(err, ErrMayNotSee) {
			t.Errorf("a guest: %v", err)
		}
	})

	t.Run("what cannot be asked is refused by the field's name", func(t *testing.T) {
		for field, q := range map[string]CaseQuery{
			"status": {Status: []CaseStatus{"lost"}}, "sort": {Sort: "-owner"}, "origin": {Origin: "rumour"},
		} {
			_, err := v.review.Queue(ctx, moderator, q, Paging{}, Moment{})
			if r, ok := domain.AsRefusal(err); !ok || r.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		for field, q := range map[string]CaseQuery{"moderator": {Moderator: moderator.ID}, "sort": {Sort: "score"}} {
			if _, err := v.review.Queue(ctx, alice, q, Paging{}, Moment{}); !errors.Is(err, ErrMayNotSee) {
				t.Errorf("an owner asks by %s: %v", field, err)
			}
		}
	})

	t.Run("who was forgotten is forgotten in cases, too, at every moment", func(t *testing.T) {
		c := open(carol, "spam", 0)
		v.settle()
		must(t, v.keys.Destroy(context.Background(), bob.ID))
		shown, err := v.review.Get(ctx, moderator, c, Moment{})
		must(t, err)
		if shown.ReportList[0].Note != Erased {
			t.Errorf("the note is %q", shown.ReportList[0].Note)
		}
	})
}
