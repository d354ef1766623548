package keys

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mediavault-io/mediavault/domain"
)

// Known reports whether the subject has, or ever had, a key: whether anything was sealed for it.
func (r *Ring) Known(ctx context.Context, subject domain.UserID) (bool, error) {
	if strings.ContainsRune(string(subject), 0) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var known bool
	if err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM subject_keys WHERE subject = $1)`, string(subject)).Scan(&known); err != nil {
		return false, fmt.Errorf("look for a subject's keys: %w", err)
	}
	return known, nil
}

// Life is for how long any process goes on opening texts of a subject whose keys were destroyed, where it did not hear of it. What
// is read from the log later than that is closed everywhere.
func (r *Ring) Life() time.Duration { return r.life }

// OnForgotten has f called when a subject was forgotten, by whatever process, and when it is not known whether one was: for who
// remembers opened texts. It must be quick.
func (r *Ring) OnForgotten(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, f)
}

func (r *Ring) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.told {
		f()
	}
}
