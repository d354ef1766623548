package streamapi

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// meta is what is known of a stream beside its events: what its $$ stream said last, and whether it was closed for ever.
type meta struct {
	revision eventstore.Revision // of the $$ stream that says so
	closed   eventstore.Position // of its $streamDeleted; 0: it is open
	maxAge   time.Duration       // 0: none
	maxCount int64               // 0: none
	before   int64               // $tb: events before are not shown; forgotten: the stream is deleted until it is written again
	acl      acl
}

const forgotten = math.MaxInt64

func (m *meta) deleted() bool { return m.before == forgotten }

// acl says who may do what with a stream. nil lists leave it to the principal's grants.
type acl struct {
	Read, Write, Delete, MetaRead, MetaWrite []string
}

func (acl) allows(list []string, p Principal) bool {
	return list == nil || p.Admin() || slices.Contains(list, "$all") || slices.Contains(list, p.ID) ||
		slices.ContainsFunc(p.Roles, func(r string) bool { return slices.Contains(list, r) })
}

// metaOf reads the data of a $metadata event. What is not as EventStoreDB writes it is as if it were not there.
func metaOf(data []byte) meta {
	m := meta{}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return m
	}
	number := func(key string) int64 {
		var n int64
		if json.Unmarshal(members[key], &n) != nil || n < 0 {
			return 0
		}
		return n
	}
	m.maxCount, m.before = number("$maxCount"), number("$tb")
	if seconds := number("$maxAge"); seconds > 0 && seconds < int64(math.MaxInt64/time.Second) {
		m.maxAge = time.Duration(seconds) * time.Second
	}
	var lists map[string]json.RawMessage
	if json.Unmarshal(members["$acl"], &lists) == nil {
		m.acl = acl{
			Read: namesOf(lists["$r"]), Write: namesOf(lists["$w"]), Delete: namesOf(lists["$d"]),
			MetaRead: namesOf(lists["$mr"]), MetaWrite: namesOf(lists["$mw"]),
		}
	}
	return m
}

// namesOf reads one name or several.
func namesOf(data json.RawMessage) []string {
	if len(data) == 0 {
		return nil
	}
	var one string
	if json.Unmarshal(data, &one) == nil {
		return []string{one}
	}
	var several []string
	if json.Unmarshal(data, &several) == nil {
		return several
	}
	return nil
}

// followed is how long the server waits before it looks for what other processes said about streams. What this process is
// told itself counts at once; the pause keeps many small appends from being as many queries.
const followed = 50 * time.Millisecond

// gatherMost is how long the server answers nothing while it learns about which streams something was ever said. After that it asks
// the log about each until it knows.
const gatherMost = 2 * time.Second

// followMetas learns about which streams something was said, and goes on hearing of it.
func (s *Server) followMetas(ctx context.Context) {
	begin := func() { s.started.Do(func() { close(s.ready) }) }
	late := time.AfterFunc(gatherMost, begin)
	defer late.Stop()
	after := eventstore.Position(0)
	filter := eventstore.Filter{Types: []string{typeMetadata, typeDeleted}}
	for ctx.Err() == nil {
		for batch, err := range s.Log.Follow(ctx, after, filter) {
			if err != nil {
				if ctx.Err() == nil {
					s.Logger.Warn("stream API: what is said about streams cannot be read now", "error", err)
				}
				break
			}
			for _, raw := range batch.Events {
				s.metas.take(raw)
			}
			after = batch.Through
			if batch.Live {
				s.metas.gathered()
				begin()
				pause(ctx, followed)
			}
		}
		pause(ctx, time.Second)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
