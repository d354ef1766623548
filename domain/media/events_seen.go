package media

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Measure is something that a stage measured.
type Measure struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`           // in the unit of its name; shares and likelihoods in thousandths
	Limit int64  `json:"limit,omitempty"` // the threshold that it was held against; 0: none
}

// Inspected is what one version's bytes say about themselves. What they say about people is personal to the owner.
type Inspected struct {
	Version     int           `json:"version"`
	Width       int           `json:"width,omitempty"` // pixels, as a viewer sees it: turned by Orientation
	Height      int           `json:"height,omitempty"`
	Orientation int           `json:"orientation,omitempty"` // of EXIF, 1 to 8; 0: not said
	Frames      int           `json:"frames,omitempty"`      // of an animation
	Pages       int           `json:"pages,omitempty"`       // of a document
	Length      time.Duration `json:"length,omitempty"`      // of video and audio, nanoseconds
	Video       string        `json:"video,omitempty"`       // codec
	Audio       string        `json:"audio,omitempty"`       // codec
	Camera      string        `json:"camera,omitempty"`      // make and model
	Lens        string        `json:"lens,omitempty"`
	TakenAt     time.Time     `json:"taken_at,omitzero"`
	// Place is where it was taken: latitude and longitude in degrees, joined by a comma.
	Place domain.Personal `json:"place,omitzero"`
	// Author are the names of people, and the serial numbers of what they own, that the bytes carry.
	Author domain.Personal `json:"author,omitzero"`
	// Telling are bytes that carry a place, names or the like: others than the owner get a copy without them.
	Telling bool `json:"telling,omitempty"`
}

// DerivativeKind is what a derivative is for.
type DerivativeKind string

// The kinds of derivative.
const (
	KindThumbnail DerivativeKind = "thumbnail" // a small still picture; its name is its size, 200 (a square) or 400 (pixels wide), and .webp behind it where it is one
	KindPlayable  DerivativeKind = "playable"  // a video that browsers play
	KindClean     DerivativeKind = "clean"     // the same content without place and names
)

// InWebP ends the names of thumbnails in WebP, which are there beside those that everybody can show.
const InWebP = ".webp"

// Derivative is something smaller, or less telling, that was made of a version's bytes.
type Derivative struct {
	Kind   DerivativeKind   `json:"kind"`
	Name   string           `json:"name"` // with the kind, one per version
	Type   string           `json:"type"` // MIME type
	Width  int              `json:"width,omitempty"`
	Height int              `json:"height,omitempty"`
	Size   int64            `json:"size"` // bytes
	SHA256 domain.Digest    `json:"sha256"`
	Object domain.ObjectKey `json:"object"`
}

// Derived says what was made of one version. A derivative takes the place of an earlier one of its kind and name.
type Derived struct {
	Version     int          `json:"version"`
	Derivatives []Derivative `json:"derivatives,omitempty"`
	Blurhash    string       `json:"blurhash,omitempty"` // https://blurha.sh: what to show while a thumbnail loads
	// NoPicture is why there is no small picture: undecodable, not_supported, or tool_missing.
	NoPicture string `json:"no_picture,omitempty"`
}

// Why there is no small picture of a version.
const (
	NoPictureUndecodable = "undecodable"   // its bytes cannot be decoded
	NoPictureUnsupported = "not_supported" // of this format none is made
	NoPictureToolMissing = "tool_missing"  // a program that knows the format is not installed
)

// MetadataChosen is what the owner wants to become of the place and names that bytes carry: others get them, or do not.
type MetadataChosen struct {
	Keep bool `json:"keep"`
}

// EventType implements domain.Event.
func (Inspected) EventType() string { return "media.inspected" }

// EventType implements domain.Event.
func (Derived) EventType() string { return "media.derived" }

// EventType implements domain.Event.
func (MetadataChosen) EventType() string { return "media.metadata_chosen" }

func (e Inspected) evolve(m State) State {
	if e.Version < 1 || e.Version > len(m.Versions) {
		return m
	}
	m.Versions = slices.Clone(m.Versions)
	m.Versions[e.Version-1].Inspected = e
	return m
}

func (e Derived) evolve(m State) State {
	if e.Version < 1 || e.Version > len(m.Versions) {
		return m
	}
	m.Versions = slices.Clone(m.Versions)
	v := &m.Versions[e.Version-1]
	v.Derivatives = Replace(v.Derivatives, e.Derivatives)
	if e.Blurhash != "" {
		v.Blurhash = e.Blurhash
	}
	if v.NoPicture = e.NoPicture; slices.ContainsFunc(v.Derivatives, func(d Derivative) bool { return d.Kind == KindThumbnail }) {
		v.NoPicture = ""
	}
	return m
}

func (e MetadataChosen) evolve(m State) State { m.KeepMetadata = e.Keep; return m }

// Replace answers the derivatives with the newer ones in the place of those of the same kind and name.
func Replace(all, newer []Derivative) []Derivative {
	all = slices.Clone(all)
	for _, d := range newer {
		all = slices.DeleteFunc(all, func(o Derivative) bool { return o.Kind == d.Kind && o.Name == d.Name })
		all = append(all, d)
	}
	return all
}

// Find answers the derivative of a kind and name; false when there is none.
func Find(all []Derivative, kind DerivativeKind, name string) (Derivative, bool) {
	i := slices.IndexFunc(all, func(d Derivative) bool { return d.Kind == kind && d.Name == name })
	if i < 0 {
		return Derivative{}, false
	}
	return all[i], true
}
