package projections

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/eventstore"
)

// LibraryName is the name of the read model.
const LibraryName = "library"

// MediaStatus is what an item's life and what was laid upon it amount to for those who look at it.
type MediaStatus string

// The statuses.
const (
	StatusPending     MediaStatus = "pending_upload" // announced, its bytes are not there yet
	StatusRefused     MediaStatus = "refused"        // the upload was not accepted
	StatusProcessing  MediaStatus = "processing"     // the current version is not screened yet
	StatusReview      MediaStatus = "review"         // the current version waits for a person to look at it
	StatusAvailable   MediaStatus = "available"
	StatusRestricted  MediaStatus = "restricted"  // only by name, not by link
	StatusQuarantined MediaStatus = "quarantined" // by screening or a moderator
	StatusRemoved     MediaStatus = "removed"     // by a moderator
	StatusDeleted     MediaStatus = "deleted"     // by its owner; restorable
	StatusPurged      MediaStatus = "purged"      // its bytes are gone
)

// MediaStatuses are all of them.
func MediaStatuses() []MediaStatus {
	return []MediaStatus{
		StatusPending, StatusRefused, StatusProcessing, StatusReview, StatusAvailable, StatusRestricted, StatusQuarantined,
		StatusRemoved, StatusDeleted, StatusPurged,
	}
}

// FileVersion is one version of an item. Numbers count from 1.
type FileVersion struct {
	Number   int              `json:"number"`
	Name     string           `json:"name,omitempty"` // "" when it was erased or the item was purged
	Type     string           `json:"type"`
	Declared string           `json:"declared,omitempty"`
	Size     int64            `json:"size"` // bytes
	SHA256   domain.Digest    `json:"sha256"`
	Object   domain.ObjectKey `json:"object"`
	Way      media.Way        `json:"way"`
	Uploaded time.Time        `json:"uploaded"`
	Verdict  media.Verdict    `json:"verdict,omitempty"` // "": not screened yet
	Score    int              `json:"score"`             // security score, 0 (worst) to 100; NoScore: not screened yet
	Cleared  bool             `json:"cleared,omitempty"` // a moderator let it pass after a verdict of review
	Reasons  []string         `json:"reasons,omitempty"` // codes, for which screening withholds it; see media.Screened
	// Seen is what the bytes say about themselves; nil: nothing, or nobody looked.
	Seen        *Seen              `json:"seen,omitempty"`
	Derivatives []media.Derivative `json:"derivatives,omitempty"`
	Blurhash    string             `json:"blurhash,omitempty"`
	NoPicture   string             `json:"no_picture,omitempty"` // why it has no small picture
}

// FileVersions are all versions of an item, in their order.
type FileVersions []FileVersion

// NoScore is the security score of what was not screened yet.
const NoScore = -1

// Media is one item as the library shows it, and the row that it is stored as.
type Media struct {
	Owner   domain.UserID `db:"owner"`
	Org     domain.OrgID  `db:"org"`
	Tags    []string      `db:"tags"`
	Status  MediaStatus   `db:"status"`
	Type    string        `db:"type"` // of the current version, or as declared
	Size    int64         `db:"size"` // bytes; of the current version, or as announced
	Created time.Time     `db:"created_at"`
	Updated time.Time     `db:"updated_at"`
	// Search is what text is searched in, folded; TitleKey is what titles are sorted by.
	Search   string `db:"search" json:"-"`
	TitleKey string `db:"title_key" json:"-"`

	// What is shown, and never asked for.
	Title       string              `db:"title,packed"`
	Description string              `db:"description,packed"`
	Erased      bool                `db:"erased,packed"` // some personal text was there, and its subject has been forgotten
	Phase       media.Phase         `db:"phase,packed"`
	Holds       []media.HoldKind    `db:"holds,packed"`   // the last one counts
	Version     int                 `db:"version,packed"` // the current one; 0: none
	Versions    FileVersions        `db:"versions,binary,packed"`
	FileName    string              `db:"file_name,packed"`     // of the current version, or as announced
	SHA256      domain.Digest       `db:"sha256,packed"`        // likewise
	Score       int                 `db:"score,packed"`         // of the current version; NoScore: none
	Reasons     []string            `db:"reasons,packed"`       // codes, when the upload was refused
	Kept        bool                `db:"metadata_kept,packed"` // others get the place and names that the bytes carry
	Revision    eventstore.Revision `db:"revision,packed"`      // of the item's stream
}

