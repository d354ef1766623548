package commands

import (
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

func TestOfSomebodyForgottenOnlyHisTextsAreLeftOut(t *testing.T) {
	t.Parallel()
	own, others := domain.NewPersonal("mona", "mine"), domain.NewPersonal("fay", "hers")
	sealed := domain.SealedPersonal("fay", []byte("sealed long ago"))
	said := media.Described{Title: sealed, Description: others, Tags: []domain.Personal{own, others}}
	left := withoutOthers[media.Event](said, "mona").(media.Described) //nolint:forcetypeassert // it is of the type that it was
	if left.Title.Sealed() == nil || !left.Description.IsZero() || left.Tags[0].Text() != "mine" || !left.Tags[1].IsZero() {
		t.Errorf("left: %+v", left)
	}
	if said.Description.Text() != "hers" || said.Tags[1].Text() != "hers" {
		t.Error("what was given is changed")
	}
	requested := media.UploadRequested{Name: others, ExpiresAt: time.Unix(1, 0)}
	if got := withoutOthers(requested, "mona"); !got.Name.IsZero() || !got.ExpiresAt.Equal(requested.ExpiresAt) {
		t.Errorf("left: %+v", got)
	}
}
