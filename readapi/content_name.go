package readapi

import (
	"mime"
	"path"
	"strings"
	"unicode"
)

// disposition is Content-Disposition with the name in both forms of RFC 6266: filename for old clients, plain ASCII, and
// filename* (RFC 8187) for the others. kind is inline or attachment.
func disposition(kind, name, contentType string) string {
	name = strings.Map(func(r rune) rune {
		// Controls would break the header; format characters (RTL overrides) would let a name look like another.
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '/' || r == '\\' || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	if strings.Trim(name, " .") == "" {
		name = "file" + extension(contentType)
	}
	plain := strings.Map(func(r rune) rune {
		if r >= 0x7f || r == '"' || r == '%' || r == ';' {
			return '_'
		}
		return r
	}, name)
	return kind + `; filename="` + plain + `"; filename*=UTF-8''` + extValue(name)
}

// extValue encodes as RFC 8187 says: everything but attr-char is percent-encoded.
func extValue(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$&+-.^_`|~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// extension is what a file whose name was forgotten is given, so that it still opens.
func extension(contentType string) string {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	switch kind {
	case "image/jpeg":
		return ".jpg"
	case "video/quicktime":
		return ".mov"
	case "audio/mpeg":
		return ".mp3"
	case "text/plain":
		return ".txt"
	}
	sub := path.Base(kind)
	if len(sub) > 5 || strings.Trim(sub, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return ""
	}
	return "." + sub
}
