package storetest

import (
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
func (k *MemoryKeys) Open(ctx context.Context, subject domain.UserID, sealed []byte) ([]byte, bool, error) {
	keys, err := k.Subject(ctx, subject, nil)
	if err != nil {
		return nil, false, err
	}
	return keys.Open(nil, sealed)
}

// Subject implements eventstore.KeyRing.
func (k *MemoryKeys) Subject(_ context.Context, subject domain.UserID, _ func() []domain.UserID) (domain.SubjectKeys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	aead, ok := k.keys[subject]
	return memorySubject{subject: subject, aead: aead, known: ok}, nil
}

type memorySubject struct {
	subject domain.UserID
	aead    cipher.AEAD
	known   bool
}

// Destroyed implements domain.SubjectKeys.
func (m memorySubject) Destroyed() bool { return m.known && m.aead == nil }

// Has implements domain.SubjectKeys.
func (m memorySubject) Has([]byte) bool { return m.aead != nil }

// Open implements domain.SubjectKeys.
func (m memorySubject) Open(dst, sealed []byte) ([]byte, bool, error) {
	switch {
	case m.Destroyed():
		return nil, false, nil
	case m.aead == nil || len(sealed) < m.aead.NonceSize():
		return nil, false, domain.ErrBroken
	}
	text, err := m.aead.Open(dst, sealed[:m.aead.NonceSize()], sealed[m.aead.NonceSize():], []byte(m.subject))
	if err != nil {
		return nil, false, domain.ErrBroken
	}
	return text, true, nil
}
