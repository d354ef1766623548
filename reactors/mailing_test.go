package reactors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/recipient"
	"github.com/mediavault-io/mediavault/domain/share"
	"github.com/mediavault-io/mediavault/reactors"
)

// postman writes down what he is given; the SMTP that stands in his place is tested in adapters/notify.
type postman struct {
	mu   sync.Mutex // guards what follows
	fail error
	sent []string
	ids  []string
}

func (p *postman) Mail(_ context.Context, to, subject, text, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(p.ids, id)
	if p.fail != nil {
		return p.fail
	}
	p.sent = append(p.sent, to+"|"+subject+"|"+text)
	return nil
}

func (p *postman) mails() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

func TestMailing(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	p := &postman{fail: errors.New("not now")}
	if err := v.notifications().LearnAddress(t.Context(), "bob", "bob@example.org"); err != nil {
		t.Fatal(err)
	}
	v.react(v.notifying(), reactors.NewMailing(v.pool, v.notifications(), p, 5*time.Minute, v.now))
	for range 3 {
		v.share(v.item(), share.Terms{})
	}
	waitFor(t, func() bool {
		var n int
		return v.pool.QueryRow(t.Context(), `SELECT count(*) FROM reactor_outbox`).Scan(&n) == nil && n == 3
	})
	if len(p.ids) != 0 {
		t.Fatal("the first did not wait for others")
	}
	v.pass(6 * time.Minute)
	waitFor(t, func() bool { return len(v.outcomes(domain.ChannelEmail)) == 3 })
	p.mu.Lock()
	p.fail = nil
	p.mu.Unlock()
	v.pass(2 * time.Minute)
	waitFor(t, func() bool { return len(v.outcomes(domain.ChannelEmail)) == 6 })
	got := p.mails()
	if len(got) != 1 || !strings.HasPrefix(got[0], "bob@example.org|Media Vault: 3 notifications|") || strings.Count(got[0], "shared item") != 3 || strings.Contains(got[0], "Harbour") {
		t.Errorf("sent %q", got)
	}
	if p.ids[0] != p.ids[1] {
		t.Errorf("tried again under another id: %v", p.ids)
	}

	// Who does not want it is not told, and that is recorded; so is that there is no address.
	if _, err := v.notifications().SetPreferences(t.Context(), v.as("bob"), commands.Preferences{Off: []recipient.Off{{Channel: domain.ChannelEmail, Topic: domain.TopicShareGranted}}}); err != nil {
		t.Fatal(err)
	}
	v.share(v.item(), share.Terms{})
	waitFor(t, func() bool { return len(v.outcomes(domain.ChannelEmail)) == 7 })
	if all := v.outcomes(domain.ChannelEmail); all[6] != "suppressed " || len(p.mails()) != 1 {
		t.Errorf("recorded %v", all)
	}
}
