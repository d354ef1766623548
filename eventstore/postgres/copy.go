package postgres

import (
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/mediavault-io/mediavault/eventstore"
)

// copyRows encodes the rows of a batch in the binary format of COPY (https://www.postgresql.org/docs/current/sql-copy.html), which
// Postgres takes in faster than any INSERT. It encodes while it is read, so that Postgres is at work from the first rows on.
type copyRows struct {
	mu   sync.Mutex // guards all of it: pgx reads in a goroutine that it does not wait for when the connection is lost
	p    *placing   // nil: there is nothing to read any more
	rows int        // that are encoded
	buf  []byte     // kept for the next batch
	read int        // of buf
}

// keepBuffer is the largest buffer that is kept, bytes.
const keepBuffer = 4 << 20

const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// start answers what reads the rows of this batch, and never those of the next.
func (c *copyRows) start(p *placing) io.Reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p, c.rows, c.read = p, 0, 0
	c.buf = append(c.buf[:0], copyHeader...)
	return copying{c, p}
}

// stop waits until nothing of the batch is being read; nothing will be afterwards.
func (c *copyRows) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.p = nil
	if cap(c.buf) > keepBuffer {
		c.buf = nil
	}
}

type copying struct {
	rows *copyRows
	p    *placing
}

// Read implements io.Reader.
func (c copying) Read(into []byte) (int, error) { return c.rows.readOf(c.p, into) }

func (c *copyRows) readOf(p *placing, into []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.p != p {
		return 0, io.ErrUnexpectedEOF
	}
	if rest := len(c.buf) - c.read; rest < len(into) && c.rows <= len(c.p.rows) {
		copy(c.buf, c.buf[c.read:])
		c.buf, c.read = c.buf[:rest], 0
		c.encode(len(into))
	}
	if c.read == len(c.buf) {
		return 0, io.EOF
	}
	n := copy(into, c.buf[c.read:])
	c.read += n
	return n, nil
}

// encode adds rows until the buffer has enough bytes, and the trailer behind the last row.
func (c *copyRows) encode(enough int) {
	b, at := c.buf, microseconds(c.p.at)
	for len(b) < enough && c.rows < len(c.p.rows) {
		r := &c.p.rows[c.rows]
		c.rows++
		b = binary.BigEndian.AppendUint16(b, 9)
		b = appendInt(b, int64(c.p.base)+int64(c.rows))
		b = appendInt(b, int64(r.origin))
		b = appendInt(b, int64(r.revision))
		b = appendInt(b, at)
		b = append(binary.BigEndian.AppendUint32(b, 16), r.entry.ID[:]...)
		b = appendText(b, string(r.stream))
		b = appendText(b, r.entry.Type)
		b = appendText(b, r.entry.Data)
		b = appendText(b, r.entry.Metadata)
	}
	if len(b) < enough && c.rows == len(c.p.rows) {
		b = append(b, copyTrailer...)
		c.rows++ // that was all
	}
	c.buf = b
}

func appendInt(b []byte, v int64) []byte {
	b = binary.BigEndian.AppendUint32(b, 8)
	return binary.BigEndian.AppendUint64(b, uint64(v)) //nolint:gosec // two's complement is what is wanted
}

func appendText[T string | []byte](b []byte, v T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v))) //nolint:gosec // CheckAppend bounds it
	return append(b, v...)
}

const epochUnix = 946684800 // seconds; Postgres counts from 2000-01-01

func microseconds(t time.Time) int64 { return t.UnixMicro() - epochUnix*1_000_000 }

func fromMicroseconds(us int64) time.Time { return time.UnixMicro(us + epochUnix*1_000_000).UTC() }

// rawOf reads the columns of a row in the binary format; strings and bytes are copied out of the connection's buffer.
func rawOf(v [][]byte, a *arena) eventstore.Raw {
	raw := eventstore.Raw{
		Position: eventstore.Position(binary.BigEndian.Uint64(v[0])),     //nolint:gosec // see appendInt
		Revision: eventstore.Revision(binary.BigEndian.Uint64(v[1])),     //nolint:gosec // see appendInt
		At:       fromMicroseconds(int64(binary.BigEndian.Uint64(v[2]))), //nolint:gosec // see appendInt
		Stream:   eventstore.Stream(a.name(v[4])),
		Type:     a.interned(v[5]),
		Data:     a.bytes(v[6]),
		Metadata: a.bytes(v[7]),
	}
	copy(raw.ID[:], v[3])
	return raw
}

// arena holds the bytes of a page's rows in few allocations.
type arena struct {
	block []byte
	types map[string]string // the few names that come again and again
	last  string            // stream
}

const arenaBlock = 256 << 10

func (a *arena) bytes(v []byte) []byte {
	if len(v) > cap(a.block)-len(a.block) {
		if len(v) > arenaBlock/8 {
			return append(make([]byte, 0, len(v)), v...)
		}
		a.block = make([]byte, 0, arenaBlock)
	}
	from := len(a.block)
	a.block = append(a.block, v...)
	return a.block[from:len(a.block):len(a.block)]
}

func (a *arena) name(v []byte) string {
	if a.last != string(v) {
		a.last = string(v)
	}
	return a.last
}

func (a *arena) interned(v []byte) string {
	if s, ok := a.types[string(v)]; ok {
		return s
	}
	if a.types == nil {
		a.types = map[string]string{}
	}
	s := string(v)
	if len(a.types) < 1000 {
		a.types[s] = s
	}
	return s
}
