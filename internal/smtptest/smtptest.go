// Package smtptest is a real SMTP server for tests, on a port of this machine. What it takes, and whom it refuses, its test says.
package smtptest

import (
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// Office is where mail arrives.
type Office struct {
	// Refuse says no to a recipient; nil: nobody is refused.
	Refuse func(to string) error
	// Take reads a mail that came for somebody. Its error is the server's answer.
	Take func(to string, mail io.Reader) error
}

// Start serves the office until the test's end, and answers where.
func Start(t testing.TB, office Office) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{office: office}, nil }))
	server.Domain, server.AllowInsecureAuth, server.ReadTimeout = "localhost", true, 10*time.Second
	server.ErrorLog = log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return l.Addr().(*net.TCPAddr) //nolint:forcetypeassert // it is one
}

type session struct {
	office Office
	to     string
}

func (*session) Reset()                               {}
func (*session) Logout() error                        { return nil }
func (*session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	if s.office.Refuse != nil {
		return s.office.Refuse(to)
	}
	return nil
}

func (s *session) Data(r io.Reader) error { return s.office.Take(s.to, r) }
