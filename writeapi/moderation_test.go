package writeapi

import (
	"testing"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

func TestACasesLifeOverHTTP(t *testing.T) {
	t.Parallel()
	casesLife(t, newVault(t, nil))
}

func casesLife(t *testing.T, v *vault) {
	t.Helper()
	item := v.upload("alice", "doubtful")
	share := v.want(v.do("alice", "POST", "/v1/shares", `{"media_id":"`+item+`","with":{"user":"bob"}}`), 201, "").id()
	first := v.want(v.do("bob", "POST", "/v1/media/"+item+"/reports", `{"category":"privacy","note":"Me!","share_id":"`+share+`"}`), 201, "")
	id := first.text("case_id")
	if id == "" || id != first.id() || first.header.Get("Location") != "/v1/moderation/cases/"+id {
		t.Errorf("got %s %v", first.raw, first.header)
	}
	if second := v.want(v.do("mod1", "POST", "/v1/moderation/cases", `{"media_id":"`+item+`","category":"violence","note":"Seen."}`), 201, ""); second.text("case_id") != id {
		t.Errorf("reports of one item meet in one case: %s and %s", first.raw, second.raw)
	}
	v.want(v.do("alice", "POST", "/v1/media/"+item+"/reports", `{"category":"privacy"}`), 403, "own_media")
	v.want(v.do("mod1", "POST", "/v1/media/"+item+"/reports", `{"category":"taste"}`), 400, "invalid")

	path := "/v1/moderation/cases/" + id
	v.want(v.do("alice", "POST", path+"/appeals", `{"note":"why"}`), 409, "not_decided")
	v.want(v.do("mod1", "POST", path+"/assign", nil), 200, "")
	v.want(v.do("mod2", "POST", path+"/decisions", `{"action":"remove","reason":"r","policy":"p","statement":"s"}`), 409, "assigned_to_another")
	v.want(v.do("mod2", "POST", path+"/assign", `{"moderator":"mod1"}`), 200, "")
	v.want(v.do("mod1", "POST", path+"/decisions", `{"action":"burn","reason":"r"}`), 400, "invalid")
	v.want(v.do("mod1", "POST", path+"/decisions", `{"action":"remove","reason":"r"}`), 400, "invalid")
	decided := v.want(v.do("mod1", "POST", path+"/decisions", `{"action":"remove","reason":"r","policy":"P-1","statement":"s"}`), 201, "")
	if decided.body["number"] != 1.0 {
		t.Errorf("got %s", decided.raw)
	}
	appealed := v.want(v.do("alice", "POST", path+"/appeals", `{"note":"It is a painting."}`), 201, "")
	if appealed.body["number"] != 1.0 {
		t.Errorf("got %s", appealed.raw)
	}
	v.want(v.do("mod1", "POST", path+"/close", nil), 409, "appeal_open")
	outcome := `{"outcome":"overturn","reason":"r","statement":"s"}`
	v.want(v.do("mod1", "POST", path+"/appeals/1/decision", outcome), 403, "decided_first")
	v.want(v.do("mod2", "POST", path+"/appeals/2/decision", outcome), 404, "no_such_appeal")
	v.want(v.do("mod2", "POST", path+"/appeals/0/decision", outcome), 400, "invalid")
	v.want(v.do("mod2", "POST", path+"/appeals/x/decision", outcome), 400, "invalid")
	v.want(v.do("mod2", "POST", path+"/appeals/99999999999999999999/decision", outcome), 400, "invalid")
	v.want(v.do("mod2", "POST", path+"/appeals/1/decision", outcome, "If-Match", decided.header.Get("ETag")), 412, "wrong_revision")
	v.want(v.do("mod2", "POST", path+"/appeals/1/decision", outcome, "If-Match", appealed.header.Get("ETag")), 200, "")
	v.want(v.do("mod2", "POST", path+"/close", nil), 200, "")
	v.want(v.do("mod2", "POST", "/v1/moderation/cases/"+nothing+"/close", nil), 404, "not_found")
	queueLife(t, v)
	suggestionsLife(t, v)
}

func suggestionsLife(t *testing.T, v *vault) {
	t.Helper()
	item := domain.MediaID(v.upload("alice", "described"))
	path := "/v1/media/" + string(item)
	system := commands.Envelope{Actor: domain.System()}
	v.want(v.do("alice", "POST", path+"/describe", nil), 409, "not_screened")
	if _, err := v.server.Media.RecordScreening(t.Context(), system, item, commands.Screening{Version: 1, Verdict: media.VerdictClean, Score: 80}); err != nil {
		t.Fatal(err)
	}
	asked := v.want(v.do("alice", "POST", path+"/describe", `{"version":1}`), 202, "")
	if asked.body["number"] != 1.0 || asked.header.Get("Location") != path+"/suggestion" {
		t.Errorf("got %s %v", asked.raw, asked.header)
	}
	v.want(v.do("alice", "POST", path+"/suggestion/accept", nil), 404, "no_suggestion")
	suggest := func(number int) {
		if _, err := v.server.Media.SuggestDescription(t.Context(), system, item, number, media.Caption{Text: "A harbour", Provider: "p"}); err != nil {
			t.Fatal(err)
		}
	}
	suggest(1)
	v.want(v.do("mallory", "POST", path+"/suggestion/accept", nil), 404, "not_found")
	v.want(v.do("alice", "POST", path+"/suggestion/reject", `{"number":1}`), 200, "")
	v.want(v.do("alice", "POST", path+"/suggestion/accept", nil), 409, "suggestion_over")
	v.want(v.do("alice", "POST", path+"/describe", `{"version":0}`), 400, "invalid")
	v.want(v.do("alice", "POST", path+"/describe", nil), 202, "")
	suggest(2)
	v.want(v.do("alice", "POST", path+"/suggestion/accept", `{"description":"My harbour"}`), 200, "")
}

// queueLife claims, renews, gives back and escalates; and removes with four eyes.
func queueLife(t *testing.T, v *vault) {
	t.Helper()
	refer := func(name string) string {
		item := v.upload("alice", name)
		return v.want(v.do("mod1", "POST", "/v1/moderation/cases", `{"media_id":"`+item+`","category":"violence"}`), 201, "").id()
	}
	id := refer("claimed")
	path := "/v1/moderation/cases/" + id
	v.waiting.set(id)
	next := v.want(v.do("mod1", "POST", "/v1/moderation/queue/next", nil, "Idempotency-Key", "n1"), 200, "")
	if next.text("case_id") != id || next.text("claimed_until") == "" || next.text("media_id") == "" {
		t.Errorf("got %s", next.raw)
	}
	if again := v.want(v.do("mod1", "POST", "/v1/moderation/queue/next", nil, "Idempotency-Key", "n1"), 200, ""); again.text("case_id") != id || again.body["revision"] != next.body["revision"] {
		t.Errorf("got %s, and again %s", next.raw, again.raw)
	}
	v.want(v.do("mod2", "POST", "/v1/moderation/queue/next", nil), 404, "queue_empty")
	v.want(v.do("mod2", "POST", path+"/claim", nil), 409, "claimed_by_another")
	v.want(v.do("mod2", "POST", path+"/renew", nil), 409, "claimed_by_another")
	v.want(v.do("mod2", "POST", path+"/release", nil), 409, "claimed_by_another")
	v.want(v.do("mod1", "POST", path+"/renew", nil), 200, "")
	v.want(v.do("mod1", "POST", path+"/release", nil), 200, "")
	v.want(v.do("mod2", "POST", path+"/claim", nil), 200, "")
	v.want(v.do("mod2", "POST", path+"/escalate", `{}`), 400, "invalid")
	v.want(v.do("mod2", "POST", path+"/escalate", `{"note":"hard"}`), 200, "")
	v.want(v.do("mod1", "POST", path+"/claim", nil), 403, "escalated")

	v.shared.FourEyes = true
	defer func() { v.shared.FourEyes = false }()
	path = "/v1/moderation/cases/" + refer("removed")
	remove := `{"action":"remove","reason":"r","policy":"P-1","statement":"s","version":1}`
	v.want(v.do("mod1", "POST", path+"/decisions", `{"action":"remove","reason":"r","policy":"P-1","statement":"s","version":7}`), 404, "no_such_version")
	proposed := v.want(v.do("mod1", "POST", path+"/decisions", remove), 201, "")
	if proposed.body["proposed"] != true || proposed.body["number"] != 1.0 {
		t.Errorf("got %s", proposed.raw)
	}
	v.want(v.do("mod1", "POST", path+"/proposals/1/confirm", nil), 403, "proposed_it")
	v.want(v.do("mod2", "POST", path+"/proposals/2/confirm", nil), 404, "no_such_proposal")
	v.want(v.do("mod2", "POST", path+"/proposals/1/decline", `{"reason":"too hard"}`), 200, "")
	v.want(v.do("mod2", "POST", path+"/proposals/1/confirm", nil), 409, "proposal_over")
	v.want(v.do("mod1", "POST", path+"/decisions", remove), 201, "")
	if decided := v.want(v.do("mod2", "POST", path+"/proposals/2/confirm", nil), 201, ""); decided.body["number"] != 1.0 {
		t.Errorf("got %s", decided.raw)
	}
}
