package readapi_test

import (
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/projections"
)

// newFinding is an IBAN in alice's description, that anyone may see by now.
func newFinding(v *vault, item domain.MediaID) domain.FindingID {
	id := domain.FindingID(uuid.NewString())
	v.by("system", eventstore.StreamOf(finding.Category, id), finding.Raised{
		Finding: id, Media: item, Owner: "alice", Type: "iban", Place: finding.InDescription, Count: 1, Confidence: 95, Sensitivity: 8,
		Sample: domain.NewPersonal("alice", "•••• 00"), Detector: finding.Detector{Name: "pii", Version: "1", Threshold: 60},
		Exposure: finding.Private, Risk: 8,
	}, finding.Rescored{Exposure: finding.Anyone, Risk: 80, Before: 8})
	return id
}

type findings struct {
	Items []projections.Finding `json:"items"`
	Total int64                 `json:"total"`
}

func TestFindingsAreTheOwnersTheModeratorsAndTheAuditors(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item, before := v.upload("alice", "a.txt", []byte("a"))
	id := newFinding(v, item)
	v.by("alice", eventstore.StreamOf(finding.Category, id), finding.StatusChanged{By: "alice", From: finding.Open, To: finding.Accepted, Note: domain.NewPersonal("alice", "ours")})
	at := v.settled()
	path := "/v1/findings/" + string(id)
	for _, who := range []string{"alice user", "mod moderator", "aud auditor", "root admin"} {
		got := into[projections.Finding](v, who, path)
		if got.Risk != 80 || got.Level != finding.Urgent || got.Status != "accepted" || got.Note != "ours" || got.Exposure != "anyone" {
			t.Errorf("%s got %+v", who, got)
		}
		if shown := got.Sample != ""; shown != (who == "alice user") {
			t.Errorf("%s got the sample %q", who, got.Sample)
		}
		for query, want := range map[string]int64{
			"": 1, "?status=accepted": 1, "?status=open": 0, "?type=iban,email": 1, "?type=email": 0, "?level=urgent": 1, "?exposure=private": 0,
			"?place=description": 1, "?media_id=" + string(item): 1, "?owner=alice&sort=-updated_at": 1, "?owner=bob": 0, "?sort=risk": 1,
		} {
			if list := into[findings](v, who, "/v1/findings"+query); list.Total != want || int64(len(list.Items)) != want {
				t.Errorf("%s asked %q and got %+v", who, query, list)
			}
		}
	}
	for _, who := range []string{"bob user", "ann analyst"} {
		if list := into[findings](v, who, "/v1/findings"); list.Total != 0 {
			t.Errorf("%s sees %+v", who, list)
		}
		v.refused(404, "not_found", who, path)
	}
	asOf := func(position int64) findings {
		return into[findings](v, "alice user", "/v1/findings?as_of="+strconv.FormatInt(position, 10))
	}
	if asOf(before).Total != 0 || asOf(at - 2).Items[0].Level != finding.Low || asOf(at - 1).Items[0].Status != "open" {
		t.Error("the past is not what it was")
	}
	v.refused(400, "invalid", "alice user", "/v1/findings?level=grave")
}

func TestAnOwnerDoesNotLearnWhichModeratorSpokeOfAFinding(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item, _ := v.upload("alice", "a.txt", []byte("a"))
	id := newFinding(v, item)
	say := func(who domain.UserID, from, to finding.Status) {
		v.by(string(who), eventstore.StreamOf(finding.Category, id), finding.StatusChanged{By: who, From: from, To: to})
		v.settled()
	}
	shows := func(who string, want domain.UserID) {
		t.Helper()
		if got := into[projections.Finding](v, who, "/v1/findings/"+string(id)); got.StatusBy != want {
			t.Errorf("%s learns that %q said it, want %q", who, got.StatusBy, want)
		}
		if list := into[findings](v, who, "/v1/findings"); len(list.Items) != 1 || list.Items[0].StatusBy != want {
			t.Errorf("%s lists %+v, want %q", who, list, want)
		}
	}
	say("mona", finding.Open, finding.Accepted)
	shows("alice user", "")
	shows("alice user moderator", "") // it is her own item
	shows("mod moderator", "mona")
	say("alice", finding.Accepted, finding.Resolved)
	shows("alice user", "alice")
	shows("mod moderator", "alice")
}
