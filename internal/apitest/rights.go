package apitest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
)

// nowhere is an id that nothing has; it stands for every variable of a path.
const nowhere = "00000000-0000-4000-8000-000000000000"

// Rights asks every route of the table as every role over real HTTP, and fails the test when the door is not as the table says: a guest
// gets 401, a role that may not gets 403, and who may gets past the door: anything but those two. The answers' bodies are
// the client's business (Client). tokenOf is the bearer token of somebody with this role alone; it is not asked for guests.
func Rights(t *testing.T, client *http.Client, base string, table []web.Route, tokenOf func(domain.Role) string) {
	t.Helper()
	for _, rt := range table {
		for _, role := range Roles() {
			t.Run(rt.Name+" as "+string(role), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel() // ends the live streams
				r, err := http.NewRequestWithContext(ctx, rt.Method, base+fill(rt.Path), nil)
				if err != nil {
					t.Fatal(err)
				}
				actor := domain.Actor{Roles: []domain.Role{role}}
				if role != domain.RoleGuest {
					actor.ID = "somebody"
					r.Header.Set("Authorization", "Bearer "+tokenOf(role))
				}
				res, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				var body []byte
				if !live(res.Header) {
					body, _ = io.ReadAll(io.LimitReader(res.Body, 1_000)) // only to be shown
				}
				want := rt.Allows(actor)
				refusal, refused := domain.AsRefusal(want)
				switch {
				case refused && res.StatusCode != web.Status(refusal.Kind):
					t.Errorf("%s answered %d, the table says %d: %s", rt.Action(), res.StatusCode, web.Status(refusal.Kind), body)
				case !refused && (res.StatusCode == http.StatusUnauthorized || strings.Contains(string(body), web.ErrRole.Code)):
					t.Errorf("%s answered %d to a role that may: %s", rt.Action(), res.StatusCode, body)
				}
			})
		}
	}
}

// fill puts something that does not exist into every variable of a path.
func fill(path string) string {
	path = plain(path)
	for {
		from := strings.IndexByte(path, '{')
		if from < 0 {
			return path
		}
		to := from + strings.IndexByte(path[from:], '}')
		value := nowhere
		if path[from+1:to] == "number" {
			value = "1"
		}
		path = path[:from] + value + path[to+1:]
	}
}
