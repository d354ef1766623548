package media

import (
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// RequestUpload announces bytes that the client will put straight to storage.
type RequestUpload struct {
	Media     domain.MediaID
	By        domain.Actor
	Name      domain.Personal // as the client calls the file; it is sanitised here
	Title     domain.Personal // empty: the file's name
	Declared  string          // MIME type, may be empty
	Size      int64           // bytes
	SHA256    domain.Digest
	Object    domain.ObjectKey
	Multipart string // the storage's upload id
	PartSize  int64  // bytes
	At        time.Time
	Policy    Policy
}

// Decide announces the upload, when its name, type and size can be accepted at all.
func (c RequestUpload) Decide(m State) ([]Event, error) {
	if err := mayUpload(c.By); err != nil {
		return nil, err
	}
	if m.Phase != Nothing {
		if m.Owner != c.By.ID {
			return nil, ErrNotFound
		}
		if m.Phase == Requested && m.Request.SHA256 == c.SHA256 && m.Request.Size == c.Size {
			return nil, nil
		}
		return nil, ErrExists
	}
	if c.SHA256 == "" {
		return nil, domain.ErrInvalid.On("sha256").Because("an announced upload needs its SHA-256")
	}
	if err := c.Policy.size(c.Size); err != nil {
		return nil, err
	}
	name, err := CleanName(c.Name.Text(), c.Policy)
	if err != nil {
		return nil, err
	}
	if err := Plausible(name, c.Declared, c.Policy); err != nil {
		return nil, err
	}
	title, err := c.Policy.title(c.Title.Text(), name)
	if err != nil {
		return nil, err
	}
	return []Event{UploadRequested{
		Media: c.Media, Owner: c.By.ID, Org: orgOf(c.By),
		Name: domain.NewPersonal(c.By.ID, name), Title: domain.NewPersonal(c.By.ID, title),
		Declared: Canonical(c.Declared), Size: c.Size, SHA256: c.SHA256,
		Object: c.Object, Multipart: c.Multipart, PartSize: c.PartSize,
		ExpiresAt: c.At.Add(c.Policy.RequestFor).UTC(),
	}}, nil
}

func (e UploadRequested) evolve(m State) State {
	m.ID, m.Owner, m.Org = e.Media, e.Owner, e.Org
	m.Phase = Requested
	m.Request = e
	m.Title = e.Title
	return m
}

// Upload says that bytes are stored, compared and sniffed: the birth of an item, at once or after RequestUpload.
type Upload struct {
	Media domain.MediaID
	By    domain.Actor
	Title domain.Personal // empty: what was announced, or else the file's name
	// Description and Tags may be empty; where they are not, the item is born described.
	Description domain.Personal
	Tags        []domain.Personal
	File        File // Name as the client called it; Type as sniffed; Size and SHA256 as stored
	Expected    Expected
	At          time.Time
	Policy      Policy
}

// Expected is what the client said about the bytes before they came.
type Expected struct {
	Size   int64         // bytes; negative: not said
	SHA256 domain.Digest // empty: not said
}

// Decide accepts the bytes, or says why not; commands then records a refusal with RefuseUpload.
func (c Upload) Decide(m State) ([]Event, error) {
	if err := mayUpload(c.By); err != nil {
		return nil, err
	}
	if m.Phase != Nothing && m.Owner != c.By.ID {
		return nil, ErrNotFound
	}
	switch m.Phase {
	case Nothing, Requested:
	case Refused:
		return nil, m.Refused()
	case Live:
		if first := m.Versions[0].File; first.SHA256 == c.File.SHA256 && first.Object == c.File.Object {
			return nil, nil
		}
		return nil, ErrExists
	case Erasable:
		return nil, ErrDeleted
	default:
		return nil, ErrPurged
	}
	expected, file, org, title := c.Expected, c.File, orgOf(c.By), c.Title.Text()
	if m.Phase == Requested {
		if c.At.After(m.Request.ExpiresAt) {
			return nil, ErrExpired
		}
		expected = Expected{Size: m.Request.Size, SHA256: m.Request.SHA256}
		file.Name, file.Declared, org = m.Request.Name, m.Request.Declared, m.Org
		if title == "" {
			title = m.Request.Title.Text()
		}
	}
	file, err := c.Policy.accept(file, expected, c.By.ID)
	if err != nil {
		return nil, err
	}
	title, err = c.Policy.title(title, file.Name.Text())
	if err != nil {
		return nil, err
	}
	born := Uploaded{Media: c.Media, Owner: c.By.ID, Org: org, Title: domain.NewPersonal(c.By.ID, title), File: file}
	if c.Description.IsZero() && len(c.Tags) == 0 {
		return []Event{born}, nil
	}
	described, err := Describe{By: c.By, Description: &c.Description, Tags: &c.Tags, Policy: c.Policy}.Decide(born.evolve(m))
	if err != nil {
		return nil, err
	}
	return append([]Event{born}, described...), nil
}

func (e Uploaded) evolve(m State) State {
	m.ID, m.Owner, m.Org = e.Media, e.Owner, e.Org
	m.Phase = Live
	m.Title = e.Title
	m.Versions = []Version{{File: e.File}}
	m.Current = 1
	return m
}

// RefuseUpload records an upload that was not accepted.
type RefuseUpload struct {
	Media    domain.MediaID
	By       domain.Actor
	Name     domain.Personal
	Declared string
	Type     string // as sniffed, when it came that far
	Size     int64  // bytes, as far as known
	Reasons  []string
	Policy   Policy
}

// Decide records the refusal once. The attempted name is kept for the audit log, cut to the length of a name.
func (c RefuseUpload) Decide(m State) ([]Event, error) {
	if m.Phase != Nothing && m.Owner != c.By.ID {
		return nil, ErrNotFound
	}
	switch m.Phase {
	case Nothing, Requested:
	case Refused:
		return nil, nil
	default:
		return nil, ErrExists
	}
	org, name, declared := orgOf(c.By), domain.NewPersonal(c.By.ID, clip(c.Name.Text(), c.Policy.MaxName)), clip(c.Declared, maxDeclared)
	if m.Phase == Requested {
		org, name, declared = m.Org, m.Request.Name, m.Request.Declared
	}
	return []Event{UploadRefused{
		Media: c.Media, Owner: c.By.ID, Org: org, Name: name, Declared: declared,
		Type: c.Type, Size: max(c.Size, 0), Reasons: c.Reasons,
	}}, nil
}

func (e UploadRefused) evolve(m State) State {
	m.ID, m.Owner, m.Org = e.Media, e.Owner, e.Org
	m.Phase = Refused
	m.Refusal = e
	return m
}

// Refused is the refusal that an upload in phase refused ended with; nil in other phases.
func (s State) Refused() error {
	if s.Phase != Refused || len(s.Refusal.Reasons) == 0 {
		return nil
	}
	return RefusalOf(s.Refusal.Reasons[0])
}

// maxDeclared bounds a declared MIME type in bytes (RFC 6838, 4.2, allows 127 on each side of the slash).
const maxDeclared = 255

// size checks a size against the limits.
func (p Policy) size(n int64) error {
	switch {
	case n == 0:
		return ErrEmpty
	case n < 0:
		return domain.ErrInvalid.On("size").Because("a size is not negative")
	case n > p.MaxSize:
		return TooLarge(p.MaxSize)
	}
	return nil
}

// accept checks stored bytes against the limits, what was announced, and the rules about names and types, and answers the
// file as it is kept: the name sanitised and about the owner, the type canonical.
func (p Policy) accept(f File, expected Expected, owner domain.UserID) (File, error) {
	if f.Size == 0 && expected.Size > 0 {
		return File{}, ErrSize
	}
	if err := p.size(f.Size); err != nil {
		return File{}, err
	}
	if expected.Size >= 0 && expected.Size != f.Size {
		return File{}, ErrSize
	}
	if expected.SHA256 != "" && expected.SHA256 != f.SHA256 {
		return File{}, ErrSHA256
	}
	name, err := CleanName(f.Name.Text(), p)
	if err != nil {
		return File{}, err
	}
	kind, err := Judge(name, f.Declared, f.Type, p)
	if err != nil {
		return File{}, err
	}
	f.Name, f.Type, f.Declared = domain.NewPersonal(owner, name), kind, Canonical(f.Declared)
	return f, nil
}

// MayUpload refuses before any byte came whom Decide will refuse.
func (c Upload) MayUpload() error { return mayUpload(c.By) }

// AboutFile reports whether a refusal is one about a file, which is recorded as UploadRefused, and not one about who asks.
func AboutFile(r *domain.Refusal) bool {
	return slices.ContainsFunc(aboutFile(), func(f *domain.Refusal) bool { return f.Code == r.Code })
}

func mayUpload(by domain.Actor) error {
	if by.Known() && by.Is(domain.RoleUser, domain.RolePartner, domain.RolePartnerAdmin) {
		return nil
	}
	return ErrMayNotUpload
}

// orgOf is the organisation to which what the actor uploads belongs: a partner's, nobody else's.
func orgOf(by domain.Actor) domain.OrgID {
	if by.MemberOf(by.Org) {
		return by.Org
	}
	return ""
}
