package eventstore

import (
	"context"

	"github.com/mediavault-io/mediavault/domain"
)

// Keys seals and opens personal text under the key of its subject. adapters/keys implements it.
type Keys interface {
	// Seal encrypts text under the subject's key, making the key durable first if there is none. Sealing for a subject
	// whose key was destroyed fails with domain.ErrForgotten.
	Seal(ctx context.Context, subject domain.UserID, text []byte) ([]byte, error)
	// Open decrypts; false when the subject's key was destroyed. domain.ErrBroken when it cannot be opened, now or
	// ever; every other error is taken for a neighbour that does not answer.
	Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error)
}

// KeyRing is Keys that hand out a subject's keys, so that whoever reads many events asks once for each subject, and may open
// later what few look at.
type KeyRing interface {
	Keys
	// Subject answers the keys of a subject as they are now. When that means to ask a neighbour, the keys of the subjects that
	// ahead answers (it may be nil) are asked for as well, in the same question.
	Subject(ctx context.Context, subject domain.UserID, ahead func() []domain.UserID) (domain.SubjectKeys, error)
}