// libraryModel is the projection.
type libraryModel struct{}

// LibraryProjection makes the read model of media.
func LibraryProjection() Projection[Media] { return libraryModel{} }

// Name implements Projection.
func (libraryModel) Name() string { return LibraryName }

// Types implements Projection.
func (libraryModel) Types() []string {
	return typeNames(media.Types)
}

// Table implements Projection.
func (libraryModel) Table() Table {
	return Table{Indexes: []Index{
		{On: "owner, created_at, key"},
		{On: "created_at, key"},
		{On: "org, created_at, key", Where: "org <> ''"},
	}, Revision: packedFormat}
}

// Keys implements Projection.
func (libraryModel) Keys(rec eventstore.Recorded) []string { return []string{rec.Stream.ID()} }

// Evolve implements Projection. It mirrors media.State, whose tests say what each event means.
func (libraryModel) Evolve(_ string, m Media, rec eventstore.Recorded) (Media, bool) {
	words := false // whether what is searched changed
	switch e := rec.Event.(type) {
	case media.UploadRequested:
		m.Owner, m.Org, m.Phase, words = e.Owner, e.Org, media.Requested, true
		m.Title, m.FileName = m.open(e.Title), m.open(e.Name)
		m.Type, m.Size, m.SHA256, m.Score = e.Declared, e.Size, e.SHA256, NoScore
	case media.UploadRefused:
		m.Owner, m.Org, m.Phase, m.Reasons, words = e.Owner, e.Org, media.Refused, e.Reasons, true
		m.FileName, m.Type, m.Size, m.Score = m.open(e.Name), e.Type, e.Size, NoScore
		if m.Type == "" {
			m.Type = e.Declared
		}
	case media.Uploaded:
		m.Owner, m.Org, m.Phase, words = e.Owner, e.Org, media.Live, true
		m.Title = m.open(e.Title)
		m.add(1, e.File, rec.At)
	case media.VersionAdded:
		m.add(e.Version, e.File, rec.At)
		words = true
	case media.RolledBack:
		m.choose(e.Version)
		words = true
	case media.Described:
		m.Title, m.Description, m.Tags, words = m.open(e.Title), m.open(e.Description), nil, true
		for _, t := range e.Tags {
			if tag := m.open(t); tag != "" {
				m.Tags = append(m.Tags, tag)
			}
		}
	case media.Screened:
		if v := m.version(e.Version); v != nil {
			v.Verdict, v.Score, v.Cleared, v.Reasons = e.Verdict, e.Score, false, e.Reasons()
			m.choose(m.Version)
		}
	case media.Inspected:
		m.see(e)
	case media.Derived:
		if v := m.version(e.Version); v != nil {
			v.Derivatives = media.Replace(v.Derivatives, e.Derivatives)
			if e.Blurhash != "" {
				v.Blurhash = e.Blurhash
			}
			if v.NoPicture = e.NoPicture; len(v.Thumbnails()) > 0 {
				v.NoPicture = ""
			}
		}
	case media.MetadataChosen:
		m.Kept = e.Keep
	case media.Restricted:
		m.clear(e.Source)
		m.Holds = append(m.Holds, media.IsRestricted)
	case media.Quarantined:
		m.Holds = append(m.Holds, media.IsQuarantined)
	case media.Removed:
		m.Holds = append(m.Holds, media.IsRemoved)
	case media.Released:
		m.clear(e.Source)
		m.Holds = nil
	case media.Deleted:
		m.Phase = media.Erasable
	case media.Restored:
		m.Phase = media.Live
	case media.Purged:
		m.forget()
		words = true
	}
	if words {
		m.lookUp()
	}
	if m.Created.IsZero() {
		m.Created = rec.At
	}
	m.Updated, m.Revision = rec.At, rec.Revision
	m.Status = m.status()
	return m, true
}

