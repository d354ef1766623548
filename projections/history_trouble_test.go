package projections

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestForgottenPeopleAreShownAsForgotten(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	must(t, s.keys.Destroy(t.Context(), alice.ID))
	list, err := s.history.Item(t.Context(), auditor, s.item, Paging{}, Moment{})
	must(t, err)
	e := list.Items[0]
	if !strings.Contains(string(e.Data), Erased) || strings.Contains(string(e.Data), "photo.jpg") || e.Why != Erased || e.Summary != "uploaded version 1: image/jpeg, 1000 B" {
		t.Errorf("the entry is %s %s %q", e.Data, e.Summary, e.Why)
	}
}

func TestAnEventThatCannotBeReadHidesNoOther(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	ctx := t.Context()
	stream := mediaStream(s.item)
	receipt, err := s.log.Append(ctx, stream, eventstore.Any, eventstore.Entry{ID: uuid.New(), Type: "media.dreamt", Data: []byte("{}"), Metadata: []byte("{}")})
	must(t, err)
	last := s.by(alice, stream, media.Deleted{By: alice.ID})
	s.settle()
	check := func(what string, events []HistoryEvent) {
		t.Helper()
		if len(events) < 2 {
			t.Fatalf("%s has %d events", what, len(events))
		}
		dreamt, end := events[len(events)-2], events[len(events)-1]
		if dreamt.Position != receipt.Position || !dreamt.Undecodable || string(dreamt.Data) != "null" || end.Position != last || end.Undecodable {
			t.Errorf("%s ends with %+v, %+v", what, dreamt, end)
		}
	}
	page, err := s.history.Stream(ctx, auditor, string(stream), 0, 100, Moment{})
	must(t, err)
	check("the stream", page.Items)
	page, err = s.history.Events(ctx, auditor, 0, HistoryFilter{}, 1000, Moment{})
	must(t, err)
	check("the log", page.Items)
	list, err := s.history.Item(ctx, auditor, s.item, Paging{Size: 100}, Moment{})
	must(t, err)
	var events []HistoryEvent
	for _, e := range list.Items {
		events = append(events, e.HistoryEvent)
	}
	check("the item's history", events)
}

func TestNoValueOfAQuestionMakesAFault(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	v.item(alice)
	v.settle()
	ctx := t.Context()
	for _, evil := range []string{"\x00", "\xff\xfe", "' or 1=1 --", "%", strings.Repeat("x", 1<<16), "💥", "-1", "9999999999999999999999"} {
		forged := encodeCursor(fmt.Sprintf("audit %s %+v", auditor.ID, AuditQuery{}), []string{evil})
		asks := map[string]error{
			"audit who":      second(v.audit.Page(ctx, auditor, AuditQuery{Who: domain.UserID(evil)}, Paging{}, Moment{})),
			"audit resource": second(v.audit.Page(ctx, auditor, AuditQuery{Resource: evil}, Paging{}, Moment{})),
			"audit cursor":   second(v.audit.Page(ctx, auditor, AuditQuery{}, Paging{Cursor: forged}, Moment{})),
			"audit garbage":  second(v.audit.Page(ctx, auditor, AuditQuery{}, Paging{Cursor: evil}, Moment{})),
			"shares media":   second(v.shares.Given(ctx, alice, ShareQuery{Media: domain.MediaID(evil)}, Paging{}, Moment{})),
			"share":          second(v.shares.Get(ctx, alice, domain.ShareID(evil), Moment{})),
			"link":           second(v.shares.ByToken(ctx, domain.Digest(evil), Moment{})),
			"right":          second(v.access.Right(ctx, alice, domain.MediaID(evil), Moment{})),
			"case":           second(v.review.Get(ctx, moderator, domain.CaseID(evil), Moment{})),
			"cases":          second(v.review.Queue(ctx, moderator, CaseQuery{Category: evil}, Paging{}, Moment{})),
			"usage":          second(v.usage.Totals(ctx, admin, UsageScope{Owner: domain.UserID(evil)}, Moment{})),
			"days":           second(v.usage.Days(ctx, admin, UsageScope{Organisation: domain.OrgID(evil)}, time.Time{}, time.Time{}, Moment{})),
			"groups":         second(v.usage.Groups(ctx, admin, UsageScope{Owner: domain.UserID(evil)}, ByOwner, Paging{}, Moment{})),
			"stream":         second(v.history.Stream(ctx, auditor, "media-"+evil, 0, 0, Moment{})),
			"item":           second(v.history.Item(ctx, auditor, domain.MediaID(evil), Paging{}, Moment{})),
		}
		for what, err := range asks {
			if _, refused := domain.AsRefusal(err); err != nil && !refused {
				t.Errorf("%s %.20q: %v", what, evil, err)
			}
		}
	}
}
