package readapi_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

func TestWhatIsAnsweredOfOneThingIsNeverNewerThanItSays(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	item, _ := v.upload("alice", "a.png", []byte("a"))
	id, at := v.share(item, "alice", share.Grantee{Kind: share.WithUser, User: "bob"}, share.Terms{})
	path := "/v1/shares/" + string(id)
	if a := v.get("bob user", path, after(at)...); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	// Its terms change all the time while it is asked for: the row moves on between one question to the database and the next.
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			terms := share.Terms{Permissions: []share.Permission{share.View}, ExpiresAt: time.Now().Add(time.Duration(n) * time.Hour)}
			_, err := v.store.Append(t.Context(), shareStream(id), eventstore.Any, eventstore.Metadata{
				Command: uuid.New(), Actor: domain.Actor{ID: "alice"}, Correlation: uuid.New(),
			}, share.Changed{By: "alice", Terms: terms})
			if err == nil {
				err = v.engine.WaitFor(t.Context(), "shares", 0) // a query's time between two
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	moved := false
	for range 200 {
		a := v.get("bob user", path)
		var got struct {
			Position int64
		}
		must(t, json.Unmarshal(a.body, &got))
		said, err := strconv.ParseInt(a.Header.Get("Vault-Position"), 10, 64)
		must(t, err)
		if got.Position > said {
			t.Errorf("the share is as of position %d, and Vault-Position says %d", got.Position, said)
			break
		}
		moved = moved || got.Position > at
	}
	close(stop)
	must(t, <-done)
	if !moved {
		t.Error("it never changed")
	}
}
