package analyzers

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/sandbox"
)

// family is how a format is looked at.
type family int

const (
	familyPicture family = iota // decoded, when there is a decoder
	familyZip                   // office, OpenDocument, EPUB
	familyPDF
	familyText   // text, RTF
	familyOLE    // the older office formats
	familyStream // video and audio: only their beginning
)

func familyOf(kind string) (family, bool) {
	switch {
	case strings.HasPrefix(kind, "image/"):
		return familyPicture, true
	case strings.HasPrefix(kind, "video/"), strings.HasPrefix(kind, "audio/"):
		return familyStream, true
	case kind == "application/pdf":
		return familyPDF, true
	case strings.HasPrefix(kind, "application/vnd.openxmlformats"), strings.HasPrefix(kind, "application/vnd.oasis"), kind == "application/epub+zip":
		return familyZip, true
	case kind == "application/msword", strings.HasPrefix(kind, "application/vnd.ms-"):
		return familyOLE, true
	case strings.HasPrefix(kind, "text/"):
		return familyText, true
	}
	return 0, false
}

// look is one examination in the child.
type look struct {
	Request
	work   *sandbox.Work
	all    []byte
	report Report
	now    string
	since  time.Duration
}

// examine is the child's work: read the bytes, look, write the report and the pictures.
func examine(w *sandbox.Work) error {
	l := &look{work: w, report: Report{Took: map[string]int64{}}}
	if err := json.Unmarshal(w.Args, &l.Request); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	l.step("read")
	if err := l.read(w.Input); err != nil {
		return err
	}
	switch {
	case int64(len(l.all)) < min(l.Size, needed(l.Type)):
		// Shorter than was said: integrity says so, or the parent has seen enough.
	case l.Size > int64(len(l.all)) && needed(l.Type) == MaxInput:
		l.found(Expansion, "too_large_to_look", media.VerdictReview)
	default:
		l.dispatch()
	}
	l.step("")
	head, err := json.Marshal(l.report)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, p := range l.report.Pictures {
		if _, err := w.Write(p.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// read takes the input into memory, at its size where that is known.
func (l *look) read(in io.Reader) error {
	most := min(l.Size, needed(l.Type))
	l.all = make([]byte, most)
	n, err := io.ReadFull(in, l.all)
	if err == io.ErrUnexpectedEOF || err == io.EOF { //nolint:errorlint // io.ReadFull's contract
		err = nil
	}
	l.all = l.all[:n]
	return err
}

func (l *look) dispatch() {
	f, ok := familyOf(l.Type)
	if !ok {
		return
	}
	switch f {
	case familyPicture:
		l.picture()
	case familyZip:
		l.archive()
	case familyPDF:
		l.pdf()
	case familyOLE:
		l.ole()
	case familyText:
		l.text()
	case familyStream:
		l.stream()
	}
}

// step says what is being done from now on, and books the CPU time of what was done before.
func (l *look) step(name string) {
	used := cpuTime()
	if l.now != "" {
		l.report.Took[l.now] += int64(used - l.since)
	}
	l.now, l.since = name, used
	if name != "" {
		l.work.Step(name)
	}
}

func (l *look) found(stage, code string, verdict media.Verdict) {
	f := Finding{Stage: stage, Code: code, Verdict: verdict}
	if !slices.Contains(l.report.Findings, f) {
		l.report.Findings = append(l.report.Findings, f)
	}
}

// measure notes a measure, and answers whether it is within its limit.
func (l *look) measure(stage, name string, value, limit int64) bool {
	l.report.Measured = append(l.report.Measured, Measured{Stage: stage, Measure: media.Measure{Name: name, Value: value, Limit: limit}})
	return value <= limit
}

func (l *look) blocked() bool {
	return slices.ContainsFunc(l.report.Findings, func(f Finding) bool { return f.Verdict == media.VerdictBlocked })
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
