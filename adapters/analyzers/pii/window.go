package pii

import "strings"

// window is a part of a text in which a pattern can match; looking elsewhere would only take time.
type window struct{ from, to int }

// page is a text with what is known of it before any pattern is tried.
type page struct {
	text, lower string
	runs        []run
	most        int // digits of a run
}

// run is a stretch of digits, with no more than maxGap bytes between one and the next.
type run struct{ from, to, digits int }

const (
	maxGap = 12 // the bank's letters in an IBAN, the words between the groups of a number
	tail   = 48 // how far a match may reach beyond the last digit of its run
)

func newPage(text string) *page {
	p := &page{text: text, lower: asciiLower(text)}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			continue
		}
		if n := len(p.runs); n > 0 && i-p.runs[n-1].to <= maxGap {
			p.runs[n-1].to = i + 1
			p.runs[n-1].digits++
		} else {
			p.runs = append(p.runs, run{i, i + 1, 1})
		}
		p.most = max(p.most, p.runs[len(p.runs)-1].digits)
	}
	return p
}

// windows are where the pattern may match, in order and without overlap.
func (pg *page) windows(p *pattern) []window {
	if p.digits > pg.most || p.base < p.threshold && !pg.mentions(p.context) {
		return nil
	}
	var all []window
	add := func(from, to int) {
		from, to = edge(pg.text, from), edge(pg.text, to)
		if n := len(all); n > 0 && from <= all[n-1].to {
			all[n-1].to = max(to, all[n-1].to)
			return
		}
		all = append(all, window{from, to})
	}
	switch {
	case p.digits > 0:
		for _, r := range pg.runs {
			if r.digits >= p.digits {
				add(r.from-p.lead, r.to+tail)
			}
		}
	case len(p.hints) == 1:
		for from := 0; ; {
			i := strings.Index(pg.text[from:], p.hints[0])
			if i < 0 {
				break
			}
			add(from+i-p.lead, from+i+hintTail)
			from += i + len(p.hints[0])
		}
	case len(p.hints) == 0 || pg.mentions(p.hints):
		add(0, len(pg.text))
	}
	return all
}

// hintTail is how far a match may reach beyond its hint.
const hintTail = 4 << 10

// mentions reports whether one of the words is somewhere in the text, in whatever case.
func (pg *page) mentions(words []string) bool {
	for _, w := range words {
		if strings.Contains(pg.lower, strings.ToLower(w)) {
			return true
		}
	}
	return false
}
