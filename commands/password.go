package commands

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/share"
)

// What one hash costs (RFC 9106, 4, second recommendation, with less memory: OWASP's minimum is 19 MiB and two passes).
const (
	argonMemory  = 32 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonKey     = 32 // bytes
	argonSalt    = 16 // bytes

	hashing = 2 // hashes at once: 64 MiB together
)

// How long the password of a link is, in characters. The least is NIST's for a password that is not the only secret (SP 800-63B-4,
// 3.1.1.2): there is the link's token beside it.
const (
	minPassword = 8
	maxPassword = 1024
)

// Passwords hashes and compares the passwords of links, no more than two at once: a hash is meant to be dear, and a flood of
// guesses must not take the memory that everything else needs. What was right is remembered for a short time, so that a player
// that asks for a hundred ranges pays once.
type Passwords struct {
	slots chan struct{} // a token for each hash that is being made
	key   []byte        // of this process; what is remembered means nothing elsewhere
	now   func() time.Time

	mu    sync.Mutex // guards right
	right map[[sha256.Size]byte]time.Time
}

// How much of what was right is remembered.
const (
	rememberFor = 5 * time.Minute
	rememberMax = 10_000
)

// NewPasswords makes a hasher with the clock.
func NewPasswords(now func() time.Time) *Passwords {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return &Passwords{slots: make(chan struct{}, hashing), key: key, now: now, right: map[[sha256.Size]byte]time.Time{}}
}

// Hash answers the password's argon2id hash as a PHC string.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword || !utf8.ValidString(password) {
		return "", domain.ErrInvalid.On("password").Because("a password has 8 to 1,024 characters")
	}
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	sum, err := p.derive(ctx, password, salt, argonTime, argonMemory, argonThreads, argonKey)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// Match reports whether the password is the one behind the PHC string.
func (p *Passwords) Match(ctx context.Context, phc, password string) (bool, error) {
	if password == "" || utf8.RuneCountInString(password) > maxPassword {
		return false, nil
	}
	known := p.ticket(phc, password)
	if p.remembers(known) {
		return true, nil
	}
	h, err := parsePHC(phc)
	if err != nil {
		return false, err
	}
	sum, err := p.derive(ctx, password, h.salt, h.time, h.memory, h.threads, uint32(len(h.sum))) //nolint:gosec // parsePHC bounds it
	if err != nil {
		return false, err
	}
	if subtle.ConstantTimeCompare(sum, h.sum) != 1 {
		return false, nil
	}
	p.remember(known)
	return true, nil
}

// check compares a password with a link's hash, where there is one.
func (p *Passwords) check(ctx context.Context, hash, password string) (share.Password, error) {
	if hash == "" || password == "" {
		return share.PasswordMissing, nil
	}
	right, err := p.Match(ctx, hash, password)
	if err != nil {
		return share.PasswordMissing, err
	}
	if !right {
		return share.PasswordWrong, nil
	}
	return share.PasswordRight, nil
}

func (p *Passwords) derive(ctx context.Context, password string, salt []byte, time, memory uint32, threads uint8, size uint32) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	// The same letters are the same password, however a keyboard composes them (RFC 8265, section 4.2).
	return argon2.IDKey(norm.NFC.Bytes([]byte(password)), salt, time, memory, threads, size), nil
}

func (p *Passwords) ticket(phc, password string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(phc + "\x00" + password))
	return [sha256.Size]byte(mac.Sum(nil))
}

func (p *Passwords) remembers(ticket [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.right[ticket]
	return ok && p.now().Before(until)
}

func (p *Passwords) remember(ticket [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.right) >= rememberMax {
		clear(p.right)
	}
	p.right[ticket] = p.now().Add(rememberFor)
}

type phcHash struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

var errPHC = errors.New("password hash is not an argon2id PHC string")

// parsePHC reads what Hash wrote. Costs are bounded: a stored string must not be able to ask for all memory.
func parsePHC(phc string) (phcHash, error) {
	fields := strings.Split(phc, "$")
	if len(fields) != 6 || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phcHash{}, errPHC
	}
	var h phcHash
	if n, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); n != 3 || err != nil {
		return phcHash{}, errPHC
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(fields[4]); err != nil {
		return phcHash{}, errPHC
	}
	if h.sum, err = base64.RawStdEncoding.DecodeString(fields[5]); err != nil {
		return phcHash{}, errPHC
	}
	if h.memory > 1<<20 || h.time < 1 || h.time > 16 || h.threads < 1 || h.threads > 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return phcHash{}, errPHC
	}
	return h, nil
}
