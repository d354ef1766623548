package writeapi

import (
	"strings"
	"testing"
)

func TestARefusalSaysWhatIsAccepted(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	item := v.upload("alice", "one")
	path := "/v1/media/" + item
	v.want(v.do("alice", "PATCH", path, `{"title":"Two"}`), 200, "")
	for name, c := range map[string]struct {
		got  reply
		says []string
	}{
		"how long a title is":     {v.do("alice", "PATCH", path, `{"title":"`+strings.Repeat("x", 600)+`"}`), []string{"600", "512"}},
		"how many tags":           {v.do("alice", "PATCH", path, `{"tags":["`+strings.Join(strings.Split("abcdefghijklmnopqrstuvwxyz0123456789äöüßéèêñçåøæîôûëïõãâ", ""), `","`)+`"]}`), []string{"at most 50"}},
		"a string":                {v.do("alice", "PATCH", path, `{"title":5}`), []string{"a string, or null"}},
		"a list":                  {v.do("alice", "PATCH", path, `{"tags":5}`), []string{"a list, each item a string, or null"}},
		"the current revision":    {v.do("alice", "PATCH", path, `{"title":"Three"}`, "If-Match", `"0"`), []string{`revision "1"`}},
		"the topics of a webhook": {v.do("nina", "POST", "/v1/webhooks", `{"url":"https://hooks.example.org","topics":["weather"]}`), []string{"share_granted", "report_decided"}},
		"the channels":            {v.do("nina", "PUT", "/v1/notifications/preferences", `{"off":[{"channel":"pigeon","topic":"share_granted"}]}`), []string{"in_app", "email", "webhook"}},
		"the topics":              {v.do("nina", "PUT", "/v1/notifications/preferences", `{"off":[{"channel":"email","topic":"weather"}]}`), []string{"share_granted"}},
		"the kinds of a case":     {v.do("mod1", "POST", "/v1/moderation/cases", `{"media_id":"`+item+`","category":"taste","note":"n"}`), []string{"nudity", "other"}},
	} {
		if c.got.status < 400 || c.got.status >= 500 {
			t.Errorf("%s: %d %s", name, c.got.status, c.got.raw)
		}
		for _, word := range c.says {
			if !strings.Contains(c.got.text("detail"), word) {
				t.Errorf("%s: %s does not say %s", name, c.got.raw, word)
			}
		}
	}
}
