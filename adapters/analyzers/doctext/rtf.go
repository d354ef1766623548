package doctext

import (
	"slices"
	"strconv"
)

// rtf leaves out what is not text of the document: control words, and groups that hold fonts, colours, pictures and the like.
func rtf(o *output, b []byte) {
	depth, hidden := 0, -1 // groups deeper than hidden are left out
	skip := 0              // characters that stand for a \u before them
	put := func(s string) {
		if skip > 0 {
			skip--
			return
		}
		if hidden < 0 {
			o.text(s)
		}
	}
	for i := 0; i < len(b) && o.Len() < maxText; i++ {
		switch c := b[i]; c {
		case '{':
			depth++
		case '}':
			if depth--; depth < hidden {
				hidden = -1
			}
			skip = 0
		case '\r', '\n':
		case '\\':
			if i++; i >= len(b) {
				return
			}
			switch c := b[i]; {
			case c == '\'' && i+2 < len(b):
				n, err := strconv.ParseUint(string(b[i+1:i+3]), 16, 8)
				if err == nil {
					put(string(western(byte(n))))
				}
				i += 2
			case c == '*':
				if hidden < 0 {
					hidden = depth
				}
			case c == '~':
				put(" ")
			case c == '_':
				put("-")
			case c >= 'a' && c <= 'z':
				word, number := "", ""
				for ; i < len(b) && b[i] >= 'a' && b[i] <= 'z' && len(word) < 32; i++ {
					word += string(b[i])
				}
				for ; i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i] == '-' && number == "") && len(number) < 10; i++ {
					number += string(b[i])
				}
				if i >= len(b) || b[i] != ' ' {
					i-- // a space after a word belongs to it
				}
				switch {
				case slices.Contains([]string{"fonttbl", "colortbl", "stylesheet", "pict", "themedata", "datastore", "listtable", "rsidtbl", "generator"}, word):
					if hidden < 0 {
						hidden = depth
					}
				case word == "par" || word == "line" || word == "row":
					put("\n")
				case word == "tab" || word == "cell":
					put("\t")
				case word == "u":
					n, err := strconv.Atoi(number)
					if err == nil {
						skip = 0
						put(string(rune(uint16(n)))) //nolint:gosec // as RTF says: negative above 32,767
						skip = 1
					}
				}
			default:
				put(string(rune(c)))
			}
		default:
			put(string(western(c)))
		}
	}
}
