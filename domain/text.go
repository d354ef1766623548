package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CleanText answers text that people wrote as it is kept: without what cannot be seen around it. most is how many characters are
// accepted; lines says whether line ends and tabs are. What is wrong is a refusal of the field.
func CleanText(field, text string, most int, lines bool) (string, error) {
	text = strings.TrimFunc(text, unseen)
	no := func(detail string) (string, error) { return "", ErrInvalid.On(field).Because(detail) }
	if !utf8.ValidString(text) {
		return no("the text is not valid UTF-8")
	}
	if n := utf8.RuneCountInString(text); n > most {
		return no(fmt.Sprintf("the text has %d characters; at most %d are accepted", n, most))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return Unprintable(r) && !(lines && strings.ContainsRune("\n\r\t", r)) }) {
		return no("the text has control or direction characters")
	}
	return text, nil
}

// Unprintable reports a character that text of people does not have: of control, or one that turns the direction of what follows,
// so that it reads as what it is not.
func Unprintable(r rune) bool { return unicode.IsControl(r) || r == 0x202D || r == 0x202E }

// unseen are white space and the characters without width that nobody means at an end of a text.
func unseen(r rune) bool { return unicode.IsSpace(r) || r == 0x200B || r == 0x2060 || r == 0xFEFF }
