package media

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mediavault-io/mediavault/domain"
)

// CleanName answers a file name as it is kept, or refuses it. Refused: traversal and separators, control and bidirectional
// characters, reserved device names, dangerous extensions (the last or an inner one), patterns that some program would
// interpret, and names that are too long. Else white space is collapsed, what Windows does not allow becomes `_`, and dots
// at the ends go. A clean name comes out as it went in.
func CleanName(raw string, p Policy) (string, error) {
	no := func(detail string) (string, error) { return "", ErrName.On("filename").Because(detail) }
	switch {
	case strings.TrimSpace(raw) == "":
		return no("the file name is missing")
	case len(raw) > p.MaxName:
		return no(fmt.Sprintf("the file name has %d bytes; at most %d are accepted", len(raw), p.MaxName))
	case !utf8.ValidString(raw):
		return no("the file name is not valid UTF-8")
	case strings.ContainsFunc(raw, hidden):
		return no("the file name has control or direction characters")
	case strings.ContainsFunc(raw, separator):
		return no("the file name has a path in it")
	case strings.HasPrefix(strings.TrimSpace(raw), ".."):
		return no("the file name has a path in it")
	case malicious(raw):
		return no("the file name has a pattern that programs interpret")
	case reserved(raw):
		return no("the file name is reserved by an operating system")
	}
	name := sanitise(raw)
	if name == "" {
		return no("nothing of the file name can be kept")
	}
	if reserved(name) || malicious(name) {
		return no("the file name is reserved by an operating system")
	}
	if dangerous(raw) || dangerous(name) {
		return no("the file name has an extension that is not accepted; accepted are " + p.accepted())
	}
	return name, nil
}

// sanitise keeps what every system can store.
func sanitise(raw string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:"|?*`, r) {
			return '_'
		}
		return r
	}, raw)
	name = strings.Join(strings.Fields(name), " ")
	return strings.TrimFunc(name, func(r rune) bool { return r == '.' || unicode.IsSpace(r) })
}

// hidden are characters that a reader of the name does not see, or that turn it around. The joiner stays: emoji need it.
func hidden(r rune) bool {
	switch {
	case unicode.IsControl(r), r == utf8.RuneError,
		r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, // embeddings, overrides, isolates
		r == 0x200E, r == 0x200F, r == 0x061C, // marks
		r == 0x200B, r == 0x2060, r == 0xFEFF, r == 0x00AD, // zero width, soft hyphen
		r == 0x2028, r == 0x2029, // line and paragraph separator
		unicode.Is(unicode.Co, r), r >= 0xFFF9 && r <= 0xFFFB:
		return true
	}
	return false
}

// separator are slashes, and what looks or is normalised like one.
func separator(r rune) bool {
	return strings.ContainsRune("/\\\u2044\u2215\u29F5\u29F8\uFF0F\uFF3C", r)
}

// dot are full stops, and what is normalised to one.
func dot(r rune) bool { return strings.ContainsRune(".;:\u2024\uFE52\uFF0E", r) }

// pieces are what stands between the dots, in lower case. A semicolon parts as well: some servers stop reading there.
func pieces(name string) []string {
	out := strings.FieldsFunc(name, dot)
	for i := range out {
		out[i] = strings.TrimSpace(strings.ToLower(out[i]))
	}
	return out
}

// extension is the last extension in lower case without its dot, or "".
func extension(name string) string {
	p := pieces(name)
	if len(p) < 2 {
		return ""
	}
	return p[len(p)-1]
}

// dangerous reports whether one of the name's extensions is one that something runs. A name that is nothing but an extension
// (`.htaccess`) is one.
func dangerous(name string) bool {
	p := pieces(name)
	for i, piece := range p {
		last := i == len(p)-1
		if i == 0 && !strings.HasPrefix(strings.TrimSpace(name), ".") {
			continue
		}
		if scripts[piece] || last && programs[piece] {
			return true
		}
	}
	return false
}

func malicious(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{
		"<", ">", "`", "$(", "${", "{{", "}}", "<%", "::$", "%00", "%0a", "%0d", "%2e", "%2f", "%5c", "%25", "javascript:", "\x00",
		"&&", "||", "\u2025", "\u2026/",
	}, func(p string) bool { return strings.Contains(lower, p) })
}

// reserved are the device names of Windows, with any extension.
func reserved(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(name)), ".")
	base, _, _ = strings.Cut(base, ":")
	base = strings.TrimSpace(base)
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$", "DESKTOP INI", "THUMBS DB":
		return true
	}
	for _, device := range []string{"COM", "LPT"} {
		if rest, ok := strings.CutPrefix(base, device); ok && utf8.RuneCountInString(rest) == 1 && strings.Contains("0123456789¹²³", rest) {
			return true
		}
	}
	return false
}

// scripts are extensions that a server or a desktop runs or renders as active content; refused also as an inner extension.
var scripts = set(`exe dll scr msi msp bat cmd ps1 psm1 vbs vbe wsf wsh hta lnk reg cpl jar war
	php php3 php4 php5 php7 php8 phps pht phtml phar sh bash zsh ksh csh js mjs cjs jse ts jsx html htm xhtml shtml xht mht mhtml svg svgz
	asp aspx ashx asmx cer asa jsp jspx jspf cgi pl pm py pyc pyw rb lua cfm htaccess htpasswd swf xml xsl xslt`)

// programs are extensions that are refused as the last one only: as an inner one they are words of everyday names.
var programs = set(`com app bin run out deb rpm apk ipa dmg pkg iso img elf so dylib sys drv ocx inf gadget application
	docm dotm xlsm xltm xlam pptm potm ppam sldm one chm hlp scf url desktop action command workflow csproj sln class env ini conf
	zip rar 7z tar gz bz2 xz tgz cab ace arj wasm sql db sqlite`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// clip cuts text to at most n bytes of valid UTF-8.
func clip(text string, n int) string {
	if len(text) > n {
		text = text[:n]
	}
	return strings.ToValidUTF8(text, "")
}

// title answers a title, or the fallback (a clean file name) where there is none.
func (p Policy) title(text, fallback string) (string, error) {
	title, err := domain.CleanText("title", text, p.MaxTitle, false)
	if err != nil {
		return "", err
	}
	if title == "" {
		title = fallback
	}
	if title == "" {
		return "", domain.ErrInvalid.On("title").Because("an item has a title")
	}
	return title, nil
}

// tags answers tags as they are kept: lower case, sorted, each once, about the owner.
func (p Policy) tags(tags []domain.Personal, owner domain.UserID) ([]domain.Personal, error) {
	var words []string
	for _, t := range tags {
		word, err := domain.CleanText("tags", strings.ToLower(t.Text()), p.MaxTag, false)
		if err != nil {
			return nil, err
		}
		if word == "" {
			return nil, domain.ErrInvalid.On("tags").Because("a tag is not empty")
		}
		words = append(words, word)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	if len(words) > p.MaxTags {
		return nil, domain.ErrInvalid.On("tags").Because(fmt.Sprintf("there are %d tags; at most %d are accepted", len(words), p.MaxTags))
	}
	var out []domain.Personal
	for _, w := range words {
		out = append(out, domain.NewPersonal(owner, w))
	}
	return out, nil
}
