package main

import (
	"encoding/json"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/internal/smtptest"
)

// outside is where what the vault sends arrives, while the vault is killed and started again: a webhook receiver and an SMTP
// server.
type outside struct {
	hooks *httptest.Server
	mail  *net.TCPAddr

	mu      sync.Mutex // guards what follows
	secrets map[string]string
	posts   map[string][]post // by the path that was asked, as they came
	mails   []letterIn
	wrong   []string // what was not as it has to be
	refuse  int      // how many posts are answered with 503
}

// post is a webhook's message.
type post struct {
	id, body string
	position int64
}

// letterIn is an e-mail.
type letterIn struct{ to, id, subject, body string }

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{secrets: map[string]string{}, posts: map[string][]post{}}
	o.hooks = httptest.NewServer(http.HandlerFunc(o.hook))
	t.Cleanup(o.hooks.Close)
	o.mail = smtptest.Start(t, smtptest.Office{Take: o.take})
	return o
}

// environ makes a vault send here.
func (o *outside) environ() []string {
	return []string{
		"MEDIAVAULT_WEBHOOKS_PRIVATE=true", "MEDIAVAULT_MAIL_DIGEST=1s",
		"MEDIAVAULT_SMTP_HOST=127.0.0.1", "MEDIAVAULT_SMTP_PORT=" + strconv.Itoa(o.mail.Port), "MEDIAVAULT_SMTP_SECURITY=none",
	}
}

func (o *outside) hook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // killed while it was sending
	}
	at, _ := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
	id := r.Header.Get("Webhook-Id")
	var said struct{ Data struct{ Position int64 } }
	o.mu.Lock()
	defer o.mu.Unlock()
	want, err := notify.Sign(id, time.Unix(at, 0), body, []string{o.secrets[r.URL.Path]})
	if err != nil || want != r.Header.Get("Webhook-Signature") || json.Unmarshal(body, &said) != nil {
		o.wrong = append(o.wrong, r.URL.Path+" "+id+": "+string(body))
	}
	if o.refuse > 0 {
		o.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	o.posts[r.URL.Path] = append(o.posts[r.URL.Path], post{id: id, body: string(body), position: said.Data.Position})
}

// take is a mail that came.
func (o *outside) take(to string, r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		return err // killed while it was sending: this mail was not taken
	}
	text := strings.ReplaceAll(string(body), "\r\n", "\n")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, letterIn{to: to, id: m.Header.Get("Message-Id"), subject: m.Header.Get("Subject"), body: text})
	return nil
}
