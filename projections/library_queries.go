package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Library answers what there is.
type Library struct {
	view   View[Media]
	engine *Engine
	log    Times

	mu    sync.Mutex
	times map[eventstore.Position]time.Time // of moments asked for lately; guarded by mu
}

// rememberedTimes bounds how many moments' times are kept in memory.
const rememberedTimes = 1000

// NewLibrary makes the queries. The engine must run LibraryProjection; with SharesProjection beside it, what was shared with
// the viewer is there, too.
func NewLibrary(e *Engine, log Times) (*Library, error) {
	view, err := ViewOf(e, LibraryProjection())
	return &Library{view: view, engine: e, log: log, times: map[eventstore.Position]time.Time{}}, err
}

// Item is one item at a moment.
type Item struct {
	ID domain.MediaID
	Media
	Position eventstore.Position // of the event that made it what it is
}

// MediaQuery filters the library. The zero query is everything that is shown without being asked for, the newest first:
// all but what was refused, deleted or purged.
type MediaQuery struct {
	Text   string // words; each must be part of title, description, file name or tags, in whatever case
	Type   string // a MIME type, or the part before its slash
	Tag    string
	Status MediaStatus
	Owner  domain.UserID
	From   time.Time // created at or after
	To     time.Time // created before
	Sort   string    // created_at, updated_at, title, size; a leading - turns it round; "" is -created_at
	Page   Paging
}

// MediaPage is one part of what was found.
type MediaPage struct {
	Items []Item
	Total int64 // of all that matches; at most TotalLimit, or TotalLimitStaff, is counted
	More  bool  // there is more than Total
	Next  string
}

// How far Total counts, so that no list costs more the more there is. Lists over everybody's items, which nobody reads to the
// end, count less far.
const (
	TotalLimit      = 10_000
	TotalLimitStaff = 1_000
)

// Item is one item as of a moment, for whoever may know of it: its owner, members of its organisation, those whom it was shared
// with by name, moderators, auditors and admins. Errors: ErrHidden for everybody else.
func (l *Library) Item(ctx context.Context, viewer domain.Actor, id domain.MediaID, m Moment) (Item, error) {
	q, err := l.question(ctx, viewer, m)
	if err != nil {
		return Item{}, err
	}
	var either []string
	for _, b := range q.branches(true) {
		either = append(either, "("+b+")")
	}
	if len(either) == 0 {
		return Item{}, ErrHidden
	}
	sql := "select " + l.view.Columns("m") + " from library m where m.key = " + q.args.Add(string(id)) + " and " + q.at.Where("m", q.args) +
		" and (" + strings.Join(either, " or ") + ")"
	found, err := l.view.Query(ctx, sql, q.args)
	switch {
	case err != nil:
		return Item{}, err
	case len(found) == 0:
		return Item{}, ErrHidden
	}
	return itemOf(found[0]), nil
}

// Page is a part of what the viewer may know of, filtered and sorted. A cursor costs the same on every page; it goes on
// where the page before ended, as of the moment that is asked for.
func (l *Library) Page(ctx context.Context, viewer domain.Actor, query MediaQuery, m Moment) (MediaPage, error) {
	order, err := query.order()
	if err != nil {
		return MediaPage{}, err
	}
	if query.Page, err = query.Page.checked(); err != nil {
		return MediaPage{}, err
	}
	if query.Status != "" && !slices.Contains(MediaStatuses(), query.Status) {
		return MediaPage{}, domain.ErrInvalid.On("status").Because("there is no such status")
	}
	q, err := l.question(ctx, viewer, m)
	if err != nil {
		return MediaPage{}, err
	}
	q.filters(query)
	branches := q.branches(query.Status != "")
	if len(branches) == 0 {
		return MediaPage{}, nil
	}
	var page MediaPage
	after := ""
	if query.Page.Cursor != "" {
		place, err := decodeCursor(query.bound(viewer, m), query.Page.Cursor, 3)
		if err != nil {
			return MediaPage{}, err
		}
		total, err := strconv.ParseInt(place[2], 10, 64)
		if err != nil {
			return MediaPage{}, errCursor()
		}
		page.count(total, q.countTo(query))
		after = order.after(place, q.args)
	} else {
		total, keys, err := l.count(ctx, q, branches, query)
		if err != nil {
			return MediaPage{}, err
		}
		if query.Text != "" && len(keys) <= few {
			q.filter = append(q.filter, "m.key = any("+q.args.Add(keys)+")")
		}
		page.count(total, q.countTo(query))
	}
	return page, l.fill(ctx, &page, q, branches, query, order, after, query.bound(viewer, m))
}

func (p *MediaPage) count(total, limit int64) { p.Total, p.More = min(total, limit), total > limit }

func (q *mediaQuestion) staff() bool { return isStaff(q.viewer) }

func (q *mediaQuestion) countTo(query MediaQuery) int64 {
	if query.Owner == "" && q.staff() {
		return TotalLimitStaff
	}
	return TotalLimit
}

// few is how many matches of a search are remembered between counting them and showing them.
const few = 100

