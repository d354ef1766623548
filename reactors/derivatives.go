package reactors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// derive stores what the examination made: thumbnails, and the copy without place and names. Their places follow from their
// content, so that deriving again puts the same bytes at the same places.
func (s Screening) derive(ctx context.Context, subject *Subject) (media.Derived, error) {
	r := subject.Examined.Report
	derived := media.Derived{Version: subject.Version, Blurhash: r.Blurhash}
	for _, p := range r.Pictures {
		d, err := s.storePicture(ctx, subject, p)
		if err != nil {
			return media.Derived{}, err
		}
		derived.Derivatives = append(derived.Derivatives, d)
	}
	if r.Telling && len(r.Edits) > 0 {
		d, err := s.storeClean(ctx, subject)
		if err != nil {
			return media.Derived{}, err
		}
		derived.Derivatives = append(derived.Derivatives, d)
	}
	return derived, nil
}

func (s Screening) storePicture(ctx context.Context, subject *Subject, p analyzers.Picture) (media.Derivative, error) {
	sum := sha256.Sum256(p.Bytes)
	digest := domain.Digest(hex.EncodeToString(sum[:]))
	info, err := s.Media.StoreDerivative(ctx, subject.Owner, subject.Media, string(digest), bytes.NewReader(p.Bytes), int64(len(p.Bytes)), p.Type)
	if err != nil {
		return media.Derivative{}, fmt.Errorf("store a thumbnail: %w", err)
	}
	return media.Derivative{
		Kind: media.KindThumbnail, Name: p.Name, Type: p.Type, Width: p.Width, Height: p.Height, Size: info.Size, SHA256: digest, Object: info.Key,
	}, nil
}

// storeClean copies the original without what the edits leave out; neither is ever in memory as a whole.
func (s Screening) storeClean(ctx context.Context, subject *Subject) (media.Derivative, error) {
	blob, err := subject.Open(ctx)
	if err != nil {
		return media.Derivative{}, err
	}
	defer blob.Close()
	edits := subject.Examined.Report.Edits
	name := sha256.Sum256(fmt.Appendf(nil, "%s %v", subject.File.SHA256, edits))
	info, err := s.Media.StoreDerivative(ctx, subject.Owner, subject.Media, hex.EncodeToString(name[:]), analyzers.Apply(blob, edits),
		analyzers.EditedSize(subject.Size, edits), subject.File.Type)
	if err != nil {
		return media.Derivative{}, fmt.Errorf("store a copy without place and names: %w", err)
	}
	return media.Derivative{
		Kind: media.KindClean, Type: subject.File.Type, Size: info.Size, SHA256: info.Digest, Object: info.Key,
	}, nil
}
