package reactors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/blobs"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Derivatives makes what takes its time, once a version was screened: the poster of a video and a copy that browsers play, and
// the first page of a PDF. Each needs a tool of others; without it there is none. What was blocked is left alone.
type Derivatives struct {
	Media    *commands.Media
	Examiner Examiner
	Tools    analyzers.Tools
}

// Name implements Reactor.
func (Derivatives) Name() string { return "derivatives" }

// Types implements Reactor.
func (Derivatives) Types() []string { return []string{media.Screened{}.EventType()} }

// Tuning implements Tuned: a long video takes minutes, and all cores are not for videos.
func (Derivatives) Tuning() Tuning {
	return Tuning{Concurrency: 2, Attempts: 3, Timeout: 20 * time.Minute, Neighbours: []string{Storage}}
}

// mostPlayable is the largest video of which a copy to be played is made.
const mostPlayable = 2 << 30

// React implements Reactor.
func (d Derivatives) React(ctx context.Context, rec eventstore.Recorded) error {
	e, ok := rec.Event.(media.Screened)
	if !ok {
		return fmt.Errorf("derivatives got a %s", rec.Type)
	}
	if e.Verdict == media.VerdictBlocked {
		return nil
	}
	item, err := d.Media.Facts(ctx, domain.MediaID(rec.Stream.ID()))
	if err != nil {
		return err
	}
	v, ok := item.Version(e.Version)
	if !ok || item.Phase == media.Gone || !d.able(v.File.Type) {
		return nil
	}
	subject := &Subject{Media: item.ID, Owner: item.Owner, Version: e.Version, File: v.File, media: d.Media}
	derived, err := d.make(ctx, subject, v)
	if errors.Is(err, blobs.ErrNotFound) {
		return nil // destroyed meanwhile
	}
	if err != nil || len(derived.Derivatives) == 0 && derived.NoPicture == "" {
		return err
	}
	_, err = d.Media.RecordDerived(ctx, because(d, rec), item.ID, derived)
	if errors.Is(err, media.ErrPurged) {
		return d.Media.DestroyDerived(ctx, item.Owner, item.ID)
	}
	return err
}

func (d Derivatives) able(kind string) bool {
	return strings.HasPrefix(kind, "video/") && d.Tools.FFmpeg != "" || kind == "application/pdf" && d.Tools.PDFToPPM != ""
}

func (d Derivatives) make(ctx context.Context, subject *Subject, v media.Version) (media.Derived, error) {
	derived := media.Derived{Version: subject.Version}
	in, err := spool(ctx, subject)
	if err != nil {
		return derived, err
	}
	defer in.Close()
	still, err := d.still(ctx, in, v)
	if err == nil {
		err = d.preview(ctx, subject, still, &derived)
	}
	if err != nil && !errors.Is(err, analyzers.ErrCannot) {
		return derived, err
	}
	if len(derived.Derivatives) == 0 {
		derived.NoPicture = media.NoPictureUndecodable
	}
	if v.Inspected.Video == "" || v.File.Size > mostPlayable {
		return derived, nil
	}
	out, err := d.Tools.Playable(ctx, in, max(v.File.Size*4, 64<<20))
	if errors.Is(err, analyzers.ErrCannot) {
		return derived, nil
	}
	if err != nil {
		return derived, err
	}
	defer out.Close()
	playable, err := storeFile(ctx, d.Media, subject, out, media.Derivative{Kind: media.KindPlayable, Type: "video/mp4"})
	derived.Derivatives = append(derived.Derivatives, playable)
	return derived, err
}

// still is a picture of the content, drawn by a tool.
func (d Derivatives) still(ctx context.Context, in *os.File, v media.Version) ([]byte, error) {
	if v.File.Type == "application/pdf" {
		return d.Tools.FirstPage(ctx, in)
	}
	return d.Tools.Poster(ctx, in, v.Inspected.Length)
}

// preview makes thumbnails of what a tool drew, in a child: what came of untrusted bytes is not trusted.
func (d Derivatives) preview(ctx context.Context, subject *Subject, still []byte, derived *media.Derived) error {
	got, err := d.Examiner.Examine(ctx, analyzers.Request{Type: "image/png", Size: int64(len(still))}, bytes.NewReader(still))
	if err != nil {
		return err
	}
	for _, p := range got.Report.Pictures {
		stored, err := storePicture(ctx, d.Media, d.Tools, subject, p)
		if err != nil {
			return err
		}
		derived.Derivatives = append(derived.Derivatives, stored...)
	}
	derived.Blurhash = got.Report.Blurhash
	return nil
}
