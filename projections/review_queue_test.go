package projections

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/moderation"
	"github.com/mediavault-io/mediavault/domain/share"
)

func TestTheQueueIsByScoreReachAndAge(t *testing.T) {
	t.Parallel()
	row := func(score int, reach moderation.Reach, waited time.Duration) CaseRow {
		r := CaseRow{Status: CaseOpen, Waits: true, Score: score, Count: 1, Reach: reach, Since: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).Add(-waited)}
		r.Priority = priority(r)
		r.Urgency = urgency(r)
		return r
	}
	plain := row(50, moderation.Reach{}, 0)
	for name, more := range map[string]CaseRow{
		"a detector that is more sure": row(60, moderation.Reach{}, 0),
		"a link":                       row(50, moderation.Reach{Links: 1}, 0),
		"an organisation":              row(50, moderation.Reach{Organisations: 1}, 0),
		"two hours more":               row(50, moderation.Reach{}, 2*time.Hour),
	} {
		if more.Urgency <= plain.Urgency {
			t.Errorf("%s does not make a case more urgent", name)
		}
	}
	danger := CaseRow{Status: CaseOpen, Waits: true, Score: 50, Category: "spam", Reports: []ReportRow{{Category: "spam"}, {Category: "child_safety"}}}
	if p := priority(danger); p != plain.Priority+100 {
		t.Errorf("a case in which somebody may be in danger has %d points, another %d", p, plain.Priority)
	}
	if row(0, moderation.Reach{}, 60*time.Hour).Urgency <= row(50, moderation.Reach{}, 0).Urgency {
		t.Error("a case without a score waits for ever")
	}
	if row(100, moderation.Reach{Users: 1e6}, 0).Urgency > row(100, moderation.Reach{Links: 2}, time.Minute).Urgency {
		t.Error("reach has no limit")
	}
}

