package commands_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
)

func TestAPasswordHasAFewCharactersAndIsTheSameHoweverItIsTyped(t *testing.T) {
	t.Parallel()
	p := commands.NewPasswords(time.Now)
	for _, refused := range []string{"", "1234567", "ääääääü", strings.Repeat("x", 1025), "12345678\xff"} {
		if _, err := p.Hash(t.Context(), refused); !refusedOn(err, "password") {
			t.Errorf("%q: %v", refused, err)
		}
	}
	for _, password := range []string{"        ", "12345678", strings.Repeat("🜂", 1024)} {
		if _, err := p.Hash(t.Context(), password); err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
	hash := must(p.Hash(t.Context(), "Gr\u00fc\u00dfe aus K\u00f6ln"))(t)
	for password, right := range map[string]bool{"Gr\u00fc\u00dfe aus K\u00f6ln": true, "Gru\u0308\u00dfe aus Ko\u0308ln": true, "Grusse aus Koln": false, "": false} {
		if got, err := p.Match(t.Context(), hash, password); err != nil || got != right {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
}

// refusedOn reports whether err is a refusal of the field.
func refusedOn(err error, field string) bool {
	refusal, ok := domain.AsRefusal(err)
	return ok && refusal.Field == field
}
