package storetest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"

	"github.com/mediavault-io/mediavault/domain"
)

// MemoryKeys are keys in memory, for tests of whatever needs a codec.
type MemoryKeys struct {
	mu   sync.Mutex
	keys map[domain.UserID]cipher.AEAD // guarded by mu; nil: destroyed
}

// Keys makes keys in memory.
func Keys() *MemoryKeys { return &MemoryKeys{keys: map[domain.UserID]cipher.AEAD{}} }

// Destroy forgets the subject.
func (k *MemoryKeys) Destroy(_ context.Context, subject domain.UserID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[subject] = nil
	return nil
}

// Seal implements eventstore.Keys.
func (k *MemoryKeys) Seal(_ context.Context, subject domain.UserID, text []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	aead, ok := k.keys[subject]
	if !ok {
		key := make([]byte, 32)
		rand.Read(key) //nolint:errcheck // it never fails
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if aead, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
		k.keys[subject] = aead
	}
	if aead == nil {
		return nil, domain.ErrForgotten
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) //nolint:errcheck // it never fails
	return aead.Seal(nonce, nonce, text, []byte(subject)), nil
}

// Open implements eventstore.Keys.
func (k *MemoryKeys) Open(_ context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	aead, ok := k.keys[subject]
	switch {
	case !ok:
		return nil, false, domain.ErrBroken
	case aead == nil:
		return nil, false, nil
	case len(sealed) < aead.NonceSize():
		return nil, false, domain.ErrBroken
	}
	text, err := aead.Open(nil, sealed[:aead.NonceSize()], bytes.Clone(sealed[aead.NonceSize():]), []byte(subject))
	if err != nil {
		return nil, false, domain.ErrBroken
	}
	return text, true, nil
}
