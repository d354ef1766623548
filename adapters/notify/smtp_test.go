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
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	o.addr = l.Addr().(*net.TCPAddr) //nolint:forcetypeassert // it is one
	server := smtp.NewServer(o)
	server.Domain, server.AllowInsecureAuth, server.ReadTimeout = "localhost", true, 5*time.Second
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return o
}

func (o *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{office: o}, nil }

type session struct {
	office *postOffice
	to     string
}

func (*session) Reset()                               {}
func (*session) Logout() error                        { return nil }
func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	if s.office.no != nil {
		return s.office.no
	}
	s.to = to
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	s.office.mails = append(s.office.mails, s.to+"\n"+string(b))
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
