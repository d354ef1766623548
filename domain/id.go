package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// Ids of things are UUIDs in their canonical lower-case form. A new thing gets a version 7 (made in commands), a thing that
// follows from another a version 5 (Derive), so that asking twice names the same thing.
type (
	MediaID string // one uploaded photo, video or document, with all its versions
	ShareID string // one grant of access
	CaseID  string // one moderation case

	FindingID string // one kind of thing found in one place of a media item
)

// Ids of people and organisations come from the identity provider. They are pseudonyms (`sub`), never names.
type (
	UserID string // the `sub` of a person or program
	OrgID  string // the `org` claim: a partner organisation
)

// Digest is a SHA-256 in lower-case hex, 64 characters.
type Digest string

// DigestOf is the SHA-256 of a text.
func DigestOf(text string) Digest {
	sum := sha256.Sum256([]byte(text))
	return Digest(hex.EncodeToString(sum[:]))
}

// ObjectKey names bytes in the blob store. It is random, and isolated per owner; it says nothing about a file's name.
type ObjectKey string

// ParseMediaID reads an id as clients send it.
func ParseMediaID(s string) (MediaID, error) { return ParseID[MediaID](s, "media_id") }

// ParseShareID reads an id as clients send it.
func ParseShareID(s string) (ShareID, error) { return ParseID[ShareID](s, "share_id") }

// ParseCaseID reads an id as clients send it.
func ParseCaseID(s string) (CaseID, error) { return ParseID[CaseID](s, "case_id") }

// ParseFindingID reads an id as clients send it.
func ParseFindingID(s string) (FindingID, error) { return ParseID[FindingID](s, "finding_id") }

// ParseDigest reads a SHA-256 in hex, of either case.
func ParseDigest(s string) (Digest, error) {
	if len(s) != 64 || strings.Trim(strings.ToLower(s), "0123456789abcdef") != "" {
		return "", ErrInvalid.On("sha256").Because("a SHA-256 has 64 hexadecimal digits")
	}
	return Digest(strings.ToLower(s)), nil
}

// ParseID reads the id of a thing that has no parser of its own; a refusal names the field.
func ParseID[T ~string](s, field string) (T, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return "", ErrInvalid.On(field).Because("an id is a UUID such as 0190b5a4-7f3e-7c2a-9d55-0c7d3f1f6e21")
	}
	return T(id.String()), nil
}

// namespace is the root of the ids that are derived from others (RFC 9562, version 5).
var namespace = uuid.MustParse("5f0c4b7e-7b0a-5d86-9c38-6f8f0b7b3a11")

// Derive makes the id that follows from the parts: the same parts give the same id, for ever.
func Derive(parts ...string) uuid.UUID {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\x00")))
}
