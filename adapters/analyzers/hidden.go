package analyzers

import (
	"bytes"

	"github.com/mediavault-io/mediavault/domain/media"
)

// appended looks for a second file in a picture: a polyglot, which is one thing to the vault and another to who opens it.
func (l *look) appended() {
	var rest []byte
	switch l.Type {
	case "image/jpeg":
		rest = l.all[jpegEnd(l.all):]
	case "image/png", "image/apng":
		end := len(l.all)
		for c := range pngChunks(l.all) {
			end = c.to
		}
		rest = l.all[min(end, len(l.all)):]
	}
	if foreign(rest) {
		l.found(Content, "polyglot", media.VerdictReview)
	}
	if zipEnd(l.all) {
		l.found(Content, "polyglot", media.VerdictReview)
	}
	l.script()
}

// foreign reports whether there is the beginning of a program, an archive or a page among bytes where none belongs.
func foreign(b []byte) bool {
	trimmed := bytes.TrimLeft(b, "\x00\r\n\t \xff")
	for _, start := range []string{"MZ", "\x7fELF", "PK\x03\x04", "Rar!", "7z\xbc\xaf", "%PDF", "#!/", "\xca\xfe\xba\xbe", "\x1f\x8b\x08"} {
		if bytes.HasPrefix(trimmed, []byte(start)) {
			return true
		}
	}
	return bytes.Contains(b, []byte("PK\x03\x04"))
}

// zipEnd reports whether a ZIP ends here, wherever it begins: that is how unpackers look at a file.
func zipEnd(b []byte) bool {
	tail := b[max(0, len(b)-(1<<16+22)):]
	i := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	return i >= 0 && len(tail)-i >= 22 && bytes.Contains(b, []byte("PK\x01\x02"))
}

// script looks for what a web server or a browser would run, were it told to.
func (l *look) script() {
	signs := [][]byte{[]byte("<?php"), []byte("<script"), []byte("<%@ page")}
	for at := 0; ; at++ {
		i := bytes.IndexByte(l.all[at:], '<')
		if i < 0 {
			return
		}
		at += i
		for _, s := range signs {
			if end := at + len(s); end <= len(l.all) && l.all[at+1]|0x20 == s[1]|0x20 && bytes.EqualFold(l.all[at:end], s) {
				l.found(Content, "script", media.VerdictReview)
				return
			}
		}
	}
}

// stream looks at the beginning of a video or sound.
func (l *look) stream() {
	l.step("header")
	l.report.Decoded = false
}

// text looks at text: RTF may carry objects, and plain text is to be text.
func (l *look) text() {
	l.step("text")
	if l.Type == "text/rtf" {
		for _, word := range []string{`\objdata`, `\objupdate`, `\objautlink`, `\objemb`} {
			if bytes.Contains(l.all, []byte(word)) {
				l.found(Content, "embedded_object", media.VerdictReview)
			}
		}
		return
	}
	if bytes.IndexByte(l.all, 0) >= 0 && !bytes.HasPrefix(l.all, []byte("\xff\xfe")) && !bytes.HasPrefix(l.all, []byte("\xfe\xff")) {
		l.found(Content, "not_text", "")
	}
	if zipEnd(l.all) {
		l.found(Content, "polyglot", media.VerdictReview)
	}
}

// ole looks for macros and embedded programs in the older office formats: their storages have names in UTF-16.
func (l *look) ole() {
	l.step("storages")
	for name, code := range map[string]string{"_VBA_PROJECT": "macros", "Macros": "macros", "\x01Ole10Native": "embedded_object"} {
		wide := make([]byte, 0, 2*len(name))
		for i := range len(name) {
			wide = append(wide, name[i], 0)
		}
		if bytes.Contains(l.all, wide) {
			l.found(Content, code, media.VerdictReview)
		}
	}
	if zipEnd(l.all) {
		l.found(Content, "polyglot", media.VerdictReview)
	}
}
