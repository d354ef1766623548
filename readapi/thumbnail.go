package readapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/web"
	"github.com/mediavault-io/mediavault/projections"
)

// mediaDetails is what the current version's bytes say about themselves. Place and author are the owner's alone.
type mediaDetails struct {
	Width       int        `json:"width,omitempty"`
	Height      int        `json:"height,omitempty"`
	Orientation int        `json:"orientation,omitempty"`
	Frames      int        `json:"frames,omitempty"`
	Pages       int        `json:"pages,omitempty"`
	DurationMS  int64      `json:"duration_ms,omitempty"`
	VideoCodec  string     `json:"video_codec,omitempty"`
	AudioCodec  string     `json:"audio_codec,omitempty"`
	Camera      string     `json:"camera,omitempty"`
	Lens        string     `json:"lens,omitempty"`
	TakenAt     *time.Time `json:"taken_at,omitempty"`
	Place       string     `json:"place,omitempty"`
	Author      string     `json:"author,omitempty"`
	Telling     bool       `json:"telling,omitempty"`
}

// thumbnail is a size in which an item can be previewed.
type thumbnail struct {
	Size        string `json:"size"`
	Width       int    `json:"width"`
	Height      int    `json:"height"`
	ContentType string `json:"content_type"`
}

// webVariant is a copy that browsers play: `content?variant=web`.
type webVariant struct {
	ContentType string        `json:"content_type"`
	Size        int64         `json:"size"`
	SHA256      domain.Digest `json:"sha256"`
}

func webVariantOf(v projections.FileVersion) *webVariant {
	d, ok := v.Playable()
	if !ok {
		return nil
	}
	return &webVariant{ContentType: d.Type, Size: d.Size, SHA256: d.SHA256}
}

// show adds what is known of a version's bytes.
func (m *mediaItem) show(v projections.FileVersion, own bool) {
	m.Blurhash, m.WebVariant, m.NoThumbnail = v.Blurhash, webVariantOf(v), noThumbnail(v)
	for _, d := range v.Thumbnails() {
		size, _, _ := strings.Cut(d.Name, ".")
		m.Thumbnails = append(m.Thumbnails, thumbnail{Size: size, Width: d.Width, Height: d.Height, ContentType: d.Type})
	}
	s := v.Seen
	if s == nil {
		return
	}
	m.Details = &mediaDetails{
		Width: s.Width, Height: s.Height, Orientation: s.Orientation, Frames: s.Frames, Pages: s.Pages, DurationMS: s.Length.Milliseconds(),
		VideoCodec: s.Video, AudioCodec: s.Audio, Telling: s.Telling && own,
	}
	if own {
		m.Details.Camera, m.Details.Lens, m.Details.Place, m.Details.Author = s.Camera, s.Lens, s.Place, s.Author
		if !s.TakenAt.IsZero() {
			at := s.TakenAt.UTC()
			m.Details.TakenAt = &at
		}
	}
}

func (s *Server) mediaThumbnail(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	size := q.Enum("size", "400", "200", "400")
	id, m, err := s.question(w, r, q, projections.LibraryName, projections.AccessName, projections.SharesName)
	if err != nil {
		return err
	}
	ctx, viewer := r.Context(), web.Actor(r)
	right, err := s.access.Right(ctx, viewer, id, projections.Moment{})
	if err != nil {
		return err
	}
	it, err := s.library.Item(ctx, viewer, id, m)
	if err != nil {
		return err
	}
	grant, err := grantOf(right, false)
	if err != nil {
		return err
	}
	return s.deliverThumbnail(w, r, it, size, Serving{Via: string(grant.Via), Share: grant.Share})
}

func (s *Server) publicThumbnail(w http.ResponseWriter, r *http.Request) error {
	q := web.NewQuery(r)
	size := q.Enum("size", "400", "200", "400")
	f, err := s.follow(w, r, q)
	if err != nil {
		return err
	}
	return s.deliverThumbnail(w, r, f.item, size, f.serving)
}

// deliverThumbnail delivers a thumbnail of the version that was current at the item's moment, through the same gate as content.
func (s *Server) deliverThumbnail(w http.ResponseWriter, r *http.Request, it projections.Item, size string, serving Serving) error {
	serving.Caller, serving.Media, serving.Version, serving.What = callerOf(r), it.ID, it.Version, "thumbnail"
	if it.Version >= 1 && it.Version <= len(it.Versions) {
		v := it.Versions[it.Version-1]
		if d, ok := v.Thumbnail(size, accepts(r, "image/webp")); ok {
			serving.Object = d.Object
			return s.deliver(w, r, delivery{
				serving: serving, kind: "inline", name: "thumbnail-" + size + extension(d.Type), mime: d.Type, size: d.Size, sha256: d.SHA256,
				object: d.Object, modified: v.Uploaded,
			})
		}
	}
	// Whether it may be seen at all is said first.
	if err := s.recorder.Check(r.Context(), serving); err != nil {
		return err
	}
	if it.Version >= 1 && it.Version <= len(it.Versions) {
		if why, ok := whyNoThumbnail(noThumbnail(it.Versions[it.Version-1])); ok {
			return errNoThumbnail.Because(why)
		}
	}
	return errNoThumbnail
}

// accepts reports whether the caller names the type among those that he takes (RFC 9110, section 12.5.1). One who takes anything
// gets what everybody can show.
func accepts(r *http.Request, kind string) bool {
	for _, accept := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(accept, ",") {
			name, params, err := mime.ParseMediaType(one)
			if err != nil || name != kind {
				continue
			}
			q, err := strconv.ParseFloat(params["q"], 64)
			return err != nil || q > 0
		}
	}
	return false
}

// noThumbnail is why a version has no thumbnail; "" when it has one, or none was made yet.
func noThumbnail(v projections.FileVersion) string {
	pictured := strings.HasPrefix(v.Type, "image/") || strings.HasPrefix(v.Type, "video/") || v.Type == "application/pdf"
	if v.NoPicture == "" && v.Verdict != "" && !pictured {
		return "not_supported"
	}
	return v.NoPicture
}

// whyNoThumbnail says in words why there is no thumbnail.
func whyNoThumbnail(code string) (string, bool) {
	switch code {
	case "undecodable":
		return "the file cannot be decoded", true
	case "not_supported":
		return "no thumbnails are made of this format", true
	case "tool_missing":
		return "a program that knows this format is not installed", true
	}
	return "", false
}