func TestTheQueueOfClaims(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	index := NewCaseIndex(v.review, v.shares)
	open := func(score int) domain.CaseID {
		c := newCase()
		v.by(admin, caseStream(c), moderation.Opened{
			Case: c, Media: v.item(alice), Owner: alice.ID, Origin: moderation.FromDetector, By: "system", Category: "screening", Score: score, Version: 1,
		})
		return c
	}
	high, low, waiting := open(90), open(10), open(50)
	now := v.engine.now()
	v.by(moderator, caseStream(high), moderation.Claimed{Moderator: moderator.ID, Until: now.Add(time.Hour)})
	v.by(moderator, caseStream(waiting), moderation.Claimed{Moderator: moderator.ID, Until: now.Add(-time.Minute)})
	want := func(who domain.Actor, want ...domain.CaseID) {
		t.Helper()
		got, err := index.Waiting(ctx, who, 10)
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("%s may claim %v, not %v", who.ID, got, want)
		}
	}
	want(judge, waiting, low)
	if got, err := index.ClaimedBy(ctx, moderator.ID, 10); err != nil || len(got) != 2 {
		t.Errorf("claimed: %v, %v", got, err)
	}
	shown, err := v.review.Get(ctx, judge, high, Moment{})
	must(t, err)
	if shown.Status != CaseAssigned || shown.Moderator != moderator.ID || shown.Until == nil || shown.Version != 1 {
		t.Errorf("a claimed case is %+v", shown)
	}
	list, err := v.review.Queue(ctx, judge, CaseQuery{Status: []CaseStatus{CaseOpen}}, Paging{}, Moment{})
	must(t, err)
	if len(list.Items) != 2 || list.Items[0].ID != waiting || list.Items[0].Status != CaseOpen || list.Items[0].Moderator != "" {
		t.Errorf("open are %+v", list.Items)
	}

	t.Run("what one proposed waits for another", func(t *testing.T) {
		v.by(moderator, caseStream(low), moderation.Proposed{Number: 1, By: moderator.ID, Action: moderation.Remove, Policy: "p"})
		want(moderator, waiting)
		want(judge, waiting, low)
		c, err := v.review.Get(ctx, alice, low, Moment{})
		must(t, err)
		if c.Status == CaseProposed || len(c.Proposals) > 0 {
			t.Errorf("the owner reads %+v", c)
		}
		v.by(judge, caseStream(low), moderation.Declined{Number: 1, By: judge.ID, Reason: domain.NewPersonal(alice.ID, "no")})
		want(moderator, waiting, low)
	})
	t.Run("what was escalated is for admins alone, and comes first", func(t *testing.T) {
		v.by(judge, caseStream(low), moderation.Escalated{By: judge.ID, Note: domain.NewPersonal(alice.ID, "hard")})
		want(judge, waiting)
		want(admin, low)
	})
	t.Run("an appeal waits for another than who decided", func(t *testing.T) {
		v.by(moderator, caseStream(high), moderation.Decided{Number: 1, By: moderator.ID, Action: moderation.Quarantine, Policy: "p"})
		want(judge, waiting)
		v.by(alice, caseStream(high), moderation.Appealed{Number: 1, Decision: 1, By: alice.ID})
		want(moderator, waiting)
		want(judge, high, waiting)
	})
	t.Run("a decided case that is brought back waits again, once the appeal is over, too", func(t *testing.T) {
		v.by(judge, caseStream(high), moderation.AppealDecided{Number: 1, Decision: 1, By: judge.ID, Outcome: moderation.Uphold})
		want(judge, waiting)
		reports := make([]domain.Event, 0, keptReports)
		for range keptReports {
			reports = append(reports, moderation.Reported{Origin: moderation.FromReport, By: bob.ID, Category: "spam", Version: 1})
		}
		v.by(bob, caseStream(high), reports...)
		v.by(carol, caseStream(high), moderation.Reopened{Why: moderation.NewReports, Decision: 1, People: 1},
			moderation.Reported{Origin: moderation.FromReport, By: carol.ID, Category: "privacy", Version: 1})
		want(moderator, high, waiting)
		c, err := v.review.Get(ctx, judge, high, Moment{})
		must(t, err)
		if c.Status != CaseOpen || !c.Waits || !c.Again || c.Since == nil || len(c.Reopenings) != 1 || c.Reopenings[0].People != 1 || c.Reports != keptReports+2 ||
			c.ReportList[len(c.ReportList)-1].By != carol.ID {
			t.Errorf("it is %+v", c)
		}
		if c, err = v.review.Get(ctx, alice, high, Moment{}); err != nil || len(c.Reopenings) > 0 || c.Status != CaseOpen {
			t.Errorf("the owner reads %+v, %v", c, err)
		}
		v.by(moderator, caseStream(high), moderation.Claimed{Moderator: moderator.ID, Until: now.Add(time.Hour)})
		want(judge, waiting)
		v.by(moderator, caseStream(high), moderation.Proposed{Number: 1, By: moderator.ID, Action: moderation.Remove, Policy: "p"})
		v.by(judge, caseStream(high), moderation.Declined{Number: 1, By: judge.ID, Reason: domain.NewPersonal(alice.ID, "no")})
		want(moderator, high, waiting)
		v.by(alice, caseStream(high), moderation.Appealed{Number: 2, Decision: 1, By: alice.ID})
		want(moderator, waiting)
		v.by(judge, caseStream(high), moderation.AppealDecided{Number: 2, Decision: 1, By: judge.ID, Outcome: moderation.Overturn})
		want(moderator, high, waiting)
		v.by(moderator, caseStream(high), moderation.Decided{Number: 2, By: moderator.ID, Action: moderation.Restrict, Policy: "p"})
		want(moderator, waiting)
		if c, err = v.review.Get(ctx, judge, high, Moment{}); err != nil || c.Status != CaseDecided || c.Again || c.Waits {
			t.Errorf("decided again it is %+v, %v", c, err)
		}
		s, err := v.review.Statistics(ctx, judge, now.Add(-72*time.Hour), now.Add(time.Hour), Moment{})
		must(t, err)
		reopened := 0
		for _, d := range s.Days {
			reopened += d.Reopened
		}
		if reopened != 1 || s.Decisions["quarantine"] != 1 || s.Decisions["restrict"] != 1 || s.Appeals.Filed != 2 || s.Appeals.OverturnRate != 0.5 || s.Queue.Waiting != 2 {
			t.Errorf("statistics are %+v", s)
		}
	})
	t.Run("an item's shares are found, whatever became of them", func(t *testing.T) {
		id := v.item(alice)
		s := v.grant(alice, alice, id, withUser(bob), allow(share.View), "")
		v.settle()
		if got, err := index.SharesOf(ctx, id); err != nil || !slices.Equal(got, []domain.ShareID{s}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestReviewStatistics(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	before, err := v.store.Head(ctx)
	must(t, err)
	for i := range 4 {
		c := newCase()
		v.by(bob, caseStream(c), moderation.Opened{Case: c, Media: v.item(alice), Owner: alice.ID, Origin: moderation.FromReport, By: bob.ID, Category: "spam"})
		if i == 3 {
			continue // waits
		}
		v.by(moderator, caseStream(c), moderation.Decided{Number: 1, By: moderator.ID, Action: moderation.Remove, Policy: "p"})
		v.by(alice, caseStream(c), moderation.Appealed{Number: 1, Decision: 1, By: alice.ID})
		if i == 2 {
			continue // waits for a judge
		}
		outcome := []moderation.Outcome{moderation.Uphold, moderation.Overturn}[i]
		v.by(judge, caseStream(c), moderation.AppealDecided{Number: 1, By: judge.ID, Outcome: outcome}, moderation.Closed{By: judge.ID, Code: moderation.CodeAppealDecided})
	}
	v.settle()
	s, err := v.review.Statistics(ctx, moderator, time.Time{}, time.Time{}, Moment{})
	must(t, err)
	if s.Queue.Waiting != 2 || s.Queue.ByStatus["open"] != 1 || s.Queue.ByStatus["appealed"] != 1 || s.Queue.AgeP95 < s.Queue.AgeP50 || s.Queue.Oldest <= 0 {
		t.Errorf("the queue is %+v", s.Queue)
	}
	if s.Decisions["remove"] != 3 || s.Appeals != (AppealFigures{Filed: 3, Upheld: 1, Overturned: 1, OverturnRate: 0.5}) {
		t.Errorf("decisions %v, appeals %+v", s.Decisions, s.Appeals)
	}
	opened, closed := 0, 0
	for _, d := range s.Days {
		opened, closed = opened+d.Opened, closed+d.Closed
	}
	if opened != 4 || closed != 2 {
		t.Errorf("days %+v", s.Days)
	}
	s, err = v.review.Statistics(ctx, analyst, time.Time{}, time.Time{}, AsOf(before))
	must(t, err)
	if s.Queue.Waiting != 0 || len(s.Days) != 0 {
		t.Errorf("before anything happened there was %+v", s)
	}
	if _, err := v.review.Statistics(ctx, alice, time.Time{}, time.Time{}, Moment{}); !errors.Is(err, ErrMayNotSee) {
		t.Errorf("an owner: %v", err)
	}
	if _, err := v.review.Statistics(ctx, moderator, time.Now(), time.Now().Add(-time.Hour), Moment{}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("backwards: %v", err)
	}
}

func TestTheChainOfAnItem(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	ctx := t.Context()
	id, c := v.item(alice), newCase()
	v.by(domain.System(), mediaStream(id), media.Screened{Version: 1, Verdict: media.VerdictReview, Score: 40, Stages: []media.Stage{
		{Name: "nsfw", Version: "mobilenet-1", Verdict: media.VerdictReview, Codes: []string{"nsfw_high"}},
	}})
	early, err := v.store.Head(ctx)
	must(t, err)
	v.by(bob, caseStream(c), moderation.Opened{
		Case: c, Media: id, Owner: alice.ID, Origin: moderation.FromReport, By: bob.ID, Category: "nudity", Note: domain.NewPersonal(bob.ID, "reporter's words"),
	})
	v.by(moderator, caseStream(c), moderation.Decided{
		Number: 1, Media: id, By: moderator.ID, Action: moderation.Quarantine, Policy: "policy 4.2",
		Reason: domain.NewPersonal(alice.ID, "internal words"), Statement: domain.NewPersonal(alice.ID, "words to the owner"),
	})
	v.by(domain.System(), mediaStream(id), media.Quarantined{Source: media.Source{Case: c, Number: 1, By: moderator.ID, Version: 1}, Code: media.CodeModeration})
	v.settle()

	chain, err := v.history.Chain(ctx, v.review, moderator, id, Moment{})
	must(t, err)
	text, _ := json.Marshal(chain)
	for _, wanted := range []string{"mobilenet-1", "nsfw_high", "internal words", "reporter's words", "policy 4.2", `"hold":"quarantined"`, `"by":"mod"`} {
		if !strings.Contains(string(text), wanted) {
			t.Errorf("%s is missing in %s", wanted, text)
		}
	}
	chain, err = v.history.Chain(ctx, v.review, alice, id, Moment{})
	must(t, err)
	text, _ = json.Marshal(chain)
	for _, secret := range []string{"bob", `"mod"`, "internal words", "reporter's words"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the owner reads %q in %s", secret, text)
		}
	}
	if !strings.Contains(string(text), "words to the owner") || !strings.Contains(string(text), "mobilenet-1") {
		t.Errorf("the owner reads %s", text)
	}
	chain, err = v.history.Chain(ctx, v.review, moderator, id, AsOf(early))
	must(t, err)
	if len(chain.Screenings) == 0 || len(chain.Measures) != 0 || len(chain.Cases) != 0 || chain.Hold != "" {
		t.Errorf("as of before: %+v", chain)
	}
	if _, err := v.history.Chain(ctx, v.review, mallory, id, Moment{}); !errors.Is(err, ErrHidden) {
		t.Errorf("a stranger: %v", err)
	}
}
