package keys

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// subjectKeys are the keys of one subject. It never changes once it is in the cache.
type subjectKeys struct {
	loaded    time.Time
	destroyed bool
	current   int32     // 0: there is none
	made      time.Time // when the current one was
	keys      map[int32]dataKey
	broken    error // a key could not be unwrapped; then they are not kept
}

// Destroyed implements domain.SubjectKeys.
func (k *subjectKeys) Destroyed() bool { return k.destroyed }

// Has implements domain.SubjectKeys.
func (k *subjectKeys) Has(sealed []byte) bool {
	if len(sealed) < sealedAt || sealed[0] != format {
		return false
	}
	_, ok := k.keys[numberOf(sealed)]
	return ok
}

// Open implements domain.SubjectKeys.
func (k *subjectKeys) Open(dst, sealed []byte) ([]byte, bool, error) {
	switch {
	case k.destroyed:
		return nil, false, nil
	case len(sealed) < sealedAt || sealed[0] != format:
		return nil, false, fmt.Errorf("%w: its format is not known", domain.ErrBroken)
	}
	key, ok := k.keys[numberOf(sealed)]
	if !ok {
		return nil, false, fmt.Errorf("%w: there is no key %d of its subject", domain.ErrBroken, numberOf(sealed))
	}
	text, err := key.Open(dst, sealed[nonceAt:sealedAt], sealed[sealedAt:], key.bound)
	if err != nil {
		return nil, false, fmt.Errorf("%w: it was changed, or is another subject's", domain.ErrBroken)
	}
	return text, true, nil
}

// numberOf is the number of the key that sealed a text.
func numberOf(sealed []byte) int32 {
	return int32(binary.BigEndian.Uint32(sealed[numberAt:])) //nolint:gosec // what is out of range has no key
}

// dataKey is one key of a subject, with what it binds ciphertexts to.
type dataKey struct {
	cipher.AEAD
	bound []byte
}

func newDataKey(subject domain.UserID, number int32, key []byte) (dataKey, error) {
	aead, err := newAEAD(key)
	return dataKey{AEAD: aead, bound: bound("mediavault personal\x00", number, subject)}, err
}

// cache holds the keys of the subjects that were used lately, in two generations: what is used moves to the young one, and
// when that is full the old one is dropped. So it is bounded and needs no bookkeeping at each use.
type cache struct {
	most int // subjects of a generation
	life time.Duration

	mu    sync.RWMutex
	young map[domain.UserID]*subjectKeys // guarded by mu
	old   map[domain.UserID]*subjectKeys // guarded by mu
	epoch int64                          // guarded by mu; grows when something is dropped
}

func newCache(subjects int, life time.Duration) *cache {
	c := &cache{most: max(subjects/2, 1), life: life}
	c.drop()
	return c
}

// get answers what is known of a subject, and the epoch to give to put when nothing is.
func (c *cache) get(subject domain.UserID, now time.Time) (*subjectKeys, int64) {
	c.mu.RLock()
	k, epoch := c.young[subject], c.epoch
	aged := false
	if k == nil {
		k = c.old[subject]
		aged = k != nil
	}
	c.mu.RUnlock()
	if k == nil || (now.Sub(k.loaded) >= c.life && !k.destroyed) { // what is destroyed stays so
		return nil, epoch
	}
	if aged {
		c.put(subject, k, epoch)
	}
	return k, epoch
}

// put keeps what was read, unless something was dropped since the epoch: it may have been read before that.
func (c *cache) put(subject domain.UserID, k *subjectKeys, epoch int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	if len(c.young) >= c.most {
		c.old, c.young = c.young, make(map[domain.UserID]*subjectKeys, c.most)
	}
	c.young[subject] = k
}

// forget drops one subject.
func (c *cache) forget(subject domain.UserID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.young, subject)
	delete(c.old, subject)
}

// drop drops everything.
func (c *cache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.young, c.old = map[domain.UserID]*subjectKeys{}, nil
}
