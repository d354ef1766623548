package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// names answers every question for an IPv4 address with the next of its answers, and the last one for ever.
type names struct {
	mu      sync.Mutex // guards answers and asked
	answers [][]netip.Addr
	asked   int
	work    sync.WaitGroup
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		n.work.Go(func() {
			defer ours.Close()
			for n.answer(ours) == nil { //nolint:revive // the client closes its side
			}
		})
		return theirs, nil
	}}
}

// answer is one question and its answer as RFC 1035 writes them on a connection that keeps their order.
func (n *names) answer(conn net.Conn) error {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return err
	}
	q := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, q); err != nil {
		return err
	}
	end := 12
	for end < len(q) && q[end] != 0 {
		end += int(q[end]) + 1
	}
	question := q[12 : end+5] // the name's end, type and class
	var found []netip.Addr
	if binary.BigEndian.Uint16(question[len(question)-4:]) == 1 {
		n.mu.Lock()
		found = n.answers[min(n.asked, len(n.answers)-1)]
		n.asked++
		n.mu.Unlock()
	}
	out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(len(found)), 0, 0, 0, 0}, question...)
	for _, ip := range found {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, ip.AsSlice()...)
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)) //nolint:gosec // short
	return err
}

// NewReceiver is a program on this machine that says when it is asked, at a port.
func NewReceiver(t *testing.T) (asked chan struct{}, port string) {
	t.Helper()
	asked = make(chan struct{}, 8)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	t.Cleanup(receiver.Close)
	_, port, err := net.SplitHostPort(receiver.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return asked, port
}

func TestANameThatResolvesToSomethingElseTheSecondTimeIsNotFollowed(t *testing.T) {
	t.Parallel()
	asked, port := NewReceiver(t)
	outside, here := netip.MustParseAddr("93.184.215.14"), netip.MustParseAddr("127.0.0.1")
	errLeft := errors.New("this would leave the machine")
	post := func(n *names, private bool) func() error {
		d := dialing(time.Minute, private)
		d.Resolver = n.resolver()
		guard := d.Control
		d.Control = func(network, address string, c syscall.RawConn) error {
			if guard != nil {
				if err := guard(network, address, c); err != nil {
					return err
				}
			}
			if !strings.HasPrefix(address, here.String()+":") {
				return errLeft
			}
			return nil
		}
		t.Cleanup(n.work.Wait)
		w := posting(time.Minute, d)
		t.Cleanup(w.client.CloseIdleConnections)
		return func() error {
			return w.Post(t.Context(), "http://hooks.example.org:"+port+"/", "n1", []byte(`{}`), []string{"whsec_" + strings.Repeat("YWFh", 8)})
		}
	}

	// The receiver is there, and the name leads to it.
	allowed := post(&names{answers: [][]netip.Addr{{here}}}, true)
	if err := allowed(); err != nil || len(asked) != 1 {
		t.Fatalf("where private addresses are allowed: %v, asked %d times", err, len(asked))
	}
	<-asked

	rebound := post(&names{answers: [][]netip.Addr{{outside}, {here}}}, false)
	if err := rebound(); !errors.Is(err, errLeft) {
		t.Errorf("a public address: %v", err)
	}
	for range 2 {
		if err := rebound(); !errors.Is(err, ErrAddress) {
			t.Errorf("the name that now leads here: %v", err)
		}
	}
	both := post(&names{answers: [][]netip.Addr{{outside, here}}}, false)
	if err := both(); err == nil {
		t.Error("one of two addresses is private, and it was asked")
	}
	if len(asked) > 0 {
		t.Error("a private address was asked")
	}
}
