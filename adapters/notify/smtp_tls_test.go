package notify_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/mediavault-io/mediavault/adapters/notify"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{}
	a.cert, a.key = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "a root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	})
	return a
}

func (a authority) issue(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// server is a certificate for a host, good until then.
func (a authority) server(t *testing.T, host string, until time.Time) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses, template.DNSNames = []net.IP{ip}, nil
	}
	cert, key := a.issue(t, template)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
}

// trusted trusts the authority alone.
func (a authority) trusted() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
}

// securedOffice is a real SMTP server that speaks TLS from the first byte on, on demand, or not at all, and wants a password where it
// knows how to take one.
type securedOffice struct {
	port int

	mu        sync.Mutex // guards what follows
	mails     int        // that came
	encrypted int        // of them, over TLS
	logins    []string   // mechanism and password, as they came
}

type officeOptions struct {
	tls      *tls.Config // nil: none
	implicit bool
	login    []string // mechanisms; none: anybody may send
}

func newSecuredOffice(t *testing.T, o officeOptions) *securedOffice {
	t.Helper()
	office := &securedOffice{}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	office.port = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is one
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, encrypted := c.TLSConnectionState()
		s := &clientOf{office: office, encrypted: encrypted}
		if len(o.login) == 0 {
			return s, nil
		}
		return &guarded{clientOf: s, mechanisms: o.login}, nil
	}))
	server.Domain, server.AllowInsecureAuth, server.ReadTimeout, server.ErrorLog = "localhost", true, 5*time.Second, quietLog()
	if server.TLSConfig = o.tls; o.implicit {
		l = tls.NewListener(l, o.tls)
		server.TLSConfig = nil
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return office
}

type clientOf struct {
	office    *securedOffice
	encrypted bool
}

func (*clientOf) Reset()                               {}
func (*clientOf) Logout() error                        { return nil }
func (*clientOf) Mail(string, *smtp.MailOptions) error { return nil }
func (*clientOf) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s *clientOf) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	s.office.mu.Lock()
	defer s.office.mu.Unlock()
	s.office.mails++
	if s.encrypted {
		s.office.encrypted++
	}
	return nil
}

// guarded is a client that has to log in.
type guarded struct {
	*clientOf
	mechanisms []string
	in         bool
}

func (g *guarded) AuthMechanisms() []string { return g.mechanisms }

func (g *guarded) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		g.office.mu.Lock()
		defer g.office.mu.Unlock()
		g.office.logins = append(g.office.logins, mechanism+" "+password)
		if user != "vault" || password != "right" {
			return smtp.ErrAuthFailed
		}
		g.in = true
		return nil
	}
	if mechanism == "LOGIN" {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

func (g *guarded) Mail(string, *smtp.MailOptions) error {
	if !g.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

// loginServer is the obsolete mechanism LOGIN, which some servers have alone.
type loginServer struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	default:
		return nil, true, l.check(l.user, string(response))
	}
}

