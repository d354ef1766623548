package commands

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/gabriel-vasile/mimetype"
)

// sniffed is how many first bytes the type is judged by. Office documents name their parts late: 3 KiB, the library's own
// limit, calls some of them zip.
const sniffed = 64 << 10

func raiseSniffLimit() { mimetype.SetLimit(sniffed) }

// peek answers the first bytes, and a reader of all of them.
func peek(r io.Reader) (head []byte, whole io.Reader, err error) {
	buffered := bufio.NewReaderSize(r, sniffed)
	head, err = buffered.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	return head, buffered, nil
}

// sniff answers the MIME type that the first bytes look like.
func sniff(head []byte) string {
	if transportStream(head) {
		return "video/mp2t"
	}
	return mimetype.Detect(head).String()
}

// transportStream reports whether the bytes are an MPEG-TS (ISO/IEC 13818-1), which the library does not know: packets of 188
// bytes that each begin with 0x47; cameras write four bytes of time before each.
func transportStream(head []byte) bool {
	for _, packet := range []struct{ size, sync int }{{188, 0}, {192, 4}} {
		const enough = 5
		if len(head) < packet.size*enough {
			continue
		}
		all := true
		for i := range enough {
			all = all && head[i*packet.size+packet.sync] == 0x47
		}
		if all && !bytes.HasPrefix(head, []byte("GIF")) { // 0x47 is G
			return true
		}
	}
	return false
}
