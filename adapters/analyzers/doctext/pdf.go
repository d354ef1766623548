package doctext

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// pdf reads the strings that content streams show. Fonts that number their glyphs as they like are understood when they say what the
// numbers mean (ToUnicode); what is encrypted, or is a picture of text, is not read.
func pdf(o *output, b []byte) {
	if bytes.Contains(b, []byte("/Encrypt")) {
		o.whole = false
		return
	}
	p := &pdfText{output: o, left: maxUnpacked}
	streams := p.streams(b)
	for _, s := range streams {
		if bytes.Contains(s, []byte("begincmap")) {
			p.cmap(s)
		}
	}
	for _, s := range streams {
		if bytes.Contains(s, []byte("BT")) && bytes.Contains(s, []byte("ET")) && !bytes.Contains(s, []byte("begincmap")) {
			p.content(s)
		}
		if o.Len() >= maxText {
			return
		}
	}
}

type pdfText struct {
	*output
	left  int64
	codes map[string]string // of all fonts' ToUnicode: a glyph's code, in bytes, to text
	width int               // of those codes, in bytes
}

// streams are the contents of all streams, unpacked as far as the limit allows.
func (p *pdfText) streams(b []byte) [][]byte {
	var all [][]byte
	for len(all) < 20_000 && p.left > 0 {
		i := bytes.Index(b, []byte("stream"))
		if i < 0 {
			return all
		}
		head := b[max(0, i-400):i]
		if k := bytes.LastIndex(head, []byte("obj")); k >= 0 {
			head = head[k:]
		}
		body := bytes.TrimPrefix(bytes.TrimPrefix(b[i+len("stream"):], []byte("\r")), []byte("\n"))
		end := bytes.Index(body, []byte("endstream"))
		if end < 0 {
			return all
		}
		raw := body[:end]
		b = body[end+len("endstream"):]
		if bytes.Contains(head, []byte("/Image")) || bytes.Contains(head, []byte("/DCTDecode")) || bytes.Contains(head, []byte("/FontFile")) {
			continue
		}
		if bytes.Contains(head, []byte("FlateDecode")) {
			z, err := zlib.NewReader(bytes.NewReader(raw))
			if err != nil {
				p.whole = false
				continue
			}
			raw, err = io.ReadAll(io.LimitReader(z, p.left))
			if err != nil && len(raw) == 0 {
				p.whole = false
			}
		}
		p.left -= int64(len(raw))
		all = append(all, raw)
	}
	p.whole = false
	return all
}

// cmap reads what a font says its codes mean: single ones, and ranges.
func (p *pdfText) cmap(s []byte) {
	if p.codes == nil {
		p.codes = map[string]string{}
	}
	section := func(name string, each func(codes []string)) {
		rest := string(s)
		for {
			_, after, ok := strings.Cut(rest, "begin"+name)
			if !ok {
				return
			}
			inner, further, ok := strings.Cut(after, "end"+name)
			if !ok {
				return
			}
			rest = further
			var codes []string
			for _, m := range regexp.MustCompile(`<([0-9A-Fa-f \n\r]*)>`).FindAllStringSubmatch(inner, 200_000) {
				b, err := hex.DecodeString(strings.Join(strings.Fields(m[1]), ""))
				if err == nil {
					codes = append(codes, string(b))
				}
			}
			each(codes)
		}
	}
	section("bfchar", func(c []string) {
		for i := 0; i+1 < len(c); i += 2 {
			p.codes[c[i]], p.width = utf16Text(c[i+1]), len(c[i])
		}
	})
	section("bfrange", func(c []string) {
		for i := 0; i+2 < len(c); i += 3 {
			low, high, to := codeOf(c[i]), codeOf(c[i+1]), codeOf(c[i+2])
			if len(c[i+2]) != 2 || high < low || high-low > 65535 {
				continue
			}
			p.width = len(c[i])
			for n := low; n <= high; n++ {
				key := make([]byte, len(c[i]))
				for k := range key {
					key[len(key)-1-k] = byte(n >> (8 * k)) //nolint:gosec // its lowest byte is meant
				}
				p.codes[string(key)] = string(rune(to + n - low))
			}
		}
	})
}

func codeOf(s string) int {
	n := 0
	for i := range min(len(s), 4) {
		n = n<<8 | int(s[i])
	}
	return n
}

func utf16Text(s string) string {
	return decode(append([]byte{0xFE, 0xFF}, s...))
}

// content writes the strings that a content stream shows, with a space or a line between those that stand apart.
func (p *pdfText) content(s []byte) {
	number := regexp.MustCompile(`^-?[0-9]+(\.[0-9]*)?$`)
	array := false
	for i := 0; i < len(s) && p.Len() < maxText; {
		switch c := s[i]; {
		case c == '(':
			text, next := literal(s, i)
			p.show(text)
			i = next
		case c == '<' && i+1 < len(s) && s[i+1] != '<':
			end := bytes.IndexByte(s[i:], '>')
			if end < 0 {
				return
			}
			if b, err := hex.DecodeString(strings.Join(strings.Fields(string(s[i+1:i+end])), "")); err == nil {
				p.show(b)
			}
			i += end + 1
		case c == '[', c == ']':
			array = c == '['
			i++
		case c == ' ', c == '\n', c == '\r', c == '\t':
			i++
		default:
			end := i + 1
			for end < len(s) && !bytes.ContainsRune([]byte(" \t\r\n()<>[]/"), rune(s[end])) {
				end++
			}
			word := string(s[i:end])
			switch {
			case array && number.MatchString(word): // a gap as wide as a word's
				if n, err := strconv.ParseFloat(word, 64); err == nil && n < -180 {
					p.text(" ")
				}
			case word == "Td", word == "TD", word == "T*", word == "'", word == "\"", word == "ET", word == "Tm":
				p.text("\n")
			}
			i = end
		}
	}
}

// show writes a string: by what the fonts say, when they say it, else as Western European.
func (p *pdfText) show(b []byte) {
	if p.width > 0 && len(b)%p.width == 0 {
		var text strings.Builder
		known := 0
		for i := 0; i < len(b); i += p.width {
			t, ok := p.codes[string(b[i:i+p.width])]
			if ok {
				known++
			}
			text.WriteString(t)
		}
		if known*2 > len(b)/p.width {
			p.text(text.String())
			return
		}
	}
	var text strings.Builder
	for _, c := range b {
		text.WriteRune(western(c))
	}
	p.text(text.String())
}

// literal reads a string in brackets, with its escapes.
func literal(s []byte, i int) (text []byte, next int) {
	depth := 0
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case '(':
			if depth++; depth > 1 {
				text = append(text, c)
			}
		case ')':
			if depth--; depth == 0 {
				return text, i + 1
			}
			text = append(text, c)
		case '\\':
			if i++; i >= len(s) {
				return text, i
			}
			switch c := s[i]; {
			case c == 'n' || c == 'r':
				text = append(text, '\n')
			case c == 't':
				text = append(text, '\t')
			case c >= '0' && c <= '7':
				n, digits := 0, 0
				for ; digits < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7'; digits++ {
					n = n*8 + int(s[i]-'0')
					i++
				}
				i--
				text = append(text, byte(n)) //nolint:gosec // as PDF says: high bits are lost
			case c != '\n':
				text = append(text, c)
			}
		default:
			text = append(text, c)
		}
	}
	return text, i
}
