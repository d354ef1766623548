package writeapi

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/parked"
)

// tray is what is parked, and what was said about it.
type tray struct {
	mu      sync.Mutex // guards what follows
	retried []string
	dropped []string
}

func (*tray) Parked(context.Context) ([]commands.Parked, error) {
	var all []commands.Parked
	for _, source := range []parked.Source{parked.Reactor, parked.Projection} {
		all = append(all, commands.Parked{
			ID: commands.ParkedID(source, "library", "media-1"), What: parked.What{Source: source, Name: "library", Key: "media-1", Position: 7},
			Type: "media.uploaded", Reason: "always", At: time.Now(), Events: 2,
		})
	}
	return all, nil
}

func (d *tray) Retry(_ context.Context, p commands.Parked) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.retried = append(d.retried, p.ID)
	return nil
}

func (d *tray) Drop(_ context.Context, p commands.Parked) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropped = append(d.dropped, p.ID)
	return nil
}

// parkedLife retries and drops, as an admin.
func parkedLife(t *testing.T, v *vault) {
	t.Helper()
	admin := []string{"Authorization", "Bearer " + v.token("root", domain.RoleAdmin)}
	byReactor, byModel := "/v1/parked/"+commands.ParkedID(parked.Reactor, "library", "media-1"), "/v1/parked/"+commands.ParkedID(parked.Projection, "library", "media-1")
	before := len(v.events())
	v.want(v.do("", "POST", byReactor+"/retry", nil, admin...), 202, "")
	v.want(v.do("", "POST", byModel+"/retry", nil, admin...), 202, "")
	v.want(v.do("", "DELETE", byReactor, nil, admin...), 400, "reason_needed")
	v.want(v.do("", "DELETE", byReactor, nil, append(admin, "Vault-Reason", "a broken file")...), 202, "")
	v.want(v.do("", "DELETE", byModel, nil, append(admin, "Vault-Reason", "a broken row")...), 409, "rebuild_needed")
	v.want(v.do("", "DELETE", "/v1/parked/"+nothing, nil, append(admin, "Vault-Reason", "why not")...), 404, "not_parked")
	said := map[string]int{}
	for _, rec := range v.events()[before:] {
		said[rec.Type]++
		if rec.Type == "parked.dropped" && (rec.Metadata.Reason.Text() != "a broken file" || rec.Metadata.Actor.ID != "root") {
			t.Errorf("%+v", rec.Metadata)
		}
	}
	if said["parked.retried"] != 2 || said["parked.dropped"] != 1 {
		t.Errorf("recorded %v", said)
	}
}

func TestParkedEventsAreRetriedAndDropped(t *testing.T) {
	t.Parallel()
	v := newVault(t, nil)
	parkedLife(t, v)
	if len(v.tray.retried) != 2 || len(v.tray.dropped) != 1 {
		t.Errorf("carried out: %+v", v.tray)
	}
}
