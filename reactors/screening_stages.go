package reactors

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
)

// Integrity compares the stored bytes with what the event says was stored.
type Integrity struct{}

// Name implements Stage.
func (Integrity) Name() string { return "integrity" }

// Version implements Stage.
func (Integrity) Version() string { return "2" }

// Look implements Stage.
func (Integrity) Look(_ context.Context, s *Subject) (Finding, error) {
	switch {
	case s.Missing:
		return blocked("missing"), nil
	case s.Size != s.File.Size:
		return blocked("size_mismatch"), nil
	case s.SHA256 != s.File.SHA256:
		return blocked("sha256_mismatch"), nil
	}
	return Finding{Measured: []media.Measure{{Name: "bytes", Value: s.Size}}}, nil
}

// TypeStage judges the type by the content, against the whitelist, the declared type and the extension.
type TypeStage struct{ Policy media.Policy }

// Name implements Stage.
func (TypeStage) Name() string { return "type" }

// Version implements Stage.
func (TypeStage) Version() string { return "2" }

// Look implements Stage.
func (t TypeStage) Look(_ context.Context, s *Subject) (Finding, error) {
	if s.Missing {
		return Finding{}, nil
	}
	canonical, err := media.Judge(s.File.Name.Text(), s.File.Type, s.Sniffed, t.Policy)
	if refusal, no := domain.AsRefusal(err); no {
		return blocked(refusal.Code), nil
	}
	if err != nil {
		return Finding{}, err
	}
	if canonical != s.File.Type {
		return blocked("type_mismatch"), nil
	}
	return Finding{}, nil
}

// NameStage judges the file name by the rules of today: they may have become stricter since it was accepted.
type NameStage struct{ Policy media.Policy }

// Name implements Stage.
func (NameStage) Name() string { return "name" }

// Version implements Stage.
func (NameStage) Version() string { return "1" }

// Look implements Stage. A name that was forgotten, or was never given, is no fault of the file.
func (n NameStage) Look(_ context.Context, s *Subject) (Finding, error) {
	name, known := s.File.Name.Reveal()
	if !known {
		return Finding{}, nil
	}
	clean, err := media.CleanName(name, n.Policy)
	if refusal, no := domain.AsRefusal(err); no {
		return blocked(refusal.Code), nil
	}
	if err != nil || clean != name {
		return Finding{Verdict: media.VerdictReview, Codes: []string{"name_not_clean"}}, err
	}
	return Finding{}, nil
}

// Examined says what the child saw for one of its stages.
type Examined struct{ Stage string }

// ExaminedStages are all that the child speaks for.
func ExaminedStages() []Stage {
	return []Stage{Examined{analyzers.Expansion}, Examined{analyzers.Content}, Examined{analyzers.Metadata}}
}

// Name implements Stage.
func (e Examined) Name() string { return e.Stage }

// Version implements Stage.
func (Examined) Version() string { return "1" }

// steps are those of the child's that count as the stage's.
func (e Examined) steps() []string {
	switch e.Stage {
	case analyzers.Expansion:
		return []string{"read", "header", "unpack", "objects", "streams"}
	case analyzers.Content:
		return []string{"polyglot", "decode", "text", "storages"}
	case analyzers.Metadata:
		return []string{"metadata", "shrink", "thumbnails", "blurhash"}
	}
	return nil
}

// Look implements Stage. A child that failed says so in the stage at whose step it failed: such bytes are for nobody until a
// person has looked, and bytes that make it eat memory are a bomb.
func (e Examined) Look(_ context.Context, s *Subject) (Finding, error) {
	var found Finding
	if f := s.Examined.Failure; f != nil {
		if slices.Contains(e.steps(), f.Step) || e.Stage == analyzers.Content && !knownStep(f.Step) {
			found = Finding{Verdict: media.VerdictReview, Codes: []string{"decoder_" + f.Code}}
			if f.Code == "out_of_memory" {
				found.Verdict = media.VerdictBlocked
			}
		}
		return found, nil
	}
	for _, m := range s.Examined.Report.Measured {
		if m.Stage == e.Stage {
			found.Measured = append(found.Measured, m.Measure)
		}
	}
	for _, f := range s.Examined.Report.Findings {
		if f.Stage != e.Stage {
			continue
		}
		found.Codes = append(found.Codes, f.Code)
		if f.Verdict == media.VerdictBlocked || f.Verdict == media.VerdictReview && found.Verdict == "" {
			found.Verdict = f.Verdict
		}
	}
	return found, nil
}

func knownStep(step string) bool {
	return slices.ContainsFunc(ExaminedStages(), func(s Stage) bool {
		e, ok := s.(Examined)
		return ok && slices.Contains(e.steps(), step)
	})
}

// ErrUnscannable is a scanner's answer about bytes that it does not look at, or not into, because they are too many for it. Asking
// again gets the same answer.
var ErrUnscannable = errors.New("the scanner does not look at as many bytes")

// Scanner looks for malware in bytes; an adapter of a virus scanner implements it.
type Scanner interface {
	// Scan answers the name of what was found; "" for nothing. Errors: ErrUnscannable; any other is that of a scanner that cannot
	// answer now, or of in.
	Scan(ctx context.Context, in io.Reader) (found string, err error)
}

// Malware has the bytes scanned, and always finds the test file of virus scanners.
type Malware struct {
	Scanner Scanner // nil: none is configured
	// Most is how many first bytes are scanned; more, the scanner does not take. 0: 25 MiB, as clamd is delivered. Pictures,
	// videos and sounds that have more pass when those are well; of what may hold programs or scripts a person looks at the rest.
	Most int64
}

// Name implements Stage.
func (Malware) Name() string { return "malware" }

// Version implements Stage.
func (Malware) Version() string { return "2" }

// Look implements Stage. A scanner that does not answer is an error: what could not be scanned is not delivered. What it will
// never scan waits for a person.
func (m Malware) Look(ctx context.Context, s *Subject) (Finding, error) {
	switch {
	case s.EICAR:
		return Finding{Verdict: media.VerdictBlocked, Codes: []string{"malware", "eicar"}}, nil
	case s.Missing:
		return Finding{}, nil
	case m.Scanner == nil:
		return Finding{Codes: []string{"no_scanner"}}, nil
	}
	most := orDefault(m.Most, 25<<20)
	blob, err := s.Open(ctx)
	if err != nil {
		return Finding{}, err
	}
	name, err := m.Scanner.Scan(ctx, io.LimitReader(blob, most))
	if failed := blob.Close(); errors.Is(err, ErrUnscannable) {
		return Finding{Verdict: media.VerdictReview, Codes: []string{"unscannable"}}, nil
	} else if err = errors.Join(err, failed); err != nil {
		return Finding{}, err
	}
	measured := []media.Measure{{Name: "scanned_bytes", Value: min(s.Size, most), Limit: most}}
	switch {
	case name != "":
		return Finding{Verdict: media.VerdictBlocked, Codes: []string{"malware", name}, Measured: measured}, nil
	case s.Size > most && !streams(s.File.Type) && !strings.HasPrefix(s.File.Type, "image/"):
		return Finding{Verdict: media.VerdictReview, Codes: []string{"scanned_in_part"}, Measured: measured}, nil
	case s.Size > most:
		return Finding{Codes: []string{"scanned_in_part"}, Measured: measured}, nil
	}
	return Finding{Measured: measured}, nil
}

func blocked(codes ...string) Finding {
	return Finding{Verdict: media.VerdictBlocked, Codes: codes}
}
