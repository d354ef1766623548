package writeapi

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/eventstore"
)

// nothingFound is an index that finds nothing.
type nothingFound struct{}

// FindingsOf implements commands.FindingIndex.
func (nothingFound) FindingsOf(context.Context, domain.MediaID) ([]domain.FindingID, error) {
	return nil, nil
}

// AllSharesOf implements commands.FindingIndex.
func (nothingFound) AllSharesOf(context.Context, domain.MediaID) ([]domain.ShareID, error) {
	return nil, nil
}

// raised raises a finding about the owner's item.
func (v *vault) raised(owner domain.UserID, item string) string {
	v.t.Helper()
	id := domain.FindingID(uuid.NewString())
	_, err := v.store.Append(v.t.Context(), eventstore.StreamOf(finding.Category, id), eventstore.Any,
		eventstore.Metadata{Command: uuid.New(), Actor: domain.System()}, finding.Raised{
			Finding: id, Media: domain.MediaID(item), Owner: owner, Type: "iban", Place: finding.InTitle, Count: 1, Confidence: 90, Sensitivity: 8,
			Exposure: finding.Private, Risk: 8,
		})
	if err != nil {
		v.t.Fatal(err)
	}
	return string(id)
}

func findingsLife(t *testing.T, v *vault) {
	t.Helper()
	path := "/v1/findings/" + v.raised("alice", v.upload("alice", "accounts")) + "/status"
	if got := v.want(v.do("alice", "POST", path, `{"status":"accepted","note":"Our public account."}`), 200, ""); got.header.Get("ETag") != `"1"` {
		t.Errorf("got %v", got.header)
	}
	v.want(v.do("mod1", "POST", path, `{"status":"false_positive"}`), 200, "")
	v.want(v.do("mallory", "POST", path, `{"status":"resolved"}`), 404, "not_found")
	v.want(v.do("alice", "POST", path, `{"status":"gone"}`), 400, "unknown_status")
	v.want(v.do("alice", "POST", path, `{"status":"open"}`, "If-Match", `"1"`), 412, "wrong_revision")
	v.want(v.do("alice", "POST", "/v1/findings/"+nothing+"/status", `{"status":"resolved"}`), 404, "not_found")
}
