package reactors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Describer says what a picture shows. A caption without a text has in Failed why; an error is worth asking again.
type Describer interface {
	Describe(ctx context.Context, contentType string, picture []byte) (media.Caption, error)
}

// Describing has descriptions made that owners asked for. What leaves the vault is a thumbnail, which has no metadata; where
// nobody describes it, the description says what the metadata says, and that it is no more than that.
type Describing struct {
	Media     *commands.Media
	Describer Describer // nil: nobody
}

// Name implements Reactor.
func (Describing) Name() string { return "describing" }

// Types implements Reactor.
func (Describing) Types() []string { return []string{media.DescriptionRequested{}.EventType()} }

// Tuning implements Tuned.
func (Describing) Tuning() Tuning { return Tuning{Neighbours: []string{Storage}} }

// React implements Reactor.
func (d Describing) React(ctx context.Context, rec eventstore.Recorded) error {
	asked, ok := rec.Event.(media.DescriptionRequested)
	if !ok {
		return fmt.Errorf("describing got a %s", rec.Type)
	}
	id := domain.MediaID(rec.Stream.ID())
	item, err := d.Media.Facts(ctx, id)
	if err != nil {
		return err
	}
	if s := item.Suggestion; s.Number != asked.Number || s.Made || s.Over {
		return nil // answered already, or nobody waits for it
	}
	said, err := d.describe(ctx, item, asked.Version)
	if err != nil {
		return err
	}
	_, err = d.Media.SuggestDescription(ctx, because(d, rec), id, asked.Number, said)
	return err
}

func (d Describing) describe(ctx context.Context, item media.State, version int) (media.Caption, error) {
	v, ok := item.Version(version)
	if !ok {
		return media.Caption{}, media.ErrNoVersion
	}
	said, err := d.ask(ctx, item, version, v)
	if err == nil && said.Text == "" {
		said.Text, said.Provider, said.Model = Plainly(v), media.ByMetadata, ""
	}
	return said, err
}

// ask shows the picture to the describer, when it may be shown and there is a small one.
func (d Describing) ask(ctx context.Context, item media.State, version int, v media.Version) (media.Caption, error) {
	if d.Describer == nil {
		return media.Caption{}, nil
	}
	why := func(code string) (media.Caption, error) {
		return media.Caption{Failed: []string{"vault: " + code}}, nil
	}
	if refusal, ok := domain.AsRefusal(item.Delivery(version)); ok {
		return why(refusal.Code) // it was quarantined since it was asked for, say: then it is shown to nobody
	}
	thumbnail, ok := thumbnailOf(v)
	if !ok {
		return why("no_thumbnail")
	}
	picture, err := thumbnailBytes(ctx, d.Media, thumbnail)
	if errors.Is(err, blobs.ErrNotFound) {
		return why("no_thumbnail")
	}
	if err != nil {
		return media.Caption{}, err
	}
	return d.Describer.Describe(ctx, thumbnail.Type, picture)
}

// thumbnailOf is the largest thumbnail that every program can read.
func thumbnailOf(v media.Version) (media.Derivative, bool) {
	var best media.Derivative
	for _, d := range v.Derivatives {
		if d.Kind == media.KindThumbnail && (d.Type == "image/jpeg" || d.Type == "image/png") && d.Width > best.Width {
			best = d
		}
	}
	return best, best.Object != ""
}

// thumbnailBytes reads a thumbnail whole.
func thumbnailBytes(ctx context.Context, items *commands.Media, d media.Derivative) ([]byte, error) {
	blob, err := items.Open(ctx, d.Object)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	all, err := io.ReadAll(io.LimitReader(blob, maxThumbnail+1))
	if err != nil {
		return nil, fmt.Errorf("read thumbnail %s: %w", d.Object, err)
	}
	if len(all) > maxThumbnail {
		return nil, blobs.ErrNotFound
	}
	return all, nil
}

// Plainly says what is known of a version without looking at it.
func Plainly(v media.Version) string {
	what := map[string]string{"image": "A picture", "video": "A video", "audio": "A recording"}[strings.SplitN(v.File.Type, "/", 2)[0]]
	if what == "" {
		what = "A document"
	}
	parts := []string{what + " (" + v.File.Type + ")"}
	seen := v.Inspected
	if seen.Width > 0 && seen.Height > 0 {
		parts = append(parts, fmt.Sprintf("%d by %d pixels", seen.Width, seen.Height))
	}
	if seen.Length > 0 {
		parts = append(parts, fmt.Sprintf("%d:%02d long", int(seen.Length.Minutes()), int(seen.Length.Seconds())%60))
	}
	if seen.Pages > 0 {
		parts = append(parts, fmt.Sprintf("%d pages", seen.Pages))
	}
	if !seen.TakenAt.IsZero() {
		parts = append(parts, "taken on "+seen.TakenAt.Format("2 January 2006"))
	}
	if seen.Camera != "" {
		parts = append(parts, "with a "+seen.Camera)
	}
	return strings.Join(parts, ", ") + ". This is said from the file's metadata; nobody has looked at it."
}

// maxThumbnail bounds what is read of a thumbnail, in bytes.
const maxThumbnail = 4 << 20
