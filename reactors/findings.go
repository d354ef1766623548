package reactors

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/mediavault-io/mediavault/adapters/analyzers/pii"
	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/finding"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/eventstore"
)

// Findings looks for personal data in what is said of an item, and computes the risk of what was found again when others may see
// the item than before. What stands in a version's name and bytes is looked for by the stage PII.
type Findings struct {
	Findings *commands.Findings
	Patterns *pii.Set
}

// Name implements Reactor.
func (Findings) Name() string { return "findings" }

// Types implements Reactor.
func (Findings) Types() []string {
	types := []string{
		media.Uploaded{}.EventType(), media.Described{}.EventType(), finding.Raised{}.EventType(),
		media.Restricted{}.EventType(), media.Quarantined{}.EventType(), media.Released{}.EventType(), media.Removed{}.EventType(),
		media.Deleted{}.EventType(), media.Restored{}.EventType(),
	}
	for _, t := range share.Types {
		types = append(types, t.Name)
	}
	return types
}

// React implements Reactor.
func (f Findings) React(ctx context.Context, rec eventstore.Recorded) error {
	env := because(f, rec)
	switch e := rec.Event.(type) {
	case media.Uploaded, media.Described:
		return f.texts(ctx, env, domain.MediaID(rec.Stream.ID()), rec)
	case media.Event:
		return f.Findings.Rescore(ctx, env, domain.MediaID(rec.Stream.ID()))
	case share.Event:
		return f.Findings.RescoreShared(ctx, env, domain.ShareID(rec.Stream.ID()))
	case finding.Raised: // a share may have been granted while it was being raised
		return f.Findings.Rescore(ctx, env, e.Media)
	default:
		return fmt.Errorf("findings got a %s", rec.Type)
	}
}

// Tuning implements Tuned: who asks at once asks the read model together, so that many at once cost little more than one.
func (Findings) Tuning() Tuning { return Tuning{Concurrency: 64} }

// texts looks at what is said of the item since the event, whichever asked for it: the last look sees the last words.
func (f Findings) texts(ctx context.Context, env commands.Envelope, id domain.MediaID, since eventstore.Recorded) error {
	texts, known, err := f.Findings.Texts(ctx, id, since)
	if err != nil || !known {
		return err
	}
	look := commands.Looked{Places: []finding.Place{finding.InTitle, finding.InDescription, finding.InTags}}
	for _, place := range look.Places {
		look.Found = append(look.Found, foundIn(f.Patterns, place, texts[place])...)
	}
	return f.Findings.Record(ctx, env, id, look)
}

func foundIn(patterns *pii.Set, place finding.Place, text string) []commands.Found {
	var all []commands.Found
	for _, f := range patterns.Sum(text) {
		all = append(all, commands.Found{
			Place: place, Type: f.Type, Count: f.Count, Confidence: f.Confidence, Sensitivity: f.Sensitivity, Sample: f.Sample,
			Detector: finding.Detector{Name: "pii", Version: patterns.Version(), Threshold: f.Threshold},
		})
	}
	return all
}

// TextReader answers the text of documents.
type TextReader interface {
	// Reads reports whether files of the MIME type have text that can be read.
	Reads(mime string) bool
	// Text answers the text of a document, decoded where hostile bytes do no harm; whole says whether that is all of it. What such
	// bytes do wrong is a short text, not an error.
	Text(ctx context.Context, mime string, in io.Reader) (text string, whole bool, err error)
}

// PII looks for personal data in a version's file name and, when it is a document, its text. What it finds makes nothing
// undeliverable: it is a finding, whose risk depends on who may see the item.
type PII struct {
	Findings *commands.Findings
	Patterns *pii.Set
	Texts    TextReader // nil: only names are looked at
}

// Name implements Stage.
func (PII) Name() string { return "pii" }

// Version implements Stage.
func (p PII) Version() string { return p.Patterns.Version() }

// Look implements Stage. It also records what it found, which does no harm twice: what is found must be known even when the
// version is never delivered. It asks no read model: screening waits for none.
func (p PII) Look(ctx context.Context, s *Subject) (Finding, error) {
	look := commands.Looked{Version: s.Version, Places: []finding.Place{finding.InName}, Types: p.Patterns.Types()}
	look.Found = foundIn(p.Patterns, finding.InName, wordsOf(s.File.Name.Text()))
	var said Finding
	if p.Texts != nil && !s.Missing && p.Texts.Reads(s.File.Type) {
		blob, err := s.Open(ctx)
		if err != nil {
			return Finding{}, err
		}
		text, whole, err := p.Texts.Text(ctx, s.File.Type, blob)
		_ = blob.Close() // it was only read
		if err != nil {
			return Finding{}, err
		}
		if !whole {
			said.Codes = append(said.Codes, "text_in_part")
		} else {
			look.Places = append(look.Places, finding.InContent)
		}
		look.Found = append(look.Found, foundIn(p.Patterns, finding.InContent, text)...)
		said.Measured = append(said.Measured, media.Measure{Name: "text_bytes", Value: int64(len(text))})
	}
	said.Measured = append(said.Measured, media.Measure{Name: "pii", Limit: int64(10 * p.Patterns.Threshold())})
	surest := &said.Measured[len(said.Measured)-1]
	for _, f := range look.Found {
		surest.Value = max(surest.Value, int64(10*f.Confidence)) // in thousandths
		if code := "pii_" + f.Type; !slices.Contains(said.Codes, code) {
			said.Codes = append(said.Codes, code)
		}
	}
	env := commands.Envelope{Actor: domain.System()}
	return said, p.Findings.Record(ctx, env, s.Media, look)
}

// wordsOf is a file name with its words apart: what joins them there stands for a space.
func wordsOf(name string) string {
	words := []rune(name)
	for i, r := range words {
		if r == '_' {
			words[i] = ' '
		}
	}
	return string(words)
}
