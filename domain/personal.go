package domain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

// Personal is text about a person. In memory it is open; in stored bytes it is sealed under the key of its subject, so that
// destroying the key forgets the text wherever it was stored. It prints as [personal] and fails to marshal unless sealed,
// so that it cannot leak into a log or into stored bytes by mistake. The zero Personal means "not known".
type Personal struct {
	subject UserID
	text    string
	sealed  []byte
	keys    SubjectKeys // to open sealed when it is asked for
	state   personalState
}

// SubjectKeys open the texts of one subject. They ask nobody, and they do not change.
type SubjectKeys interface {
	// Open appends the text to dst; false when the subject's keys are destroyed, ErrBroken when the text cannot be opened.
	Open(dst, sealed []byte) (text []byte, ok bool, err error)
	// Destroyed reports whether the subject was forgotten.
	Destroyed() bool
	// Has reports whether the key of a sealed text is among them. If not, it may have been made since.
	Has(sealed []byte) bool
}

type personalState uint8

const (
	personalEmpty  personalState = iota
	personalOpen                 // text is known, sealed is not
	personalSealed               // sealed is known; text is, too, after Open
	personalErased               // sealed is known, its key is destroyed
)

var (
	// ErrUnsealed is a Personal on its way into bytes without having been sealed.
	ErrUnsealed = errors.New("personal text is not sealed")
	// ErrForgotten is text to be sealed for a subject whose key was destroyed.
	ErrForgotten = errors.New("subject was forgotten")
	// ErrBroken is sealed text that was not sealed like this: changed, moved to another subject, or of an unknown key. It is
	// so for ever, unlike a key that cannot be asked for just now.
	ErrBroken = errors.New("sealed text is broken")
)

// NewPersonal is text about the subject. Empty text is the zero Personal.
func NewPersonal(subject UserID, text string) Personal {
	if text == "" {
		return Personal{}
	}
	return Personal{subject: subject, text: text, state: personalOpen}
}

// SealedPersonal is text as it is stored; it stays closed until Open.
func SealedPersonal(subject UserID, sealed []byte) Personal {
	return Personal{subject: subject, sealed: sealed, state: personalSealed}
}

// Reveal answers the text; false when there is none, when it was not opened or cannot be, or when its subject has been
// forgotten.
func (p Personal) Reveal() (string, bool) {
	switch {
	case p.state == personalEmpty || p.state == personalErased:
		return "", false
	case p.state == personalOpen || p.text != "":
		return p.text, true
	case p.keys == nil:
		return "", false
	}
	text, ok, err := p.keys.Open(nil, p.sealed)
	return string(text), ok && err == nil
}

// Text is the revealed text, or "" when there is none to reveal.
func (p Personal) Text() string { s, _ := p.Reveal(); return s }

// Subject is whom the text is about.
func (p Personal) Subject() UserID { return p.subject }

// Sealed is the text as it is stored, not to be changed; nil when it is not sealed.
func (p Personal) Sealed() []byte { return p.sealed }

// IsZero reports whether nothing is known; encoding/json leaves such a field out under `omitzero`.
func (p Personal) IsZero() bool { return p.state == personalEmpty }

// Erased reports whether the text was forgotten: the subject's key is destroyed.
func (p Personal) Erased() bool { return p.state == personalErased }

// Same reports whether both say the same about the same subject. Nothing is the same as nothing, whomever it is about, and what was
// forgotten of one person as what was forgotten of him.
func (p Personal) Same(q Personal) bool {
	if p.IsZero() || q.IsZero() {
		return p.IsZero() && q.IsZero()
	}
	if p.Erased() || q.Erased() {
		return p.Erased() && q.Erased() && p.subject == q.subject
	}
	a, okA := p.Reveal()
	b, okB := q.Reveal()
	return a == b && okA == okB && p.subject == q.subject
}

// Seal answers the same text with its sealed bytes; seal encrypts under the subject's key.
func (p Personal) Seal(seal func(subject UserID, text []byte) ([]byte, error)) (Personal, error) {
	if p.state != personalOpen {
		return p, nil
	}
	sealed, err := seal(p.subject, []byte(p.text))
	if err != nil {
		return Personal{}, fmt.Errorf("seal personal text: %w", err)
	}
	return Personal{subject: p.subject, text: p.text, sealed: sealed, state: personalSealed}, nil
}

