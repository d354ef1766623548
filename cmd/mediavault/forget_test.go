package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/internal/demo"
)

// words are what a person wrote, anywhere. Nothing that answers anybody may hold them once he is forgotten.
const words = "xyzzy"

// readings asks everything that can be asked about a person and his item, as of now and of a moment, and answers what was said.
func readings(t *testing.T, item, stream string, asOf int64, clients map[string]*demo.Client) map[string]string {
	t.Helper()
	paths := []string{
		"/v1/media?q=" + words, "/v1/media", "/v1/media?status=purged", "/v1/media/" + item, "/v1/media/" + item + "/history", "/v1/media/" + item + "/access",
		"/v1/media/" + item + "/moderation", "/v1/media/" + item + "/suggestion", "/v1/findings", "/v1/shares", "/v1/shared-with-me", "/v1/notifications",
		"/v1/notifications/preferences", "/v1/moderation/cases", "/v1/audit?page_size=200", "/v1/streams/media-" + item, "/v1/streams/" + stream, "/v1/events?limit=1000", "/v1/usage", "/v1/duplicates",
	}
	said := map[string]string{}
	for who, c := range clients {
		for _, path := range paths {
			for _, at := range []int64{0, asOf} {
				asked := path
				if at > 0 {
					asked += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + fmt.Sprintf("as_of=%d", at)
				}
				var body json.RawMessage
				err := c.Do(t.Context(), http.MethodGet, asked, nil, &body)
				text := string(body)
				if err != nil {
					text = err.Error()
				}
				said[who+" "+asked] = text
			}
		}
	}
	return said
}

func holding(said map[string]string) (all []string) {
	for asked, text := range said {
		// The question itself stands in links to other pages and in what was refused.
		if strings.Contains(strings.ReplaceAll(text, "q="+words, ""), words) {
			all = append(all, asked)
		}
	}
	return all
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, within time.Duration, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in %v: %s", within, what)
		case <-tick.C:
		}
	}
}

