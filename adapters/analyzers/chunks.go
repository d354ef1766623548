package analyzers

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// chunk is a part of a file: its name, its data, and where it stands as a whole.
type chunk struct {
	kind     string
	data     []byte
	from, to int
}

// pngChunks are the chunks of a PNG (W3C PNG, section 5.3), as far as they are whole.
func pngChunks(b []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for at := 8; at+12 <= len(b); {
			n := int64(binary.BigEndian.Uint32(b[at:]))
			if n > int64(len(b)-at-12) {
				return
			}
			c := chunk{kind: string(b[at+4 : at+8]), data: b[at+8 : at+8+int(n)], from: at, to: at + 12 + int(n)}
			if !yield(c) || c.kind == "IEND" {
				return
			}
			at = c.to
		}
	}
}

// riffChunks are the chunks of a RIFF file after its 12 first bytes.
func riffChunks(b []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		end := len(b)
		if len(b) >= 12 {
			end = int(min(int64(len(b)), 8+int64(binary.LittleEndian.Uint32(b[4:]))))
		}
		for at := 12; at+8 <= end; {
			n := int64(binary.LittleEndian.Uint32(b[at+4:]))
			if n > int64(end-at-8) {
				return
			}
			c := chunk{kind: string(b[at : at+4]), data: b[at+8 : at+8+int(n)], from: at, to: at + 8 + int(n+n&1)}
			c.to = min(c.to, len(b))
			if !yield(c) {
				return
			}
			at = c.to
		}
	}
}

// jpegSegments are the segments of a JPEG before its first scan; kind is the marker as two bytes. The last one is the scan
// itself, to the end of the file.
func jpegSegments(b []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for at := 2; at+4 <= len(b) && b[at] == 0xff; {
			marker := b[at+1]
			switch {
			case marker == 0xff: // fill
				at++
				continue
			case marker == 0xda || marker == 0xd9:
				yield(chunk{kind: "\xff" + string([]byte{marker}), data: b[at:], from: at, to: len(b)})
				return
			case marker == 0x01 || marker >= 0xd0 && marker <= 0xd7:
				at += 2
				continue
			}
			n := int(binary.BigEndian.Uint16(b[at+2:]))
			if n < 2 || at+2+n > len(b) {
				return
			}
			if !yield(chunk{kind: string(b[at : at+2]), data: b[at+4 : at+2+n], from: at, to: at + 2 + n}) {
				return
			}
			at += 2 + n
		}
	}
}

// jpegEnd is where a JPEG's picture ends: after the end marker that follows its scans; len(b) when there is none.
func jpegEnd(b []byte) int {
	for c := range jpegSegments(b) {
		if c.kind == "\xff\xda" {
			for at := c.from + 2; ; {
				i := bytes.IndexByte(b[at:], 0xff)
				if i < 0 || at+i+1 >= len(b) {
					return len(b)
				}
				at += i + 1
				switch m := b[at]; {
				case m == 0xd9:
					return at + 1
				case m == 0 || m == 0xff || m >= 0xd0 && m <= 0xd7:
				case at+3 <= len(b) && m != 0xda: // tables between scans
					at += int(binary.BigEndian.Uint16(b[at+1:]))
					if at >= len(b) {
						return len(b)
					}
				}
			}
		}
	}
	return len(b)
}
