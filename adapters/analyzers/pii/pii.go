// Package pii finds personal data in text: pattern, then validation, then context, then a confidence that has to reach a threshold.
// The patterns are a YAML file. It reads no files of people and keeps nothing of what it finds but a masked sample.
package pii

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Match is one thing that was found.
type Match struct {
	Type        string
	Pattern     string // the name of the pattern that found it
	Value       string // as it stands in the text, with spaces, dashes and digits of other scripts made plain; never to be stored
	Start, End  int    // in the plain text (Plain)
	Confidence  int    // percent
	Sensitivity int    // 1 to 10
}

// Found is what was found of one type.
type Found struct {
	Type        string
	Count       int // different values
	Confidence  int // of the surest, percent
	Sensitivity int
	Sample      string // the surest, masked
	Threshold   int    // the confidence that had to be reached
}

// Find answers what a text holds, in the order of the text. Where two patterns see something in the same place, the surer one
// counts. The time it takes grows with the text's length alone.
func (s *Set) Find(text string) []Match {
	if text == "" {
		return nil
	}
	text = Plain(text)
	pg := newPage(text)
	var all []Match
	for i := range s.patterns {
		for _, w := range pg.windows(&s.patterns[i]) {
			all = s.patterns[i].find(all, text, pg.lower, w)
		}
	}
	// The surer first, then the longer, then the pattern that stands first in the file.
	slices.SortStableFunc(all, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(b.End-b.Start, a.End-a.Start))
	})
	taken := newSpans(len(text))
	kept := all[:0]
	for _, m := range all {
		if taken.take(m.Start, m.End) {
			kept = append(kept, m)
		}
	}
	slices.SortFunc(kept, func(a, b Match) int { return cmp.Compare(a.Start, b.Start) })
	return kept
}

// Sum is Find by type, in the order of the types' names.
func (s *Set) Sum(text string) []Found { return s.sum(s.Find(text)) }

func (s *Set) sum(matches []Match) []Found {
	byType := map[string]*Found{}
	values := map[string]bool{}
	for _, m := range matches {
		f := byType[m.Type]
		if f == nil {
			f = &Found{Type: m.Type, Threshold: s.threshold}
			byType[m.Type] = f
		}
		f.Sensitivity = max(f.Sensitivity, m.Sensitivity)
		if m.Confidence > f.Confidence {
			f.Confidence, f.Sample = m.Confidence, Mask(m.Type, m.Value)
		}
		if key := m.Type + "\x00" + compact(m.Value); !values[key] {
			values[key] = true
			f.Count++
		}
	}
	found := make([]Found, 0, len(byType))
	for _, f := range byType {
		found = append(found, *f)
	}
	slices.SortFunc(found, func(a, b Found) int { return cmp.Compare(a.Type, b.Type) })
	return found
}

// find appends what one pattern sees in a window.
func (p *pattern) find(all []Match, text, lower string, w window) []Match {
	for from := w.from; from < w.to; {
		at := p.re.FindStringIndex(text[from:w.to])
		if at == nil {
			return all
		}
		start, end := from+at[0], from+at[1]
		length, ok := end-start, end > start && p.bounded(text, start)
		ok = ok && p.confidence(lower, start, end) >= p.threshold // it costs less than some validations
		if ok && p.validate != nil {
			length, ok = p.validate(text[start:end])
		}
		if ok = ok && length > 0 && p.ends(text, start+length); !ok {
			from = nextToken(text, start)
			continue
		}
		end = start + length
		if confidence := p.confidence(lower, start, end); confidence >= p.threshold {
			all = append(all, Match{
				Type: p.kind, Pattern: p.name, Value: text[start:end], Start: start, End: end,
				Confidence: confidence, Sensitivity: p.sensitivity,
			})
		}
		from = end
	}
	return all
}

// bounded and ends report whether a match stands alone: no letter or digit touches it, and when it is a number it is no part of a
// longer one with points or dashes in it.
func (p *pattern) bounded(text string, start int) bool {
	before, size := utf8.DecodeLastRuneInString(text[:start])
	if size == 0 {
		return true
	}
	if wordy(before) || p.glued != "" && strings.ContainsRune(p.glued, before) {
		return false
	}
	if !p.numeric || !strings.ContainsRune(".,-/:", before) {
		return true
	}
	further, _ := utf8.DecodeLastRuneInString(text[:start-size])
	return !unicode.IsDigit(further)
}

func (p *pattern) ends(text string, end int) bool {
	after, size := utf8.DecodeRuneInString(text[end:])
	if size == 0 {
		return true
	}
	if wordy(after) || p.glued != "" && strings.ContainsRune(p.glued, after) {
		return false
	}
	if !p.numeric || !strings.ContainsRune(".,-/:", after) {
		return true
	}
	further, _ := utf8.DecodeRuneInString(text[end+size:])
	return !unicode.IsDigit(further)
}

