package clamd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mediavault-io/mediavault/adapters/clamd"
)

const needle = "a needle of our own"

// installed is where the real clamd is; empty: nowhere. It is looked for beside PATH, too, which seldom names the folders of daemons
// for who is not root.
func installed() string {
	for _, name := range []string{"clamd", "/usr/sbin/clamd", "/usr/local/sbin/clamd", "/opt/homebrew/sbin/clamd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// daemon runs the real clamd with one signature of our own, and answers where it listens: at a socket, and at a port.
func daemon(t *testing.T, path string) (socket, address string) {
	t.Helper()
	address = free(t)
	dir, err := os.MkdirTemp("", "clamd-") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	signature := "Test.Needle:0:*:" + hex.EncodeToString([]byte(needle)) + "\n"
	config := fmt.Sprintf("LocalSocket %s\nTCPAddr %s\nTCPSocket %s\nDatabaseDirectory %s\nForeground yes\nStreamMaxLength 1M\nMaxFileSize 512K\n"+
		"AlertExceedsMax yes\nTemporaryDirectory %s\n", socket, host, port, dir, dir)
	for name, text := range map[string]string{"a.ndb": signature, "clamd.conf": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--config-file="+filepath.Join(dir, "clamd.conf"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { cancel(); <-done; _ = os.RemoveAll(dir) })
	c, end := clamd.New(socket), time.After(time.Minute)
	for {
		if version, err := c.Version(t.Context()); err == nil && strings.Contains(version, "ClamAV") {
			return socket, address
		}
		select {
		case <-done:
			t.Fatalf("clamd ended: %s", said.String())
		case <-end:
			t.Fatal("clamd does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// free is an address at which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// double speaks as much of the protocol as the tests need. It stands in where clamd is not installed, and proves nothing of clamd.
func double(t *testing.T) *clamd.Client {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return clamd.New(l.Addr().String())
}

func answer(conn net.Conn) {
	defer conn.Close()
	command := make([]byte, len("zINSTREAM\x00"))
	if _, err := io.ReadFull(conn, command); err != nil {
		return
	}
	var all []byte
	for {
		var size uint32
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return
		}
		if size == 0 {
			break
		}
		if len(all)+int(size) > 1<<20 {
			_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
			return
		}
		part := make([]byte, size)
		if _, err := io.ReadFull(conn, part); err != nil {
			return
		}
		all = append(all, part...)
	}
	said := "stream: OK\x00"
	if len(all) > 512<<10 {
		said = "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\x00"
	}
	if bytes.Contains(all, []byte(needle)) {
		said = "stream: Test.Needle.UNOFFICIAL FOUND\x00"
	}
	_, _ = io.WriteString(conn, said)
}

func TestScan(t *testing.T) {
	t.Parallel()
	if path := installed(); path != "" {
		socket, address := daemon(t, path)
		t.Run("by the real clamd", func(t *testing.T) { scan(t, clamd.New(socket)) })
		t.Run("by the real clamd, over TCP", func(t *testing.T) { scan(t, clamd.New(address)) })
		return
	}
	t.Run("by a double, for clamd is not installed", func(t *testing.T) { scan(t, double(t)) })
}

func scan(t *testing.T, c *clamd.Client) {
	t.Helper()
	t.Run("what is well is nothing", func(t *testing.T) {
		if got, err := c.Scan(t.Context(), strings.NewReader("hay")); err != nil || got != "" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("what is found has a name", func(t *testing.T) {
		hay := strings.Repeat("hay ", 60_000)
		if got, err := c.Scan(t.Context(), strings.NewReader(hay+needle+hay)); err != nil || got != "Test.Needle.UNOFFICIAL" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("more than it takes, and more than it looks into, is said", func(t *testing.T) {
		for _, size := range []int{3 << 20, 30 << 20, 700 << 10} {
			if got, err := c.Scan(t.Context(), bytes.NewReader(make([]byte, size))); !errors.Is(err, clamd.ErrTooLarge) {
				t.Errorf("of %d bytes: got %q, %v", size, got, err)
			}
		}
	})
	t.Run("a source that breaks is the source's fault", func(t *testing.T) {
		broken := errors.New("the storage is gone")
		if _, err := c.Scan(t.Context(), io.MultiReader(strings.NewReader("hay"), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, clamd.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a daemon that is not there is unavailable", func(t *testing.T) {
		if _, err := clamd.New(filepath.Join(t.TempDir(), "none")).Scan(t.Context(), strings.NewReader("hay")); !errors.Is(err, clamd.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}
