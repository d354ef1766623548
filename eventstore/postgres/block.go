package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mediavault-io/mediavault/eventstore"
)

const blockSize = 1024 // positions, as the table events_blocks has them

// block is the last block of the log, which is not complete: where in it which events are. The committer writes it to
// events_blocks with the event that completes it. It knows what the committer has appended itself; when another process wrote, or it
// is not known how a batch ended, Postgres is asked instead.
type block struct {
	at     eventstore.Position // it knows the events of its block up to here; 0: it knows nothing
	places map[kind][]byte     // the places, 0..1023, as the elements of an array's text
}

type kind struct{ typ, category string }

// completed takes in a batch, as if it were committed already, and answers the statement that writes the blocks which it
// completes; nothing when it completes none. The placing of a batch that failed has to be followed by one with another base, or
// the block forgotten.
func (b *block) completed(p *placing) string {
	var sql strings.Builder
	if p.base%blockSize == 0 {
		b.places = map[kind][]byte{}
	} else if b.at != p.base {
		b.places = nil
	}
	for i := range p.rows {
		r, at := &p.rows[i], p.base+eventstore.Position(i) // at: one before it, so that blocks begin at multiples
		if b.places != nil {
			k := kind{r.entry.Type, r.stream.Category()}
			b.places[k] = append(strconv.AppendInt(b.places[k], int64(at%blockSize), 10), ',')
		}
		if (at+1)%blockSize == 0 {
			b.write(&sql, at/blockSize)
			b.places = map[kind][]byte{}
		}
	}
	b.at = p.head
	return sql.String()
}

func (b *block) forget() { *b = block{} }

func (b *block) write(sql *strings.Builder, n eventstore.Position) {
	if b.places == nil {
		fmt.Fprintf(sql, blockSQL, n, n*blockSize, (n+1)*blockSize)
		return
	}
	sql.WriteString("INSERT INTO events_blocks (type, category, block, places) VALUES ")
	kinds := slices.SortedFunc(maps.Keys(b.places), func(a, b kind) int {
		if a.typ != b.typ {
			return strings.Compare(a.typ, b.typ)
		}
		return strings.Compare(a.category, b.category)
	})
	for i, k := range kinds {
		if i > 0 {
			sql.WriteByte(',')
		}
		places := b.places[k]
		fmt.Fprintf(sql, "(%s,%s,%d,'{%s}')", quote(k.typ), quote(k.category), n, places[:len(places)-1])
	}
	sql.WriteString(";\n")
}

// blockSQL makes a block of what the log says of it.
const blockSQL = `INSERT INTO events_blocks (type, category, block, places)
	SELECT type, split_part(stream, '-', 1), %d, array_agg(((position - 1) %% 1024)::smallint) FROM events
	WHERE position > %d AND position <= %d GROUP BY 1, 2;
`

// quote makes a literal of a text without NUL; every log refuses others.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
