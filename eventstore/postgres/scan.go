package postgres

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mediavault-io/mediavault/eventstore"
)

// A scan walks the whole log, or what a filter lets through, between two positions.
//
// There are two ways, and it changes from one to the other by what it meets. Dense: walk all positions of a window and let
// Postgres drop what does not match; best where much matches. Sparse: take the next positions from the blocks in which each
// wanted type or category is, merge them, and fetch only those; best where little matches, and never worse than that by more
// than the number of wanted names. Positions behind the last whole block are walked.
type scan struct {
	log           *Log
	filter        eventstore.Filter
	backward      bool
	after, before eventstore.Position // both exclusive; what is left to walk
	left          int                 // events
	sparse        bool
	size          int // events to ask for; 0: a page
	room          int // for as many events as the page before had
}

type scanned struct {
	events  []eventstore.Raw
	through eventstore.Position // how far the walk came: all that matches up to here, or down to here, has been handed over
}

const (
	window   = 4 * pageEvents // positions of a dense step under a filter
	thinOut  = 16             // go sparse when fewer than one in so many matches
	thickens = 4              // go dense when more than one in so many matches
)

// In the dense statement the conditions on names are written so that no index on them can be used, in the sparse ones the row
// comparisons so that only that index can: the scan chooses, not the planner, whose statistics are old or missing.
const (
	denseSQL = `SELECT ` + columns + ` FROM events e
		WHERE e.position > $1 AND e.position < $2
		AND ($3::text[] IS NULL OR split_part(e.stream, '-', 1) = ANY ($3)) AND ($4::text[] IS NULL OR e.type = ANY ($4))
		ORDER BY e.position LIMIT $5`

	sparseSQL = `SELECT ` + columns + ` FROM (
			SELECT p.position FROM unnest($3::text[]) AS wanted(name) CROSS JOIN LATERAL (
				SELECT i.block * 1024 + i.place + 1 AS position
				FROM (SELECT b.<column>, b.block, unnest(b.places) AS place FROM events_blocks b
					WHERE (b.<column>, b.block) >= (wanted.name COLLATE "C", $1 / 1024) AND (b.<column>, b.block) <= (wanted.name COLLATE "C", ($2 - 2) / 1024)
					ORDER BY b.<column>, b.block) AS i
				WHERE i.block * 1024 + i.place + 1 > $1 AND i.block * 1024 + i.place + 1 < $2
				ORDER BY i.<column>, i.block, i.place LIMIT $4
			) AS p ORDER BY p.position LIMIT $4
		) AS p CROSS JOIN LATERAL (SELECT ` + columns + ` FROM events e WHERE e.position = p.position OFFSET 0) AS e
		ORDER BY e.position`
)

// statements are the forms of the two statements, made once.
type statements struct{ dense, byType, byCategory string }

var forwards, backwards = statementsOf(false), statementsOf(true)

func statementsOf(backward bool) statements {
	turn := func(sql string) string { return sql }
	if backward {
		turn = strings.NewReplacer(
			"ORDER BY e.position", "ORDER BY e.position DESC",
			"ORDER BY p.position", "ORDER BY p.position DESC",
			"ORDER BY b.<column>, b.block", "ORDER BY b.<column> DESC, b.block DESC",
			"ORDER BY i.<column>, i.block, i.place", "ORDER BY i.<column> DESC, i.block DESC, i.place DESC").Replace
	}
	return statements{
		dense:      turn(denseSQL),
		byType:     strings.ReplaceAll(turn(sparseSQL), "<column>", "type"),
		byCategory: strings.ReplaceAll(turn(sparseSQL), "<column>", "category"),
	}
}