// Open answers the text from its sealed bytes; open answers false when the subject's key is destroyed.
func (p Personal) Open(open func(subject UserID, sealed []byte) ([]byte, bool, error)) (Personal, error) {
	if p.state != personalSealed || p.text != "" {
		return p, nil
	}
	text, ok, err := open(p.subject, p.sealed)
	if err != nil {
		return Personal{}, fmt.Errorf("open personal text: %w", err)
	}
	if !ok {
		return Personal{subject: p.subject, sealed: p.sealed, state: personalErased}, nil
	}
	return Personal{subject: p.subject, text: string(text), sealed: p.sealed, state: personalSealed}, nil
}

// OpenLater answers the same text, which the keys open each time that it is asked for: for texts that few ask for. A text that
// turns out to be broken then reveals nothing.
func (p Personal) OpenLater(keys SubjectKeys) Personal {
	if p.state == personalSealed && p.text == "" {
		p.keys = keys
	}
	return p
}

// String implements fmt.Stringer without telling the text.
func (Personal) String() string { return "[personal]" }

// GoString implements fmt.GoStringer without telling the text.
func (Personal) GoString() string { return "[personal]" }

// LogValue implements slog.LogValuer without telling the text.
func (Personal) LogValue() slog.Value { return slog.StringValue("[personal]") }

type sealedJSON struct {
	Sealed  []byte `json:"sealed"`
	Subject UserID `json:"subject"`
}

// What is written for one sealed text: this, around base64 and a subject that needs no escaping. Reading a whole history is
// mostly reading these, so they do not take the long way through encoding/json, which says the same.
const (
	sealedPrefix  = `{"sealed":"`
	subjectPrefix = `","subject":"`
)

// plain reports whether encoding/json writes and reads the text as it is.
func plain[T ~string | ~[]byte](text T) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

// unmarshalPlain reads what MarshalJSON writes, and nothing else: false leaves p as it is.
func (p *Personal) unmarshalPlain(data []byte) bool {
	if len(data) < len(sealedPrefix) || string(data[:len(sealedPrefix)]) != sealedPrefix {
		return false
	}
	rest := data[len(sealedPrefix):]
	quote := bytes.IndexByte(rest, '"')
	if quote < 0 {
		return false
	}
	encoded, rest := rest[:quote], rest[quote:]
	if len(rest) < len(subjectPrefix)+len(`"}`) || string(rest[:len(subjectPrefix)]) != subjectPrefix || string(rest[len(rest)-2:]) != `"}` {
		return false
	}
	subject := rest[len(subjectPrefix) : len(rest)-2]
	// The decoder of base64 passes over line ends, which JSON does not have in a string.
	if !plain(subject) || bytes.IndexByte(encoded, '\n') >= 0 || bytes.IndexByte(encoded, '\r') >= 0 {
		return false
	}
	sealed := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(sealed, encoded)
	if err != nil {
		return false
	}
	*p = SealedPersonal(UserID(subject), sealed[:n])
	return true
}

// MarshalJSON writes the sealed bytes and the subject, and fails with ErrUnsealed where there are none.
func (p Personal) MarshalJSON() ([]byte, error) {
	switch p.state {
	case personalEmpty:
		return []byte("null"), nil
	case personalSealed, personalErased:
		if !plain(p.subject) {
			return json.Marshal(sealedJSON{Sealed: p.sealed, Subject: p.subject})
		}
		b := make([]byte, 0, len(sealedPrefix)+base64.StdEncoding.EncodedLen(len(p.sealed))+len(subjectPrefix)+len(p.subject)+len(`"}`))
		b = base64.StdEncoding.AppendEncode(append(b, sealedPrefix...), p.sealed)
		b = append(append(b, subjectPrefix...), p.subject...)
		return append(b, `"}`...), nil
	default:
		return nil, ErrUnsealed
	}
}

// UnmarshalJSON reads what MarshalJSON wrote. The text stays closed until Open.
func (p *Personal) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*p = Personal{}
		return nil
	}
	if p.unmarshalPlain(data) {
		return nil
	}
	var s sealedJSON
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("personal text: %w", err)
	}
	*p = SealedPersonal(s.Subject, s.Sealed)
	return nil
}