func TestAPersonIsForgotten(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	beside := serveBeside(t, v)
	ctx := t.Context()
	fay, root, audrey, mona, bob := v.as("fay", "user"), v.as("root", "admin"), v.as("audrey", "auditor"), v.as("mona", "moderator"), v.as("bob", "user")

	upload := func(c *demo.Client, owner string) demo.Written {
		t.Helper()
		w, err := c.Upload(ctx, "/v1/media", words+"-"+owner+".pdf", "application/pdf", []byte("%PDF-1.4\n% "+owner+time.Now().String()+"\n%%EOF\n"), map[string]string{"title": words + " by " + owner})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	item, frozen, others := upload(fay, "fay"), upload(fay, "fay again"), upload(bob, "bob")
	if _, err := fay.Write(ctx, http.MethodPatch, "/v1/media/"+item.ID, map[string]any{"description": words + ": write to fay@example.org, IBAN DE89370400440532013000", "tags": []string{words}}); err != nil {
		t.Fatal(err)
	}
	if _, err := fay.Write(ctx, http.MethodPut, "/v1/notifications/preferences", map[string]any{"off": []any{}, "email": words + "@example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, err := fay.Write(ctx, http.MethodPost, "/v1/webhooks", map[string]any{"url": "https://" + words + ".example.org/hook"}); err != nil {
		t.Fatal(err)
	}
	if _, err := fay.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": item.ID, "with": map[string]any{"user": "bob"}, "permissions": []string{"view"}}); err != nil {
		t.Fatal(err)
	}
	toFay, err := bob.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": others.ID, "with": map[string]any{"user": "fay"}, "permissions": []string{"view"}})
	if err != nil {
		t.Fatal(err)
	}
	report, err := mona.Write(ctx, http.MethodPost, "/v1/media/"+frozen.ID+"/reports", map[string]any{"category": "privacy"})
	if err != nil {
		t.Fatal(err)
	}
	requested, err := fay.Write(ctx, http.MethodPost, "/v1/uploads", map[string]any{
		"filename": words + ".pdf", "content_type": "application/pdf", "size": 10, "sha256": strings.Repeat("ab", 32),
	})
	if err != nil {
		t.Fatal(err)
	}
	moment := requested.Position
	clients := func(v *vault) map[string]*demo.Client {
		all := map[string]*demo.Client{}
		for who, c := range map[string]*demo.Client{"fay": fay, "root": root, "audrey": audrey, "mona": mona} {
			there := *c
			there.Base, there.After = v.base, 0
			all[who] = &there
		}
		return all
	}
	const stream = "person-none"
	eventually(t, "the read models hold her words", time.Minute, func() bool {
		return len(holding(readings(t, item.ID, stream, moment, clients(v)))) > 8 && len(holding(readings(t, item.ID, stream, moment, clients(beside)))) > 8
	})

	asked, err := root.Write(ctx, http.MethodPost, "/v1/people/fay/erasure", map[string]any{"reason": "consent_withdrawn"})
	if err != nil {
		t.Fatal(err)
	}
	// The process that was asked is killed with the work half done; another one, and then itself, goes on.
	v.kill()
	v = startVault(t, v.dir)
	beside = serveBeside(t, v)
	// It has another address, and with it another issuer of tokens.
	fay, root, audrey, mona, bob = v.as("fay", "user"), v.as("root", "admin"), v.as("audrey", "auditor"), v.as("mona", "moderator"), v.as("bob", "user")
	only := func(v *vault) []string {
		said := readings(t, item.ID, asked.Stream, moment, clients(v))
		good := 0
		for _, text := range said {
			if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
				good++
			}
		}
		if good < 50 {
			return []string{fmt.Sprintf("only %d of %d questions are answered", good, len(said))}
		}
		for asked, text := range said { // bob's own words stay
			said[asked] = strings.ReplaceAll(strings.ReplaceAll(text, words+"-bob.pdf", ""), words+" by bob", "")
		}
		return holding(said)
	}
	var left []string
	defer func() {
		if t.Failed() {
			t.Logf("what was left: %v\n%s", left, v.log)
		}
	}()
	eventually(t, "nobody is told her words", 2*time.Minute, func() bool { left = append(only(v), only(beside)...); return len(left) == 0 })
	for asked, text := range readings(t, others.ID, asked.Stream, moment, map[string]*demo.Client{"fay": fay}) {
		if !strings.Contains(text, "forgotten") && !strings.Contains(text, "role_not_allowed") && !strings.Contains(text, "no_such_route") {
			t.Errorf("who was forgotten is answered: %s: %s", asked, text)
		}
	}
	eventually(t, "what was shared with her by name ends, by the vault itself", 2*time.Minute, func() bool {
		var s struct {
			Status string `json:"status"`
			By     string `json:"revoked_by"`
		}
		return bob.Do(ctx, http.MethodGet, "/v1/shares/"+toFay.ID, nil, &s) == nil && s.Status == "revoked" && s.By == "system"
	})
	status := func(id string) string {
		var m struct {
			Status string `json:"status"`
			Title  string `json:"title"`
		}
		if err := audrey.Do(ctx, http.MethodGet, "/v1/media/"+id, nil, &m); err != nil {
			return err.Error()
		}
		return m.Status + m.Title
	}
	eventually(t, "her items are purged, but for evidence", 2*time.Minute, func() bool {
		return status(item.ID) == "purged" && status(frozen.ID) == "deleted" && status(requested.ID) == "refused"
	})
	if _, err := mona.Write(ctx, http.MethodPost, "/v1/moderation/cases/"+report.CaseID+"/decisions", map[string]any{"action": "approve", "reason": "nothing", "policy": "p", "statement": "fine"}); err == nil {
		if _, err := mona.Write(ctx, http.MethodPost, "/v1/moderation/cases/"+report.CaseID+"/close", nil); err != nil {
			t.Logf("closing the case: %v", err)
		}
	} else {
		t.Fatalf("decide: %v", err)
	}
	eventually(t, "evidence is purged when its case is closed", time.Minute, func() bool { return status(frozen.ID) == "purged" })
	eventually(t, "it is recorded as done", 3*time.Minute, func() bool {
		var all struct {
			Items []struct {
				Type string `json:"type"`
			} `json:"items"`
		}
		return audrey.Do(ctx, http.MethodGet, "/v1/streams/"+asked.Stream, nil, &all) == nil && len(all.Items) == 2 && all.Items[1].Type == "person.erased"
	})
	if !strings.HasSuffix(status(others.ID), words+" by bob") {
		t.Errorf("another person's item: %s", status(others.ID))
	}
	if _, err := fay.Write(ctx, http.MethodPost, "/v1/shares", map[string]any{"media_id": item.ID, "with": map[string]any{"user": "bob"}}); err == nil {
		t.Error("who was forgotten goes on")
	}
	if out, err := v.run("verify", "projections"); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := v.run("rebuild", "library"); err != nil || !strings.Contains(out, "it equals the one that it replaced") {
		t.Errorf("rebuild: %v\n%s", err, out)
	}
	if left = append(only(v), only(beside)...); len(left) > 0 {
		t.Errorf("after a rebuild her words are told by %v", left)
	}
	if out, err := v.run("forget", "fay", "--reason", "child"); err != nil || !strings.Contains(out, "asked for before") {
		t.Errorf("asked again: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"forget", "bob", "--dry-run"}, {"forget", "bob", "--reason", "account_closed"}} {
		// Nobody answers at this terminal: it is none.
		out, err := v.run(args...)
		if asks := len(args) == 4; !strings.Contains(out, "Items to be purged: 1;") || (err != nil) != asks || strings.Contains(out, "--yes") != asks {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if got := status(others.ID); strings.HasPrefix(got, "purged") {
		t.Errorf("what was only asked about is %s", got)
	}
	if out, err := v.run("forget", "bob", "--reason", "account_closed", "--yes"); err != nil || !strings.Contains(out, "destroyed") {
		t.Errorf("by the command line: %v\n%s", err, out)
	}
	eventually(t, "bob is forgotten, too", time.Minute, func() bool { return status(others.ID) == "purged" })
}