// next reads the next page.
func (s *scan) next(ctx context.Context) (scanned, error) {
	sql := &forwards
	if s.backward {
		sql = &backwards
	}
	filtered := len(s.filter.Categories)+len(s.filter.Types) > 0
	categories, types := names(s.filter.Categories), names(s.filter.Types)
	after, before, sparse := s.bounds()
	both := sparse && categories != nil && types != nil // Postgres looks for types, and categories are looked at here
	if s.size == 0 {
		s.size = pageEvents
	}
	limit := min(s.left, s.size)
	if both {
		limit = s.size
	}
	var (
		page []eventstore.Raw
		full bool
		err  error
	)
	switch {
	case !sparse:
		if filtered { // not past the window
			if s.backward {
				after = max(after, before-1-window)
			} else {
				before = min(before, after+1+window)
			}
		}
		page, full, err = s.log.page(ctx, sql.dense, s.room, int64(after), int64(before), categories, types, limit)
	case types != nil:
		page, full, err = s.log.page(ctx, sql.byType, s.room, int64(after), int64(before), types, limit)
	default:
		page, full, err = s.log.page(ctx, sql.byCategory, s.room, int64(after), int64(before), categories, limit)
	}
	if err != nil {
		return scanned{}, err
	}
	from := s.after
	if s.backward {
		from = s.before
	}
	found := len(page)
	s.room = found
	s.size = nextSize(max(limit, s.size), page, full && found < limit)
	s.advance(page, full, after, before)
	if filtered {
		s.choose(found, from)
	}
	if both {
		page = slices.DeleteFunc(page, func(raw eventstore.Raw) bool { return !slices.Contains(categories, raw.Stream.Category()) })
		page = page[:min(len(page), s.left)]
	}
	s.left -= len(page)
	return s.result(page), nil
}

// bounds answers what the next step may ask for, and whether by blocks: those that are not whole yet are not there.
func (s *scan) bounds() (after, before eventstore.Position, sparse bool) {
	after, before = s.after, s.before
	whole := (before - 1) / blockSize * blockSize // the last position of the last whole block
	switch {
	case !s.sparse:
		return after, before, false
	case s.backward && before-1 > whole:
		return max(after, whole), before, false
	case !s.backward && after >= whole:
		return after, before, false
	default:
		return after, min(before, whole+1), true
	}
}

// advance moves the near bound behind what was read. When the page was not full, that is the whole of what was asked for.
func (s *scan) advance(page []eventstore.Raw, full bool, after, before eventstore.Position) {
	switch {
	case s.backward && full:
		s.before = page[len(page)-1].Position
	case s.backward:
		s.before = after + 1
	case full:
		s.after = page[len(page)-1].Position
	default:
		s.after = before - 1
	}
}

func (s *scan) choose(matched int, from eventstore.Position) {
	walked := s.after - from
	if s.backward {
		walked = from - s.before
	}
	if n := eventstore.Position(matched); s.sparse {
		s.sparse = n*thickens <= walked
	} else {
		s.sparse = n*thinOut < walked
	}
}

func (s *scan) result(page []eventstore.Raw) scanned {
	if s.backward {
		return scanned{events: page, through: s.before}
	}
	return scanned{events: page, through: s.after}
}

func (s *scan) done() bool { return s.left <= 0 || s.after+1 >= s.before }

// names answers each name once; nil asks for none in particular.
func names(wanted []string) []string {
	if len(wanted) == 0 {
		return nil
	}
	kept := make([]string, 0, len(wanted))
	for _, n := range wanted {
		if !strings.ContainsRune(n, 0) && !slices.Contains(kept, n) { // no text in Postgres has a NUL, so nothing is named so
			kept = append(kept, n)
		}
	}
	return kept
}

// pages walks to the end, reading one page ahead of its caller. It waits for its goroutine before it returns.
func (s *scan) pages(ctx context.Context) iter.Seq2[scanned, error] {
	return func(yield func(scanned, error) bool) {
		for ahead := 0; !s.done(); ahead++ {
			if ahead == 1 { // a second page: a long read
				s.pagesAhead(ctx, yield)
				return
			}
			p, err := s.next(ctx)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func (s *scan) pagesAhead(ctx context.Context, yield func(scanned, error) bool) {
	type result struct {
		scanned
		err error
	}
	var (
		results = make(chan result, 1)
		stop    = make(chan struct{})
		over    atomic.Bool
	)
	go func() {
		defer close(results)
		for !s.done() && !over.Load() {
			p, err := s.next(ctx)
			select {
			case results <- result{p, err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		over.Store(true)
		close(stop)
		for range results { //nolint:revive // waits for the goroutine; a page on its way is let come, to keep its connection
		}
	}()
	for r := range results {
		if !yield(r.scanned, r.err) || r.err != nil {
			return
		}
	}
}
