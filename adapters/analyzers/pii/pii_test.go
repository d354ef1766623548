package pii_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers/pii"
)

func set(t testing.TB) *pii.Set {
	t.Helper()
	s, err := pii.Default()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsFoundIsSummedUpAndMasked(t *testing.T) {
	t.Parallel()
	found := set(t).Sum("IBAN DE89 3704 0044 0532 0130 00, again DE89370400440532013000, and card 4111-1111-1111-1111; bob@example.com")
	if len(found) != 3 {
		t.Fatalf("%+v", found)
	}
	for i, want := range []pii.Found{
		{Type: "credit_card", Count: 1, Confidence: 95, Sensitivity: 9, Sample: "••••-••••-••••-1111", Threshold: 60},
		{Type: "email", Count: 1, Confidence: 85, Sensitivity: 4, Sample: "b••@•••••••.com", Threshold: 60},
		{Type: "iban", Count: 1, Confidence: 100, Sensitivity: 8, Sample: "•••• •••• •••• •••• •••• 00", Threshold: 60},
	} {
		if found[i] != want {
			t.Errorf("got %+v, wanted %+v", found[i], want)
		}
	}
}

func TestNoSampleTellsTheValue(t *testing.T) {
	t.Parallel()
	s := set(t)
	for _, sentence := range labelled(t) {
		for _, m := range s.Find(sentence.text) {
			masked := pii.Mask(m.Type, m.Value)
			if hidden := strings.Count(masked, "•"); hidden == 0 || m.Type != "email" && hidden < 4 {
				t.Errorf("%s %q is shown as %q", m.Type, m.Value, masked)
			}
		}
	}
}

func TestTricksOfWritingDoNotHide(t *testing.T) {
	t.Parallel()
	s := set(t)
	for name, text := range map[string]string{
		"full width":          "card ４１１１ １１１１ １１１１ １１１１",
		"no-break spaces":     "card 4111\u00a01111\u202f1111\u00a01111",
		"zero width":          "card 4111\u200b1111\u200b1111\u200b1111",
		"other dashes":        "card 4111–1111–1111–1111",
		"arabic-indic digits": "card ٤١١١ ١١١١ ١١١١ ١١١١",
		"broken UTF-8":        "\xff\xfe card 4111 1111 1111 1111 \xc3",
		"lower case context":  "CARD 4111 1111 1111 1111",
		"letters that shrink": "İİİİ ẞẞẞ card 4111 1111 1111 1111 K", // lower case has another length
	} {
		if found := s.Sum(text); len(found) != 1 || found[0].Type != "credit_card" {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestTimeGrowsWithTheTextAlone(t *testing.T) {
	t.Parallel()
	s := set(t)
	const size = 64 << 10
	for name, unit := range map[string]string{
		"digits": "1", "digits and spaces": "1 ", "dashes": "1-", "points": "1.", "letters": "a", "mailboxes": "a@", "dots": "a.", "colons": "1:",
		"capitals": "AB1", "long capitals": "A", "cards": "4111111111111111 ", "ibans": "DE89 3704 ", "tokens": "eyJ", "brackets": "((1)", "spaces": " ",
		"plus": "+1", "words": "passport born iban ssn ",
	} {
		text := strings.Repeat(unit, size/len(unit))
		began := time.Now()
		s.Find(text)
		// It takes some milliseconds; what grows with the square takes minutes.
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func TestABadFileOfPatternsNamesPatternAndField(t *testing.T) {
	t.Parallel()
	good := "patterns:\n  - {name: a, type: a, pattern: x, base: 60, sensitivity: 5}\n"
	if _, err := pii.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                      "patterns: there are none",
		"threshold: 0\n" + good: "threshold:",
		"patterns: [{name: a, type: A, pattern: x, base: 60, sensitivity: 5}]":                                                           "pattern a: type:",
		"patterns: [{name: a, type: a, pattern: '(', base: 60, sensitivity: 5}]":                                                         "pattern a: pattern:",
		"patterns: [{name: a, type: a, pattern: 'x*', base: 60, sensitivity: 5}]":                                                        "pattern a: pattern:",
		"patterns: [{name: a, type: a, pattern: x, base: 50, sensitivity: 5}]":                                                           "pattern a: base:",
		"patterns: [{name: a, type: a, pattern: x, base: 60, boost: 5, sensitivity: 5}]":                                                 "pattern a: context:",
		"patterns: [{name: a, type: a, pattern: x, base: 60, sensitivity: 11}]":                                                          "pattern a: sensitivity:",
		"patterns: [{name: a, type: a, pattern: x, base: 60, sensitivity: 5, validate: magic}]":                                          "pattern a: validate:",
		"patterns: [{name: a, type: a, pattern: x, base: 160, sensitivity: 5}]":                                                          "pattern a: base:",
		"patterns: [{name: a, type: a, pattern: x, base: 60, sensitivity: 5, before: -1}]":                                               "pattern a: before:",
		"patterns: [{type: a, pattern: x, base: 60, sensitivity: 5}]":                                                                    "pattern number 1: name:",
		"patterns: [{name: a, type: a, pattern: x, base: 60, sensitivity: 5}, {name: a, type: a, pattern: x, base: 60, sensitivity: 5}]": "another pattern has it",
		"patterns: [{name: a, type: a, pattern: x, base: 60, sensitivity: 5, colour: red}]":                                              "colour",
	} {
		if _, err := pii.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte("patterns: [{name: staff, type: staff_id, pattern: 'E-\\d{6}', base: 70, sensitivity: 5}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := pii.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if found := own.Sum("badge E-123456"); len(found) != 1 || found[0].Type != "staff_id" {
		t.Errorf("%+v", found)
	}
	if own.Version() == set(t).Version() {
		t.Error("other patterns have the same version")
	}
	if _, err := pii.Load(file + ".none"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func FuzzFindNeverFails(f *testing.F) {
	s, err := pii.Default()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "a@b.cd", "P<UTO", "1.2.3.4", "::1", "+44 20 7946 0958", "eyJhbGciOiJub25lIn0.aaaaaaaaa.bbbbbbbbb", "2A 2B \xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain := pii.Plain(text)
		for _, m := range s.Find(text) {
			if m.Start < 0 || m.End > len(plain) || plain[m.Start:m.End] != m.Value || m.Confidence < 1 || m.Confidence > 100 {
				t.Errorf("%+v", m)
			}
			_ = pii.Mask(m.Type, m.Value)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	s := set(b)
	text := strings.Repeat("A walk along the harbour at dawn, 12.03.2024, order 4711-0815. Write to the office or call on Monday between 9 and 12. ", 800)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.Find(text)
	}
}
