package reactors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// derive stores what the examination made: thumbnails, and the copy without place and names. Their places follow from their
// content, so that deriving again puts the same bytes at the same places.
func (s Screening) derive(ctx context.Context, subject *Subject) (media.Derived, error) {
	r := subject.Examined.Report
	derived := media.Derived{Version: subject.Version, Blurhash: r.Blurhash}
	for _, p := range r.Pictures {
		stored, err := storePicture(ctx, s.Media, s.Tools, subject, p)
		if err != nil {
			return media.Derived{}, err
		}
		derived.Derivatives = append(derived.Derivatives, stored...)
	}
	switch {
	case !r.Telling:
	case len(r.Edits) > 0:
		d, err := s.storeClean(ctx, subject)
		if err != nil {
			return media.Derived{}, err
		}
		derived.Derivatives = append(derived.Derivatives, d)
	case streams(subject.File.Type) && s.Tools.Copies(subject.File.Type):
		d, err := s.storeWithout(ctx, subject)
		if errors.Is(err, analyzers.ErrCannot) {
			break // others do not get it, then, unless the owner says so
		}
		if err != nil {
			return media.Derived{}, err
		}
		derived.Derivatives = append(derived.Derivatives, d)
	}
	return derived, nil
}

// storeWithout copies a video or sound without its tags.
func (s Screening) storeWithout(ctx context.Context, subject *Subject) (media.Derivative, error) {
	in, err := spool(ctx, subject)
	if err != nil {
		return media.Derivative{}, err
	}
	defer in.Close()
	out, err := s.Tools.WithoutMetadata(ctx, in, subject.File.Type, subject.Size+subject.Size/8+1<<20)
	if err != nil {
		return media.Derivative{}, err
	}
	defer out.Close()
	return storeFile(ctx, s.Media, subject, out, media.Derivative{
		Kind: media.KindClean, Type: subject.File.Type, Width: subject.stream.Width, Height: subject.stream.Height,
	})
}

// storeFile stores what a tool wrote, under the name of its content.
func storeFile(ctx context.Context, to *commands.Media, subject *Subject, file *os.File, d media.Derivative) (media.Derivative, error) {
	digest := sha256.New()
	size, err := io.Copy(digest, file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return media.Derivative{}, fmt.Errorf("read what was made: %w", err)
	}
	d.SHA256, d.Size = domain.Digest(hex.EncodeToString(digest.Sum(nil))), size
	info, err := to.StoreDerivative(ctx, subject.Owner, subject.Media, string(d.Kind)+string(d.SHA256), file, size, d.Type)
	if err != nil {
		return media.Derivative{}, fmt.Errorf("store what was made: %w", err)
	}
	d.Object = info.Key
	return d, nil
}

// storePicture stores a thumbnail, and beside it the same in WebP where there is a tool for that and it is smaller.
func storePicture(ctx context.Context, to *commands.Media, tools analyzers.Tools, subject *Subject, p analyzers.Picture) ([]media.Derivative, error) {
	plain, err := storeThumbnail(ctx, to, subject, p)
	if err != nil || tools.CWebP == "" || p.Type != "image/jpeg" {
		return []media.Derivative{plain}, err
	}
	small, err := tools.WebP(ctx, p.Bytes)
	if errors.Is(err, analyzers.ErrCannot) || err == nil && len(small) >= len(p.Bytes) {
		return []media.Derivative{plain}, nil
	}
	if err != nil {
		return nil, err
	}
	p.Name, p.Type, p.Bytes = p.Name+media.InWebP, "image/webp", small
	webp, err := storeThumbnail(ctx, to, subject, p)
	return []media.Derivative{plain, webp}, err
}

func storeThumbnail(ctx context.Context, to *commands.Media, subject *Subject, p analyzers.Picture) (media.Derivative, error) {
	sum := sha256.Sum256(p.Bytes)
	digest := domain.Digest(hex.EncodeToString(sum[:]))
	info, err := to.StoreDerivative(ctx, subject.Owner, subject.Media, string(digest), bytes.NewReader(p.Bytes), int64(len(p.Bytes)), p.Type)
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