func wordy(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// confidence is base, and boost when a word of the context stands near, less the penalty when a word against it does.
func (p *pattern) confidence(lower string, start, end int) int {
	from, to := edge(lower, start-p.before), edge(lower, end+p.after)
	confidence := p.base
	if near(lower[from:start], p.context) || near(lower[end:to], p.context) {
		confidence += p.boost
	}
	if len(p.against) > 0 && (near(lower[edge(lower, start-antiWindow):start], p.against) || near(lower[end:edge(lower, end+antiWindow/2)], p.against)) {
		confidence -= p.penalty
	}
	return max(0, min(100, confidence))
}

// antiWindow is how near, in bytes, a word has to be that speaks against a match.
const antiWindow = 32

// edge makes an offset one that lies in the text, between two characters.
func edge(text string, at int) int {
	at = max(0, min(len(text), at))
	for at < len(text) && at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return at
}

// near reports whether one of the words stands in the text, by itself.
func near(text string, words []string) bool {
	for _, w := range words {
		for from := 0; ; {
			i := strings.Index(text[from:], w)
			if i < 0 {
				break
			}
			start, end := from+i, from+i+len(w)
			before, _ := utf8.DecodeLastRuneInString(text[:start])
			after, _ := utf8.DecodeRuneInString(text[end:])
			if !unicode.IsLetter(before) && !unicode.IsLetter(after) {
				return true
			}
			from = start + 1
		}
	}
	return false
}

// nextToken is where the word after the one at start begins: nothing that begins within this one stands alone.
func nextToken(text string, start int) int {
	in := false
	for i, r := range text[start:] {
		if wordy(r) {
			in = true
		} else if in || i > 0 {
			return start + i
		}
	}
	return len(text)
}

// Plain makes a text comparable: spaces, dashes, and digits and letters of full width become those of ASCII, and what has no
// width is left out.
func Plain(text string) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		switch {
		case r == 0x00AD || r >= 0x200B && r <= 0x200F || r == 0x2060 || r == 0xFEFF || r >= 0x202A && r <= 0x202E:
		case r == 0x00A0 || r >= 0x2000 && r <= 0x200A || r == 0x202F || r == 0x205F || r == 0x3000:
			b.WriteByte(' ')
		case r >= 0x2010 && r <= 0x2015 || r == 0x2212 || r == 0xFE63:
			b.WriteByte('-')
		case r == 0x2018 || r == 0x2019:
			b.WriteByte('\'')
		case r >= 0xFF01 && r <= 0xFF5E:
			b.WriteRune(r - 0xFF01 + '!')
		case r >= 0x0660 && r <= 0x0669:
			b.WriteRune(r - 0x0660 + '0')
		case r >= 0x06F0 && r <= 0x06F9:
			b.WriteRune(r - 0x06F0 + '0')
		case r >= 0x0966 && r <= 0x096F:
			b.WriteRune(r - 0x0966 + '0')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// asciiLower is the text in lower case, of the same length: letters whose other case has another length stay as they are.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if l := unicode.ToLower(r); utf8.RuneLen(l) == utf8.RuneLen(r) {
			return l
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// compact is a value without what people put between its characters.
func compact(value string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -./()\t\r\n", r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, value)
}

// Mask leaves as much of a value as its owner needs to find it again: the last two characters, four of a card, the first letter of
// a mailbox and the end of its domain, the first four characters of a key.
func Mask(kind, value string) string {
	runes := []rune(value)
	var open func(i int) bool
	switch kind {
	case "email":
		at, dot := strings.LastIndexByte(value, '@'), strings.LastIndexByte(value, '.')
		at, dot = utf8.RuneCountInString(value[:max(0, at)]), utf8.RuneCountInString(value[:max(0, dot)])
		open = func(i int) bool { return i == 0 || i == at || i >= dot }
	case "api_key", "jwt":
		open = func(i int) bool { return i < 4 }
	default:
		left := 2
		if kind == "credit_card" {
			left = 4
		}
		wordsLeft := 0
		for _, r := range runes {
			if wordy(r) {
				wordsLeft++
			}
		}
		first := len(runes)
		if wordsLeft > 2*left {
			for n := 0; n < left; {
				if first--; wordy(runes[first]) {
					n++
				}
			}
		}
		open = func(i int) bool { return i >= first }
	}
	masked := make([]rune, 0, min(len(runes), maxSample))
	for i, r := range runes[:min(len(runes), maxSample)] {
		if wordy(r) && !open(i) {
			r = '•'
		}
		masked = append(masked, r)
	}
	return string(masked)
}

// maxSample bounds a masked sample, in characters.
const maxSample = 64

// spans are the places of a text that are taken.
type spans struct{ bits []uint64 }

func newSpans(n int) spans { return spans{make([]uint64, n/64+1)} }

// take takes a place unless some of it is taken.
func (s spans) take(start, end int) bool {
	for i := start; i < end; i++ {
		if s.bits[i/64]&(1<<(i%64)) != 0 {
			return false
		}
	}
	for i := start; i < end; i++ {
		s.bits[i/64] |= 1 << (i % 64)
	}
	return true
}
