package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// To the child goes a frame with a start, then frames of input, and an empty one at its end. From the child come frames with a
// kind: steps and output while it works, and at the end one of the last two.
const (
	kindStep    = 's'
	kindOutput  = 'o'
	kindRefused = 'r' // the job said that it cannot; the text says why
	kindDone    = 'd'
)

// start is what a child is told of a piece of work.
type start struct {
	Job    string `json:"job"`
	Args   []byte `json:"args,omitempty"`
	Limits Limits `json:"limits"`
}

// end is what a child says of a piece of work that is over.
type end struct {
	CPU int64  `json:"cpu"` // nanoseconds
	Why string `json:"why,omitempty"`
}

const (
	chunkSize = 64 << 10
	maxFrame  = 1 << 20
)

func writeFrame(w io.Writer, payload []byte) error {
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(payload))) //nolint:gosec // at most maxFrame
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if len(payload) == 0 {
		return nil
	}
	_, err := w.Write(payload)
	return err
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(r, payload)
	return payload, err
}

// writeKind is writeFrame with a kind before it, for what comes from the child.
func writeKind(w io.Writer, kind byte, payload []byte) error {
	for {
		part := payload[:min(len(payload), maxFrame)]
		if _, err := w.Write([]byte{kind}); err != nil {
			return err
		}
		if err := writeFrame(w, part); err != nil {
			return err
		}
		if payload = payload[len(part):]; len(payload) == 0 {
			return nil
		}
	}
}

func readKind(r io.Reader) (byte, []byte, error) {
	var kind [1]byte
	if _, err := io.ReadFull(r, kind[:]); err != nil {
		return 0, nil, err
	}
	payload, err := readFrame(r)
	return kind[0], payload, err
}

func jsonOf(v any) []byte {
	b, _ := json.Marshal(v) // of structs of plain fields: never fails
	return b
}

// inputReader reads the frames of a child's input as one stream.
type inputReader struct {
	r    io.Reader
	left uint32
	over bool
}

// Read implements io.Reader.
func (i *inputReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if i.over {
		return 0, io.EOF
	}
	if i.left == 0 {
		var head [4]byte
		if _, err := io.ReadFull(i.r, head[:]); err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if i.left = binary.BigEndian.Uint32(head[:]); i.left == 0 {
			i.over = true
			return 0, io.EOF
		}
	}
	n, err := i.r.Read(p[:min(len(p), int(i.left))])
	i.left -= uint32(n) //nolint:gosec // not more than left
	if err == io.EOF {  //nolint:errorlint // io.Reader's contract
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