// lookUp makes what the row is searched and sorted by.
func (m *Media) lookUp() {
	m.TitleKey = clip(plainText(m.Title), 64)
	m.Search = foldText(strings.Join(append([]string{m.Title, m.FileName, m.Description}, m.Tags...), "\n"))
}

// open is the text, or "" with a mark when it was erased.
func (m *Media) open(p domain.Personal) string {
	m.Erased = m.Erased || p.Erased()
	return p.Text()
}

func (m *Media) add(number int, f media.File, at time.Time) {
	m.Versions = append(m.Versions, FileVersion{
		Number: number, Name: m.open(f.Name), Type: f.Type, Declared: f.Declared, Size: f.Size, SHA256: f.SHA256,
		Object: f.Object, Way: f.Way, Uploaded: at, Score: NoScore,
	})
	m.choose(number)
}

func (m *Media) version(number int) *FileVersion {
	if number < 1 || number > len(m.Versions) {
		return nil
	}
	return &m.Versions[number-1]
}

// choose makes a version the current one.
func (m *Media) choose(number int) {
	if v := m.version(number); v != nil {
		m.Version, m.FileName, m.Type, m.Size, m.SHA256, m.Score = number, v.Name, v.Type, v.Size, v.SHA256, v.Score
	}
}

func (m *Media) clear(s media.Source) {
	if v := m.version(s.Version); v != nil && s.Case != "" {
		v.Cleared, v.Reasons = true, nil
	}
}

// forget leaves what is needed to say that there was an item, and nothing of what was in it.
func (m *Media) forget() {
	m.Phase = media.Gone
	m.Title, m.Description, m.Tags, m.FileName = "", "", nil, ""
	for i := range m.Versions {
		v := &m.Versions[i]
		v.Name, v.Seen, v.Derivatives, v.Blurhash, v.Reasons = "", nil, nil, "", nil
	}
}

func (m *Media) status() MediaStatus {
	switch m.Phase {
	case media.Requested:
		return StatusPending
	case media.Refused:
		return StatusRefused
	case media.Erasable:
		return StatusDeleted
	case media.Gone:
		return StatusPurged
	}
	hold := media.Free
	if n := len(m.Holds); n > 0 {
		hold = m.Holds[n-1]
	}
	switch hold {
	case media.IsRemoved:
		return StatusRemoved
	case media.IsQuarantined:
		return StatusQuarantined
	}
	v := m.version(m.Version)
	switch {
	case v == nil || v.Verdict == "":
		return StatusProcessing
	case v.Verdict == media.VerdictBlocked:
		return StatusQuarantined
	case v.Verdict == media.VerdictReview && !v.Cleared:
		return StatusReview
	case hold == media.IsRestricted:
		return StatusRestricted
	}
	return StatusAvailable
}

// foldText makes texts comparable that look alike to a person: composed and decomposed letters (file names of some systems
// come decomposed), wide and narrow forms, upper and lower case; and it makes one space of any white space but line ends.
func foldText(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(s)
	}
	// Lower case first: of some letters the lower case decomposes (İ).
	s = norm.NFKC.String(strings.ToLower(norm.NFKC.String(s)))
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, s)
}

// plainText is foldText without the marks on letters, so that Ü stands beside U when titles are sorted by their bytes.
func plainText(s string) string {
	s = foldText(s)
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strings.Map(func(r rune) rune {
				if unicode.Is(unicode.Mn, r) {
					return -1
				}
				return r
			}, norm.NFKD.String(s))
		}
	}
	return s
}

// clip cuts a text to so many characters; an index entry must not become too large.
func clip(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// shown are the statuses that a list shows to an item's owner and to the staff when none is asked for.
func shown() []MediaStatus {
	return slices.DeleteFunc(MediaStatuses(), func(s MediaStatus) bool {
		return s == StatusRefused || s == StatusDeleted || s == StatusPurged
	})
}

// common are the statuses in which an item is there for others than its owner: members of its organisation, and those whom
// it was shared with. A restricted item is there only for the latter.
func common(named bool) []MediaStatus {
	if named {
		return []MediaStatus{StatusProcessing, StatusReview, StatusAvailable, StatusRestricted}
	}
	return []MediaStatus{StatusProcessing, StatusReview, StatusAvailable}
}
