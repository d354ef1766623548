package domain_test

import (
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	_ "github.com/mediavault-io/mediavault/domain/domaintest" // its flag: go test ./domain/... -update is for all
)

func TestTextOfPeopleIsKeptWithoutWhatCannotBeSeenAroundIt(t *testing.T) {
	t.Parallel()
	for said, kept := range map[string]string{
		" \t harbour \r\n ":      "harbour",
		"\u200b\ufeff":           "",
		"a\u200bb \u00a0":        "a\u200bb",
		strings.Repeat("ü", 10):  strings.Repeat("ü", 10),
		strings.Repeat("🜂", 10):  strings.Repeat("🜂", 10),
		" " + "0123456789" + " ": "0123456789",
	} {
		if got, err := domain.CleanText("title", said, 10, false); err != nil || got != kept {
			t.Errorf("%q: got %q, %v", said, got, err)
		}
	}
	if got, err := domain.CleanText("note", "a\r\n\tb", 10, true); err != nil || got != "a\r\n\tb" {
		t.Errorf("lines: got %q, %v", got, err)
	}
}

func TestTextThatIsTooLongOrDeceivesIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	for said, why := range map[string]string{
		strings.Repeat("ü", 11): "the text has 11 characters; at most 10 are accepted",
		"a\xff":                 "the text is not valid UTF-8",
		"a\x00b":                "the text has control or direction characters",
		"a\nb":                  "the text has control or direction characters",
		"a\u202egnp.exe":        "the text has control or direction characters",
	} {
		_, err := domain.CleanText("title", said, 10, false)
		if r, ok := domain.AsRefusal(err); !ok || r.Field != "title" || r.Detail != why || r.Code != "invalid" {
			t.Errorf("%q: got %v", said, err)
		}
	}
	if _, err := domain.CleanText("note", "a\vb", 10, true); err == nil {
		t.Error("a vertical tab was taken for a line end")
	}
}
