package projections

import (
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Seen is what a version's bytes say about themselves. Place and Author are "" when they were erased.
type Seen struct {
	Width       int           `json:"width,omitempty"` // pixels, upright
	Height      int           `json:"height,omitempty"`
	Orientation int           `json:"orientation,omitempty"`
	Frames      int           `json:"frames,omitempty"`
	Pages       int           `json:"pages,omitempty"`
	Length      time.Duration `json:"length,omitempty"` // nanoseconds
	Video       string        `json:"video,omitempty"`
	Audio       string        `json:"audio,omitempty"`
	Camera      string        `json:"camera,omitempty"`
	Lens        string        `json:"lens,omitempty"`
	TakenAt     time.Time     `json:"taken_at,omitzero"`
	Place       string        `json:"place,omitempty"`
	Author      string        `json:"author,omitempty"`
	Telling     bool          `json:"telling,omitempty"` // others than the owner get a copy without place and names
}

func (m *Media) see(e media.Inspected) {
	if v := m.version(e.Version); v != nil {
		v.Seen = &Seen{
			Width: e.Width, Height: e.Height, Orientation: e.Orientation, Frames: e.Frames, Pages: e.Pages, Length: e.Length, Video: e.Video,
			Audio: e.Audio, Camera: e.Camera, Lens: e.Lens, TakenAt: e.TakenAt, Place: m.open(e.Place), Author: m.open(e.Author), Telling: e.Telling,
		}
	}
}

// Thumbnails are the small pictures of a version.
func (v FileVersion) Thumbnails() []media.Derivative {
	var all []media.Derivative
	for _, d := range v.Derivatives {
		if d.Kind == media.KindThumbnail {
			all = append(all, d)
		}
	}
	return all
}

// Thumbnail is the small picture of that size (200, 400), in WebP where that is wanted and was made; false when there is none.
func (v FileVersion) Thumbnail(size string, webp bool) (media.Derivative, bool) {
	if d, ok := media.Find(v.Derivatives, media.KindThumbnail, size+media.InWebP); ok && webp {
		return d, true
	}
	return media.Find(v.Derivatives, media.KindThumbnail, size)
}

// Playable is the copy of a video that browsers play; false when there is none.
func (v FileVersion) Playable() (media.Derivative, bool) {
	return media.Find(v.Derivatives, media.KindPlayable, "")
}

// Handed is where the bytes of a version are that somebody gets: the original for its owner and for moderators (own); for
// others the copy without place and names, where the original has any and its owner did not choose to keep them. What may be
// delivered the streams decide; a copy that does not exist yet is not made up for here.
func (m Media) Handed(v FileVersion, own bool) (object domain.ObjectKey, size int64, sha256 domain.Digest) {
	clean, cleaned := media.Find(v.Derivatives, media.KindClean, "")
	if own || m.Kept || v.Seen == nil || !v.Seen.Telling || !cleaned {
		return v.Object, v.Size, v.SHA256
	}
	return clean.Object, clean.Size, clean.SHA256
}

// MediaTypes are the MIME types that items can have.
func MediaTypes() []string {
	var names []string
	for _, f := range media.Formats() {
		names = append(names, f.Type)
	}
	return names
}
