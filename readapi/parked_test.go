package readapi_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/readapi"
)

// tray is what is parked.
type tray struct{}

func (tray) Parked(context.Context) ([]readapi.Parked, error) {
	return []readapi.Parked{{
		ID: uuid.NewString(), Source: "reactor", Name: "screening", Key: "media-1", Type: "media.uploaded", Position: 7, Reason: "always",
		ParkedAt: time.Now().UTC(), Events: 2,
	}}, nil
}

func TestWhatIsParkedIsForAdmins(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	list := into[struct{ Items []readapi.Parked }](v, "root admin", "/v1/parked")
	if len(list.Items) != 1 || list.Items[0].Name != "screening" || list.Items[0].Events != 2 {
		t.Errorf("%+v", list)
	}
	v.refused(403, "role_not_allowed", "alice user", "/v1/parked")
}
