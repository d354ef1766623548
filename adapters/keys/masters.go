// Package keys keeps the keys under which text about people is sealed: one per subject, in Postgres, wrapped by a master key
// that is not. To destroy a subject's key is to forget the subject. It knows nothing of events.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mediavault-io/mediavault/domain"
)

// ErrMaster is a master key that is missing or not of the form that is accepted.
var ErrMaster = errors.New("master key")

const keySize = 32 // bytes, AES-256

// Masters are the keys that wrap the subjects' keys. The first one wraps; all of them unwrap, so that a master key is
// replaced by putting a new one first, calling Ring.Rewrap, and then leaving the old one out.
type Masters struct {
	current string // fingerprint
	known   map[string]cipher.AEAD
}

// NewMaster makes a master key, in base64.
func NewMaster() string {
	key := make([]byte, keySize)
	rand.Read(key) //nolint:errcheck // it never fails
	return base64.StdEncoding.EncodeToString(key)
}

// ParseMasters reads master keys from a setting: each is 32 bytes in base64 or hex; several are parted by commas or
// blanks, the current one first. Its errors are ErrMaster and never contain the key.
func ParseMasters(setting string) (Masters, error) {
	m := Masters{known: map[string]cipher.AEAD{}}
	for i, text := range strings.FieldsFunc(setting, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		key, err := decodeKey(text)
		if err != nil {
			return Masters{}, fmt.Errorf("%w %d: %w", ErrMaster, i+1, err)
		}
		aead, err := newAEAD(key)
		if err != nil {
			return Masters{}, fmt.Errorf("%w %d: %w", ErrMaster, i+1, err)
		}
		sum := sha256.Sum256(append([]byte("mediavault master key\x00"), key...))
		id := hex.EncodeToString(sum[:8])
		if m.known[id] = aead; m.current == "" {
			m.current = id
		}
	}
	if m.current == "" {
		return Masters{}, fmt.Errorf("%w: there is none; make one with `openssl rand -base64 32`", ErrMaster)
	}
	return m, nil
}

// Current is the fingerprint of the master key that wraps. It can be shown.
func (m Masters) Current() string { return m.current }

func decodeKey(text string) ([]byte, error) {
	if len(text) == 2*keySize {
		if key, err := hex.DecodeString(text); err == nil {
			return key, nil
		}
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := enc.Strict().DecodeString(text); err == nil && len(key) == keySize {
			return key, nil
		}
	}
	return nil, fmt.Errorf("has %d characters that are not 32 bytes in base64 (44 characters) or hex (64)", len(text))
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// format is the first byte of whatever is sealed or wrapped here: AES-256-GCM with a random nonce in front.
const format = 1

// bound is what a ciphertext is bound to, so that it cannot be passed off as another's: what it is, the number of the key, and
// the subject.
func bound(what string, number int32, subject domain.UserID) []byte {
	b := binary.BigEndian.AppendUint32([]byte(what), uint32(number)) //nolint:gosec // numbers are counted from 1
	return append(b, subject...)
}

func (m Masters) wrap(subject domain.UserID, number int32, key []byte) []byte {
	aead := m.known[m.current]
	wrapped := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(key)+aead.Overhead())
	wrapped[0] = format
	rand.Read(wrapped[1:]) //nolint:errcheck // it never fails
	return aead.Seal(wrapped, wrapped[1:], key, bound("mediavault key\x00", number, subject))
}

func (m Masters) unwrap(subject domain.UserID, number int32, master string, wrapped []byte) ([]byte, error) {
	aead, ok := m.known[master]
	if !ok {
		return nil, fmt.Errorf("%w %s wraps the key of a subject, but is not configured", ErrMaster, master)
	}
	if len(wrapped) < 1+aead.NonceSize() || wrapped[0] != format {
		return nil, fmt.Errorf("%w: key %d of a subject is of an unknown format", domain.ErrBroken, number)
	}
	nonce, sealed := wrapped[1:1+aead.NonceSize()], wrapped[1+aead.NonceSize():]
	key, err := aead.Open(nil, nonce, sealed, bound("mediavault key\x00", number, subject))
	if err != nil {
		return nil, fmt.Errorf("%w: key %d of a subject is not what master key %s wrapped", domain.ErrBroken, number, master)
	}
	return key, nil
}