func TestMailIsKeptSecretOnItsWay(t *testing.T) {
	t.Parallel()
	root, stranger := newAuthority(t), newAuthority(t)
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	good := root.server(t, "127.0.0.1", later)
	for _, c := range []struct {
		name     string
		office   officeOptions
		security string
		user     string
		password string
		code     string // "": it is delivered
		secret   bool   // over TLS
		login    string
	}{
		{name: "TLS from the first byte on", office: officeOptions{tls: good, implicit: true}, security: "tls", secret: true},
		{name: "TLS and PLAIN", office: officeOptions{tls: good, implicit: true, login: []string{"PLAIN", "LOGIN"}}, security: "tls", user: "vault", password: "right", secret: true, login: "PLAIN right"},
		{name: "TLS and LOGIN, where there is nothing else", office: officeOptions{tls: good, implicit: true, login: []string{"LOGIN"}}, security: "tls", user: "vault", password: "right", secret: true, login: "LOGIN right"},
		{name: "STARTTLS", office: officeOptions{tls: good}, security: "starttls", secret: true},
		{name: "STARTTLS by default", office: officeOptions{tls: good}, secret: true},
		{name: "STARTTLS and PLAIN", office: officeOptions{tls: good, login: []string{"PLAIN"}}, security: "starttls", user: "vault", password: "right", secret: true, login: "PLAIN right"},
		{name: "STARTTLS and LOGIN", office: officeOptions{tls: good, login: []string{"LOGIN"}}, security: "starttls", user: "vault", password: "right", secret: true, login: "LOGIN right"},
		{name: "a wrong password", office: officeOptions{tls: good, login: []string{"PLAIN"}}, security: "starttls", user: "vault", password: "wrong", code: "unreachable", login: "PLAIN wrong"},
		{name: "STARTTLS that is not offered", office: officeOptions{login: []string{"PLAIN"}}, security: "starttls", user: "vault", password: "right", code: "unreachable"},
		{name: "opportunistic, where it is offered", office: officeOptions{tls: good, login: []string{"PLAIN"}}, security: "opportunistic", user: "vault", password: "right", secret: true, login: "PLAIN right"},
		{name: "opportunistic, where it is not", office: officeOptions{}, security: "opportunistic"},
		{name: "opportunistic without TLS sends no password", office: officeOptions{login: []string{"PLAIN", "LOGIN"}}, security: "opportunistic", user: "vault", password: "right", code: "unreachable"},
		{name: "none sends no password", office: officeOptions{login: []string{"PLAIN", "LOGIN"}}, security: "none", user: "vault", password: "right", code: "unreachable"},
		{name: "TLS with a certificate of a stranger", office: officeOptions{tls: stranger.server(t, "127.0.0.1", later), implicit: true}, security: "tls", code: "unreachable"},
		{name: "TLS with a certificate for another host", office: officeOptions{tls: root.server(t, "mail.example.org", later), implicit: true}, security: "tls", code: "unreachable"},
		{name: "TLS with a certificate that is over", office: officeOptions{tls: root.server(t, "127.0.0.1", before), implicit: true}, security: "tls", code: "unreachable"},
		{name: "STARTTLS with a certificate of a stranger", office: officeOptions{tls: stranger.server(t, "127.0.0.1", later)}, security: "starttls", code: "unreachable"},
		{name: "STARTTLS with a certificate for another host", office: officeOptions{tls: root.server(t, "mail.example.org", later)}, security: "starttls", code: "unreachable"},
		{name: "opportunistic with a certificate of a stranger", office: officeOptions{tls: stranger.server(t, "127.0.0.1", later), login: []string{"PLAIN"}}, security: "opportunistic", user: "vault", password: "right", code: "unreachable"},
		{name: "TLS to a server that speaks none", office: officeOptions{}, security: "tls", code: "unreachable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			office := newSecuredOffice(t, c.office)
			sender, err := notify.NewSMTP(notify.SMTPOptions{
				Host: "127.0.0.1", Port: office.port, From: "vault@example.org", Security: c.security, User: c.user, Password: c.password,
				Timeout: 10 * time.Second, TLS: root.trusted(),
			})
			if err != nil {
				t.Fatal(err)
			}
			err = sender.Mail(t.Context(), "alice@example.org", "s", "t", "d1")
			office.mu.Lock()
			defer office.mu.Unlock()
			if logins := strings.Join(office.logins, ", "); logins != c.login {
				t.Errorf("it logged in as %q, want %q", logins, c.login)
			}
			if c.code != "" {
				if got, permanent := code(t, err); got != c.code || permanent || office.mails > 0 {
					t.Errorf("%s, permanent %v, and %d mails came", got, permanent, office.mails)
				}
				if strings.Contains(err.Error(), c.password) && c.password != "" {
					t.Errorf("the fault tells the password: %v", err)
				}
				return
			}
			if err != nil || office.mails != 1 || office.encrypted == 1 != c.secret {
				t.Errorf("%v; %d mails, %d of them over TLS", err, office.mails, office.encrypted)
			}
		})
	}
}

func TestMailToAServerThatFallsSilentEnds(t *testing.T) {
	t.Parallel()
	root := newAuthority(t)
	for _, security := range []string{"tls", "starttls", "opportunistic", "none"} {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
		if err != nil {
			t.Fatal(err)
		}
		var open sync.WaitGroup
		open.Go(func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if security == "starttls" { // it greets, and says nothing more
				_, _ = io.WriteString(conn, "220 localhost ESMTP\r\n")
			}
			_, _ = io.Copy(io.Discard, conn)
		})
		sender, err := notify.NewSMTP(notify.SMTPOptions{
			Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, From: "v@example.org", Security: security, Timeout: 300 * time.Millisecond, TLS: root.trusted(), //nolint:forcetypeassert // it is one
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = sender.Mail(t.Context(), "alice@example.org", "s", "t", "d1")
		var f *notify.Failure
		if !errors.As(err, &f) || f.Permanent() || f.Code() != "timeout" || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %v after %v", security, err, time.Since(began))
		}
		_ = l.Close()
		open.Wait()
	}
}
