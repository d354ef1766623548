package doctext

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
)

// office reads the text of DOCX, XLSX, PPTX and OpenDocument. What the archive says about its own sizes is not believed.
func office(o *output, b []byte) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		o.whole = false
		return
	}
	left := int64(maxUnpacked)
	for i, f := range z.File {
		if i >= 10_000 || left <= 0 || o.Len() >= maxText {
			o.whole = false
			return
		}
		if !hasText(f.Name) {
			continue
		}
		r, err := f.Open()
		if err != nil {
			o.whole = false
			continue
		}
		limited := &io.LimitedReader{R: r, N: left}
		markup(o, limited)
		if left = limited.N; left <= 0 {
			o.whole = false
		}
		_ = r.Close() // it was only read
	}
}

// hasText reports whether a file of the archive holds what a reader of the document reads, or who wrote it.
func hasText(name string) bool {
	if !strings.HasSuffix(name, ".xml") {
		return false
	}
	folder, file := path.Split(name)
	switch folder {
	case "":
		return file == "content.xml" || file == "meta.xml"
	case "word/", "xl/worksheets/", "xl/comments/", "ppt/slides/", "ppt/notesSlides/", "ppt/comments/", "docProps/":
		return !slices.Contains([]string{"styles.xml", "settings.xml", "fontTable.xml", "webSettings.xml", "numbering.xml"}, file)
	case "xl/":
		return file == "sharedStrings.xml" || strings.HasPrefix(file, "comments")
	}
	return false
}

// markup writes what stands between the tags. A word may be cut into runs, so that only what ends a paragraph or a cell parts it.
func markup(o *output, in io.Reader) {
	d := xml.NewDecoder(in)
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				o.whole = false
			}
			o.text("\n")
			return
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth++; depth > 1000 {
				o.whole = false
				return
			}
			switch t.Name.Local {
			case "tab", "s", "br", "line-break":
				o.text(" ")
			}
		case xml.EndElement:
			depth--
			switch t.Name.Local {
			case "p", "si", "v", "row", "h", "tc", "table-cell", "creator", "lastModifiedBy", "title", "subject", "initial-creator", "is":
				o.text("\n")
			}
		case xml.CharData:
			if !o.text(string(t)) {
				return
			}
		}
	}
}
