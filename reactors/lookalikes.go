package reactors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // thumbnails are one of these two
	_ "image/png"

	"github.com/corona10/goimagehash"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// LookalikeIndex finds versions of an owner's other items that look like one; a read model implements it.
type LookalikeIndex interface {
	// Near answers what lies within so many bits of the hash, the nearest first. It has come at least to the position.
	Near(ctx context.Context, owner domain.UserID, but domain.MediaID, algorithm, hash string, after eventstore.Position) ([]media.Resembles, error)
}

// Lookalikes fingerprints thumbnails, and records which of an owner's items look alike: a finding, from which nothing follows by
// itself. It decodes only thumbnails, which the vault itself made.
type Lookalikes struct {
	Media *commands.Media
	Index LookalikeIndex
}

// fingerprintAlgorithm names the hash and how it is made: pHash of 64 bits over the thumbnail.
const fingerprintAlgorithm = "phash64-1"

// Name implements Reactor.
func (Lookalikes) Name() string { return "lookalikes" }

// Types implements Reactor.
func (Lookalikes) Types() []string {
	return []string{media.Derived{}.EventType(), media.Fingerprinted{}.EventType()}
}

// Tuning implements Tuned.
func (Lookalikes) Tuning() Tuning { return Tuning{Neighbours: []string{Storage}} }

// React implements Reactor.
func (l Lookalikes) React(ctx context.Context, rec eventstore.Recorded) error {
	id := domain.MediaID(rec.Stream.ID())
	switch e := rec.Event.(type) {
	case media.Derived:
		return l.fingerprint(ctx, rec, id, e.Version)
	case media.Fingerprinted:
		near, err := l.Index.Near(ctx, e.Owner, id, e.Algorithm, e.Hash, rec.Position)
		if err != nil || len(near) == 0 {
			return err
		}
		for i := range near {
			near[i].Version, near[i].Algorithm = e.Version, e.Algorithm
		}
		_, err = l.Media.RecordResemblances(ctx, because(l, rec), id, near)
		return err
	default:
		return fmt.Errorf("lookalikes got a %s", rec.Type)
	}
}

func (l Lookalikes) fingerprint(ctx context.Context, rec eventstore.Recorded, id domain.MediaID, version int) error {
	item, err := l.Media.Facts(ctx, id)
	if err != nil {
		return err
	}
	v, _ := item.Version(version)
	thumbnail, ok := thumbnailOf(v)
	if !ok {
		return nil
	}
	content, err := thumbnailBytes(ctx, l.Media, thumbnail)
	if errors.Is(err, blobs.ErrNotFound) {
		return nil // purged since
	}
	if err != nil {
		return err
	}
	hash, ok := Looks(content)
	if !ok {
		return nil
	}
	_, err = l.Media.RecordFingerprint(ctx, because(l, rec), id, version, fingerprintAlgorithm, hash)
	return err
}

// maxSide bounds a thumbnail that is decoded, in pixels.
const maxSide = 2000

// Looks is what a thumbnail looks like, 16 hexadecimal digits; false for what is no thumbnail.
func Looks(content []byte) (string, bool) {
	config, _, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil || config.Width > maxSide || config.Height > maxSide {
		return "", false
	}
	picture, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return "", false
	}
	hash, err := goimagehash.PerceptionHash(picture)
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("%016x", hash.GetHash()), true
}
