package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"
)

// SMTPOptions say by which server mail goes.
type SMTPOptions struct {
	Host     string
	Port     int
	User     string // empty: nobody logs in
	Password string
	From     string // an address, or Name <address>
	// Security is how the connection is kept secret: starttls (the default; nothing is sent without), tls from the first byte on, or
	// none, for a server beside us.
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
	_, err := s.client()
	return s, err
}

func (s *SMTP) client() (*mail.Client, error) {
	options := []mail.Option{mail.WithPort(s.o.Port), mail.WithTimeout(s.o.Timeout), mail.WithDialContextFunc(s.dial)}
	switch s.o.Security {
	case "", "starttls":
		options = append(options, mail.WithTLSPortPolicy(mail.TLSMandatory), mail.WithPort(s.o.Port))
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		return nil, fmt.Errorf("mail's security %q is not starttls, tls or none", s.o.Security)
	}
	if s.o.TLS != nil {
		options = append(options, mail.WithTLSConfig(s.o.TLS))
	}
	if s.o.User != "" {
		how := mail.SMTPAuthAutoDiscover
		if s.o.Security == "tls" {
			how = mail.SMTPAuthPlainNoEnc // the library does not know that our dial encrypted it
		}
		options = append(options, mail.WithSMTPAuth(how), mail.WithUsername(s.o.User), mail.WithPassword(s.o.Password))
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
		config := s.o.TLS.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = s.o.Host
		}
		secured := tls.Client(conn, config)
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
	client, err := s.client()
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
