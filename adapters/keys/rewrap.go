package keys

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/mediavault-io/mediavault/domain"
)

// Rewrap wraps anew, under the current master key, every key that an older one wraps, and answers how many. After it, the
// older masters can be left out. It can be stopped, called again, and called by several processes at once; sealing and
// opening go on meanwhile.
func (r *Ring) Rewrap(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := r.rewrapSome(ctx)
		if total += n; err != nil || n == 0 {
			return total, err
		}
	}
}

func (r *Ring) rewrapSome(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	n := 0
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT subject, number, master, wrapped FROM subject_keys
			WHERE wrapped IS NOT NULL AND master <> $1 ORDER BY subject, number LIMIT 500 FOR UPDATE`, r.masters.current)
		if err != nil {
			return err
		}
		type wrappedKey struct {
			Subject domain.UserID
			Number  int32
			Master  string
			Wrapped []byte
		}
		old, err := pgx.CollectRows(rows, pgx.RowToStructByPos[wrappedKey])
		if err != nil {
			return err
		}
		b := &pgx.Batch{}
		for _, k := range old {
			key, err := r.masters.unwrap(k.Subject, k.Number, k.Master, k.Wrapped)
			if err != nil {
				return err
			}
			b.Queue(`UPDATE subject_keys SET master = $3, wrapped = $4 WHERE subject = $1 AND number = $2`,
				string(k.Subject), k.Number, r.masters.current, r.masters.wrap(k.Subject, k.Number, key))
		}
		n = len(old)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("wrap subjects' keys anew: %w", err)
	}
	return n, nil
}
