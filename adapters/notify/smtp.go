package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// SMTPOptions say by which server mail goes.
type SMTPOptions struct {
	Host     string
	Port     int
	User     string // empty: nobody logs in
	Password string
	From     string // an address, or Name <address>
	// Security is how the connection is kept secret: starttls (the default; nothing is sent without), tls from the first byte on,
	// opportunistic (STARTTLS where the server offers it), or none, for a server beside us. Where there is TLS the certificate has to be
	// right; where there is none, no password is sent.
	Security string
	Timeout  time.Duration // of one mail; 30 s
	TLS      *tls.Config   // nil: the system's roots
}

// SMTP sends mail through one server.
type SMTP struct {
	o SMTPOptions
}

// NewSMTP makes a sender; it connects when there is something to send.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	s := &SMTP{o: o}
	if err := mail.NewMsg().From(o.From); err != nil {
		return nil, fmt.Errorf("mail's sender: %w", err)
	}
	if s.o.TLS = s.o.TLS.Clone(); s.o.TLS == nil {
		s.o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if s.o.TLS.ServerName == "" {
		s.o.TLS.ServerName = s.o.Host
	}
	_, err := s.client(s.dial)
	return s, err
}

func (s *SMTP) client(dial mail.DialContextFunc) (*mail.Client, error) {
	options := []mail.Option{
		mail.WithPort(s.o.Port), mail.WithTimeout(s.o.Timeout), mail.WithDialContextFunc(dial), mail.WithTLSConfig(s.o.TLS),
	}
	switch s.o.Security {
	case "", "starttls":
		options = append(options, mail.WithTLSPortPolicy(mail.TLSMandatory), mail.WithPort(s.o.Port))
	case "tls":
		options = append(options, mail.WithSSL())
	case "opportunistic":
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("mail's security %q is not starttls, tls, opportunistic or none", s.o.Security)
	}
	if s.o.User != "" {
		// Without TLS it finds nothing that would show the password to who listens: no PLAIN, no LOGIN.
		options = append(options, mail.WithUsername(s.o.User), mail.WithPassword(s.o.Password), mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover))
		if s.o.Security == "tls" { // the library does not know that our dial encrypted it
			options = append(options, mail.WithSMTPAuthCustom(&password{user: s.o.User, password: s.o.Password, host: s.o.Host}))
		}
	}
	return mail.NewClient(s.o.Host, options...)
}

// dial connects, with a deadline for all that is said: the library waits for the server's greeting without one.
func (s *SMTP) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	if err == nil && s.o.Security == "tls" {
		secured := tls.Client(conn, s.o.TLS)
		if err = secured.HandshakeContext(ctx); err == nil {
			return secured, nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Mail sends one mail once. id becomes its Message-ID, the same however often it is sent. Errors: a *Failure, unless ctx ended.
func (s *SMTP) Mail(ctx context.Context, to, subject, text, id string) error {
	m := mail.NewMsg()
	if err := m.From(s.o.From); err != nil {
		return &Failure{code: "sender", permanent: true, err: err}
	}
	if err := m.To(to); err != nil {
		return &Failure{code: "address", permanent: true, err: errors.New("not an address")} // the error would show it
	}
	m.Subject(subject)
	m.SetMessageIDWithValue(id + "@" + s.o.Host)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's automatic answer is wanted
	m.SetBodyString(mail.TypeTextPlain, text)
	var opened net.Conn
	defer func() { // the library forgets a connection whose server falls silent
		if opened != nil {
			_ = opened.Close()
		}
	}()
	client, err := s.client(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(ctx, network, address)
		if opened = conn; err != nil {
			opened = nil
		}
		return conn, err
	})
	if err != nil {
		return &Failure{code: "settings", permanent: true, err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	err = client.DialAndSendWithContext(ctx, m)
	if err == nil {
		return nil
	}
	var sent *mail.SendError
	var network net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.As(err, &sent) && sent.ErrorCode() >= 500:
		// What the server says for good of this mail: no such mailbox, say. It may quote the address, so that only the code is kept.
		return &Failure{code: "smtp_" + strconv.Itoa(sent.ErrorCode()), permanent: true, err: errors.New("refused for good")}
	case errors.As(err, &sent) && sent.ErrorCode() >= 400:
		return &Failure{code: "smtp_" + strconv.Itoa(sent.ErrorCode()), err: errors.New("refused for now")}
	case errors.As(err, &network) && network.Timeout() || ctx.Err() != nil:
		return &Failure{code: "timeout", err: errors.New("no answer in time")}
	default:
		return &Failure{code: "unreachable", err: errors.New("the mail server was not reached, or did not let us in")}
	}
}

// password logs in by PLAIN, or by LOGIN where the server takes nothing else, over a connection that is encrypted.
type password struct {
	smtp.Auth
	user, password, host string
}

// Start implements smtp.Auth.
func (p *password) Start(server *smtp.ServerInfo) (string, []byte, error) {
	switch {
	case slices.Contains(server.Auth, "PLAIN"):
		p.Auth = smtp.PlainAuth("", p.user, p.password, p.host, true)
	case slices.Contains(server.Auth, "LOGIN"):
		p.Auth = smtp.LoginAuth(p.user, p.password, p.host, true)
	default:
		return "", nil, errors.New("the mail server takes neither PLAIN nor LOGIN")
	}
	return p.Auth.Start(server)
}
