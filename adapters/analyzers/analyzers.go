// Package analyzers looks at untrusted bytes: what they are, what they say about themselves, what they would grow to, and how they
// look in small. The looking is done in a child process (internal/sandbox); what is here of the parent only asks and believes
// nothing that it cannot check. It decides nothing: what a finding means is the reactor's and the domain's to say.
package analyzers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/sandbox"
)

// Thresholds are what content may grow to. The zero value of each field means its default.
type Thresholds struct {
	Pixels   int64 `json:"pixels"`   // of a picture; 100 million
	Frames   int64 `json:"frames"`   // pixels of all frames of an animation; 2 thousand million
	Pages    int64 `json:"pages"`    // of a document; 10,000
	Entries  int64 `json:"entries"`  // files in an archive; 10,000
	Expanded int64 `json:"expanded"` // bytes, of an archive or document when unpacked; 512 MiB
	Ratio    int64 `json:"ratio"`    // unpacked to packed, from 16 MiB on; 200
	Depth    int64 `json:"depth"`    // of archives in archives; 2
}

// OrDefaults fills in what is zero.
func (t Thresholds) OrDefaults() Thresholds {
	for field, def := range map[*int64]int64{
		&t.Pixels: 100_000_000, &t.Frames: 2_000_000_000, &t.Pages: 10_000, &t.Entries: 10_000, &t.Expanded: 512 << 20, &t.Ratio: 200, &t.Depth: 2,
	} {
		if *field <= 0 {
			*field = def
		}
	}
	return t
}

// Request is what the child is told about the bytes.
type Request struct {
	Type       string     `json:"type"` // as accepted: the whitelist's
	Size       int64      `json:"size"` // bytes, all of them
	Thresholds Thresholds `json:"thresholds"`
}

// The stages that the child speaks for.
const (
	Expansion = "expansion" // what the bytes would grow to
	Content   = "content"   // what is hidden in them
	Metadata  = "metadata"  // what they say about themselves
)

// NotDecoded is the code of a picture in a format that the child does not decode; a tool may know it.
const NotDecoded = "not_decoded"

// Finding is something that the child saw. An empty verdict is a note on bytes that pass.
type Finding struct {
	Stage   string        `json:"stage"`
	Code    string        `json:"code"`
	Verdict media.Verdict `json:"verdict,omitempty"`
}

// Measured is something that the child measured for a stage.
type Measured struct {
	Stage string `json:"stage"`
	media.Measure
}

// Picture is a small picture of the content, encoded by the child: metadata and all else of the original is not in it.
type Picture struct {
	Name   string `json:"name"` // 200: a square of 200 pixels; 400: at most 400 pixels wide
	Type   string `json:"type"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Size   int    `json:"size"`
	Bytes  []byte `json:"-"`
}

// Edit replaces the bytes of the original from From (inclusive) to To (exclusive). Together, in their order, they make the copy
// without place and names; everything between them stays as it is.
type Edit struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	With []byte `json:"with,omitempty"`
	Zero bool   `json:"zero,omitempty"` // as many zeros as there were bytes
}

// Report is what the child saw.
type Report struct {
	Findings    []Finding  `json:"findings,omitempty"`
	Measured    []Measured `json:"measured,omitempty"`
	Decoded     bool       `json:"decoded,omitempty"` // the content was decoded, not only its headers
	Width       int        `json:"width,omitempty"`   // as a viewer sees it
	Height      int        `json:"height,omitempty"`
	Orientation int        `json:"orientation,omitempty"`
	Frames      int        `json:"frames,omitempty"`
	Pages       int        `json:"pages,omitempty"`
	Camera      string     `json:"camera,omitempty"`
	Lens        string     `json:"lens,omitempty"`
	TakenAt     time.Time  `json:"taken_at,omitzero"`
	Place       string     `json:"place,omitempty"`
	Author      string     `json:"author,omitempty"`
	Telling     bool       `json:"telling,omitempty"` // there is more in it than others need to know
	Blurhash    string     `json:"blurhash,omitempty"`
	Pictures    []Picture  `json:"pictures,omitempty"` // their bytes follow the report, in this order
	Edits       []Edit     `json:"edits,omitempty"`
	// Took is the CPU time of each step, in nanoseconds.
	Took map[string]int64 `json:"took,omitempty"`
}

// Failure is a child that could not stand the bytes.
type Failure struct {
	Code string // crashed, killed, out_of_memory, timed_out, too_much_output
	Step string // what it was doing
}

// ByChance reports whether it may have had nothing to do with the bytes, so that looking again is worth it.
func (f *Failure) ByChance() bool { return f != nil && f.Code == sandbox.Killed }

// Examination is how looking ended: with a report, or with a failure.
type Examination struct {
	Report  Report
	Failure *Failure
	CPU     time.Duration // of the child
}

// MaxInput is how many bytes a child is given at most. Of formats that have to be decoded whole, more than that cannot be judged.
const MaxInput = 128 << 20

// jobExamine is the name of the child's work.
const jobExamine = "examine"

// Jobs are what children can do, for sandbox.MaybeChild.
func Jobs() map[string]sandbox.Job { return map[string]sandbox.Job{jobExamine: examine} }

// Examiner has bytes examined in children.
type Examiner struct{ Pool *sandbox.Pool }

// Examine gives the bytes to a child, and reads all of them whatever becomes of it. An error is the input's or the context's.
func (e Examiner) Examine(ctx context.Context, r Request, in io.Reader) (Examination, error) {
	r.Thresholds = r.Thresholds.OrDefaults()
	args, err := json.Marshal(r)
	if err != nil {
		return Examination{}, fmt.Errorf("examine: %w", err)
	}
	done, err := e.Pool.Run(ctx, sandbox.Task{Job: jobExamine, Args: args, Input: in, Send: needed(r.Type)})
	var failure *sandbox.Failure
	switch {
	case errors.As(err, &failure):
		return Examination{Failure: &Failure{Code: failure.Code, Step: failure.Step}}, nil
	case err != nil:
		return Examination{}, fmt.Errorf("examine: %w", err)
	}
	report, err := readReport(done.Output)
	if err != nil {
		// Whatever the bytes made the child say: it is about them.
		return Examination{Failure: &Failure{Code: sandbox.Crashed, Step: "answer"}, CPU: done.CPU}, nil //nolint:nilerr // that is the finding
	}
	return Examination{Report: report, CPU: done.CPU}, nil
}

// needed is how many first bytes of a format the child looks at.
func needed(kind string) int64 {
	if f, ok := familyOf(kind); ok && f == familyStream {
		return 1 << 20
	}
	return MaxInput
}

func readReport(output []byte) (Report, error) {
	var r Report
	d := json.NewDecoder(newReader(output))
	if err := d.Decode(&r); err != nil {
		return Report{}, fmt.Errorf("read report: %w", err)
	}
	rest := output[d.InputOffset():]
	for i := range r.Pictures {
		p := &r.Pictures[i]
		if p.Size < 0 || p.Size > len(rest) {
			return Report{}, errors.New("read report: a picture is not there")
		}
		p.Bytes, rest = rest[:p.Size], rest[p.Size:]
	}
	last := int64(0)
	for _, e := range r.Edits {
		if e.From < last || e.To < e.From {
			return Report{}, errors.New("read report: edits are out of order")
		}
		last = e.To
	}
	return r, nil
}
