// Package clamd has bytes scanned for malware by a ClamAV daemon, through its INSTREAM command (man 8 clamd). It decides nothing
// about what it was told.
package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

var (
	// ErrUnavailable is a daemon that does not answer, or answers that it cannot. Trying again later may help.
	ErrUnavailable = errors.New("clamd is unavailable")
	// ErrTooLarge is a stream longer than the daemon takes (its StreamMaxLength), or one that holds more than it looks into, which
	// it says only where it is configured to (AlertExceedsMax). It would answer the same again.
	ErrTooLarge = errors.New("clamd does not look into as much as this")
)

// Client asks a daemon. Its methods are safe for concurrent use; each asks through a connection of its own.
type Client struct {
	network, address string
}

const (
	dialTime  = 5 * time.Second
	chunkTime = 30 * time.Second // for the daemon to take the next bytes
	scanTime  = 5 * time.Minute  // for its answer, once it has all
	chunk     = 128 << 10
)

// New makes a client of the daemon at an address: host:port, or the path of a socket.
func New(address string) *Client {
	if strings.HasPrefix(address, "/") {
		return &Client{network: "unix", address: address}
	}
	return &Client{network: "tcp", address: address}
}

// Scan answers the name of what was found in the bytes; "" when nothing was. Errors: ErrUnavailable, ErrTooLarge, the
// context's; that of in, as it is.
func (c *Client) Scan(ctx context.Context, in io.Reader) (found string, err error) {
	answer, err := c.ask(ctx, "zINSTREAM\x00", in)
	if err != nil {
		return "", err
	}
	said := strings.TrimPrefix(answer, "stream: ")
	switch name, isFound := strings.CutSuffix(said, " FOUND"); {
	case isFound && strings.HasPrefix(name, "Heuristics.Limits.Exceeded"):
		return "", fmt.Errorf("%w: %s", ErrTooLarge, name)
	case isFound:
		return name, nil
	case said == "OK":
		return "", nil
	case strings.Contains(said, "size limit exceeded"):
		return "", ErrTooLarge
	default:
		return "", fmt.Errorf("%w: it said %q", ErrUnavailable, said)
	}
}

// Version is what the daemon says of itself and its signatures.
func (c *Client) Version(ctx context.Context) (string, error) { return c.ask(ctx, "zVERSION\x00", nil) }

func (c *Client) ask(ctx context.Context, command string, in io.Reader) (string, error) {
	conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, c.network, c.address)
	if err != nil {
		return "", fault(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := send(ctx, conn, []byte(command)); err != nil {
		return "", err
	}
	if in != nil {
		if err := stream(ctx, conn, in); err != nil {
			var broken *inputError
			if errors.As(err, &broken) {
				return "", broken.err
			}
			// It hangs up on a stream that is too long, after it has said so.
			if answer, failed := receive(ctx, conn, chunkTime); failed == nil && answer != "" {
				return answer, nil
			}
			return "", err
		}
	}
	return receive(ctx, conn, scanTime)
}

// inputError is a failure of the bytes' source, not of the daemon.
type inputError struct{ err error }

// Error implements error.
func (e *inputError) Error() string { return e.err.Error() }

// stream sends chunks, each with its length before it, and one of no length at the end.
func stream(ctx context.Context, conn net.Conn, in io.Reader) error {
	buffer := make([]byte, 4+chunk)
	for {
		n, err := in.Read(buffer[4:])
		if n > 0 {
			binary.BigEndian.PutUint32(buffer, uint32(n)) //nolint:gosec // at most chunk
			if err := send(ctx, conn, buffer[:4+n]); err != nil {
				return err
			}
		}
		if err == io.EOF { //nolint:errorlint // io.Reader's contract
			return send(ctx, conn, []byte{0, 0, 0, 0})
		}
		if err != nil {
			return &inputError{err}
		}
	}
}

func send(ctx context.Context, conn net.Conn, b []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(chunkTime)); err != nil {
		return fault(ctx, err)
	}
	if _, err := conn.Write(b); err != nil {
		return fault(ctx, err)
	}
	return nil
}

func receive(ctx context.Context, conn net.Conn, within time.Duration) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return "", fault(ctx, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 4<<10))
	if err != nil && len(answer) == 0 {
		return "", fault(ctx, err)
	}
	return strings.TrimSpace(string(bytes.TrimRight(answer, "\x00\n"))), nil
}

func fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
