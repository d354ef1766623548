package reactors

import (
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/notification"
	"github.com/mediavault-io/mediavault/domain/recipient"
)

func TestNobodysNameIsACommandToSlack(t *testing.T) {
	t.Parallel()
	s := notification.State{ID: "n1", About: notification.About{Topic: domain.TopicShareGranted, Media: "m1", By: "<!channel> & <https://evil.example|alice>"}}
	body, err := webhookBody(recipient.Slack, s, letter{})
	want := `{"text":"\u0026lt;!channel\u0026gt; \u0026amp; \u0026lt;https://evil.example|alice\u0026gt; shared item m1 with you."}`
	if err != nil || string(body) != want {
		t.Errorf("%s, %v", body, err)
	}
	if body, err = webhookBody(recipient.Standard, s, letter{}); err != nil || !strings.Contains(string(body), `\u003c!channel\u003e \u0026 `) {
		t.Errorf("programs get it as it is: %s, %v", body, err)
	}
}