// count tells how many items match, at most one more than asked for. Where a text is searched and few have it, their keys come
// along: to find them once is the whole cost.
func (l *Library) count(ctx context.Context, q *mediaQuestion, branches []string, query MediaQuery) (total int64, keys []string, err error) {
	limit := " limit " + strconv.FormatInt(q.countTo(query)+1, 10)
	// Over everybody's items the count walks along an index and ends where it has enough; without an order it would be planned
	// as a scan of all there is. A search, which may find nothing until the end, and an owner's items are counted as is cheapest.
	walk := ""
	if q.staff() && query.Owner == "" && query.Text == "" {
		walk = " order by m.created_at desc, m.key desc"
	}
	parts := make([]string, len(branches))
	for i, b := range branches {
		parts[i] = "(select m.key from library m where " + q.where(b) + walk + limit + ")"
	}
	found := "(select key from (" + strings.Join(parts, " union all ") + ") as each_found" + limit + ") as found"
	if query.Text == "" {
		total, err = Value[int64](ctx, l.view, "select count(*) from "+found, q.args)
		return total, nil, err
	}
	keys, err = Value[[]string](ctx, l.view, "select coalesce(array_agg(key), '{}') from "+found, q.args)
	return int64(len(keys)), keys, err
}

func (l *Library) fill(ctx context.Context, page *MediaPage, q *mediaQuestion, branches []string, query MediaQuery, order mediaOrder, after, bound string) error {
	offset := 0
	if query.Page.Cursor == "" {
		offset = query.Page.Offset
	}
	// Each branch is an index scan that ends early; together they hold the page.
	need := strconv.Itoa(offset + query.Page.Size + 1)
	parts := make([]string, len(branches))
	for i, b := range branches {
		parts[i] = "(select " + l.view.Columns("m") + " from library m where " + q.where(b) + after + " order by " + order.by("m.") + " limit " + need + ")"
	}
	sql := "select * from (" + strings.Join(parts, " union all ") + ") m order by " + order.by("m.") + " limit " +
		strconv.Itoa(query.Page.Size+1) + " offset " + strconv.Itoa(offset)
	found, err := l.view.Query(ctx, sql, q.args)
	if err != nil {
		return err
	}
	if len(found) > query.Page.Size {
		found = found[:query.Page.Size]
		total := page.Total
		if page.More {
			total++
		}
		page.Next = encodeCursor(bound, append(order.place(found[len(found)-1]), strconv.FormatInt(total, 10)))
	}
	for _, v := range found {
		page.Items = append(page.Items, itemOf(v))
	}
	return nil
}

// SeesVersions reports whether the viewer sees more than the current version: what a file was before it was shared is not the
// recipient's to know.
func (it Item) SeesVersions(viewer domain.Actor) bool {
	return viewer.ID == it.Owner || viewer.MemberOf(it.Org) || isStaff(viewer)
}

// HandedTo is Handed for a viewer who may see the item.
func (it Item) HandedTo(viewer domain.Actor, v FileVersion) (object domain.ObjectKey, size int64, sha256 domain.Digest) {
	return it.Handed(v, viewer.ID == it.Owner || isStaff(viewer))
}

// ReasonsFor are the codes for which an upload was refused, for everybody who sees it; or those for which screening withholds a version
// (0: the current one), for the item's owner alone: others are told what screening said, if at all, by the chain of moderation.
func (it Item) ReasonsFor(viewer domain.Actor, version int) []string {
	if version == 0 {
		version = it.Version
	}
	if v := it.version(version); v != nil && viewer.Known() && viewer.ID == it.Owner {
		return v.Reasons
	}
	return it.Reasons
}

func itemOf(v Version[Media]) Item {
	return Item{ID: domain.MediaID(v.Key), Media: v.Row, Position: v.From}
}

// bound is what a cursor of the query is valid for.
func (q MediaQuery) bound(viewer domain.Actor, m Moment) string {
	q.Page = Paging{}
	data, err := json.Marshal([]any{q, viewer, m.position, m.time, m.kind})
	if err != nil {
		return "" // cannot be: plain strings and times
	}
	return LibraryName + string(data)
}

// mediaOrder is how a list is sorted, the key deciding among equals.
type mediaOrder struct {
	column string
	typ    string
	down   bool
	value  func(Media) string
}

func (q MediaQuery) order() (mediaOrder, error) {
	name, down := strings.CutPrefix(q.Sort, "-")
	if q.Sort == "" {
		name, down = "created_at", true
	}
	switch name {
	case "created_at":
		return mediaOrder{"created_at", "timestamptz", down, func(m Media) string { return placeTime(m.Created) }}, nil
	case "updated_at":
		return mediaOrder{"updated_at", "timestamptz", down, func(m Media) string { return placeTime(m.Updated) }}, nil
	case "title":
		return mediaOrder{"title_key", "text", down, func(m Media) string { return m.TitleKey }}, nil
	case "size":
		return mediaOrder{"size", "bigint", down, func(m Media) string { return strconv.FormatInt(m.Size, 10) }}, nil
	}
	return mediaOrder{}, domain.ErrInvalid.On("sort").Because("accepted are created_at, updated_at, title, size, each also with a leading -")
}

func (o mediaOrder) by(alias string) string {
	if o.down {
		return alias + o.column + " desc, " + alias + "key desc"
	}
	return alias + o.column + ", " + alias + "key"
}

// after is the condition that a row comes after the place. It is one row comparison, which an index can begin at.
func (o mediaOrder) after(place []string, args *Args) string {
	sign := ">"
	if o.down {
		sign = "<"
	}
	return fmt.Sprintf(" and (m.%s, m.key) %s (%s::text::%s, %s)", o.column, sign, args.Add(place[0]), o.typ, args.Add(place[1]))
}

func (o mediaOrder) place(v Version[Media]) []string { return []string{o.value(v.Row), v.Key} }
