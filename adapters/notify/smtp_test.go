package notify_test

import (
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/mediavault-io/mediavault/adapters/notify"
	"github.com/mediavault-io/mediavault/internal/smtptest"
)

// postOffice is a real SMTP server that takes mail, or does not.
type postOffice struct {
	addr *net.TCPAddr

	mu    sync.Mutex // guards what follows
	no    *smtp.SMTPError
	mails []string // recipient, then the mail as it came
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	o := &postOffice{}
	o.addr = smtptest.Start(t, smtptest.Office{Refuse: o.refuse, Take: o.take})
	return o
}

func (o *postOffice) refuse(string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.no == nil {
		return nil
	}
	return o.no
}

func (o *postOffice) take(to string, mail io.Reader) error {
	b, err := io.ReadAll(mail)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, to+"\n"+string(b))
	return nil
}

func TestMail(t *testing.T) {
	t.Parallel()
	office := newPostOffice(t)
	sender, err := notify.NewSMTP(notify.SMTPOptions{Host: "127.0.0.1", Port: office.addr.Port, From: "Media Vault <vault@example.org>", Security: "none", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	send := func(to string) error { return sender.Mail(t.Context(), to, "Grüße", "line one\n.\nline two", "d1") }
	if err := send("alice@example.org"); err != nil {
		t.Fatal(err)
	}
	got := office.mails[0]
	for _, want := range []string{"alice@example.org\n", "From: \"Media Vault\" <vault@example.org>", "Message-ID: <d1@", "Auto-Submitted: auto-generated", "line two"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	for no, want := range map[*smtp.SMTPError]bool{
		{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox alice"}: true,
		{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}:                 false,
	} {
		office.mu.Lock()
		office.no = no
		office.mu.Unlock()
		err := send("alice@example.org")
		got, permanent := code(t, err)
		if permanent != want || !strings.HasPrefix(got, "smtp_") || strings.Contains(err.Error(), "alice") {
			t.Errorf("%d: %s %v %v", no.Code, got, permanent, err)
		}
	}
	if got, permanent := code(t, send("no address\r\nBcc: bob@example.org")); got != "address" || !permanent {
		t.Errorf("an address that is none: %s", got)
	}
	secured, err := notify.NewSMTP(notify.SMTPOptions{Host: "127.0.0.1", Port: office.addr.Port, From: "vault@example.org", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := secured.Mail(t.Context(), "alice@example.org", "s", "t", "d2"); err == nil {
		t.Error("mail went in the clear where TLS is demanded")
	}
	if _, err := notify.NewSMTP(notify.SMTPOptions{Host: "h", Port: 25, From: "nobody"}); err == nil {
		t.Error("a sender without an address was accepted")
	}
}

func TestMailToAServerThatHangsEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sender, err := notify.NewSMTP(notify.SMTPOptions{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "v@example.org", Security: "none", Timeout: 200 * time.Millisecond}) //nolint:forcetypeassert // it is one
	if err != nil {
		t.Fatal(err)
	}
	err = sender.Mail(t.Context(), "alice@example.org", "s", "t", "d1")
	var f *notify.Failure
	if !errors.As(err, &f) || f.Permanent() {
		t.Errorf("%v", err)
	}
}

// quietLog is for servers whose clients are cut off on purpose.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
