//go:build unix

package dev

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
)

// S3Options say how to run a private S3 server. Only Dir is needed.
type S3Options struct {
	Dir      string       // holds the objects, the credentials, a log and a lock; made when missing
	Volatile bool         // true: an acknowledged upload survives killed processes, but not a power loss
	Log      *slog.Logger // nil: slog.Default
}

// S3 is a private S3 server on a port of 127.0.0.1 that the kernel chose: versitygw over a folder, in a child of this very
// binary, because it changes the working folder and runs once per process. MaybeChild has to be called first in main.
//
// An upload is acknowledged when it is written; killing any process afterwards does not lose it. Unless Volatile it is synced
// to disk as well, and survives a power loss as far as the disk keeps its promises.
type S3 struct {
	dir    string
	opts   S3Options
	keys   s3Keys
	sides  string
	log    *slog.Logger
	folder *folderLock

	mu      sync.Mutex // guards what follows
	running *process
	input   io.Closer // its closing ends the child
	port    int
	stopped bool
}

type s3Keys struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Port      int    `json:"port"` // of the last run: kept when it is free, so that addresses stay good
}

const s3StartPatience = 30 * time.Second

// StartS3 starts the server on o.Dir and returns when it answers. ErrInUse: another process has the folder.
func StartS3(ctx context.Context, o S3Options) (*S3, error) {
	if os.Getenv(childVariable) != "" {
		return nil, errors.New("start s3: this process is itself a child: call dev.MaybeChild first in main, or in TestMain")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start s3: %w", err)
	}
	s := &S3{dir: dir, opts: o, log: o.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o700); err != nil {
		return nil, fmt.Errorf("start s3: %w", err)
	}
	if s.folder, err = lockFolder(dir); err != nil {
		return nil, fmt.Errorf("start s3: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		s.folder.release()
		return nil, fmt.Errorf("start s3: %w", err)
	}
	return s, nil
}

func (s *S3) begin(ctx context.Context) error {
	var err error
	if s.keys, err = loadKeys(s.keysFile()); err != nil {
		return err
	}
	if s.sides, err = sidecarFor(s.dir); err != nil {
		return err
	}
	if err := s.launch(ctx, s.keys.Port); err != nil {
		if s.keys.Port == 0 || ctx.Err() != nil {
			return err
		}
		// Somebody else may have the port of last time.
		if err := s.launch(ctx, 0); err != nil {
			return err
		}
	}
	if s.keys.Port != s.port {
		s.keys.Port = s.port
		return saveKeys(s.keysFile(), s.keys)
	}
	return nil
}

func (s *S3) keysFile() string { return filepath.Join(s.dir, "credentials.json") }

// launch runs the child and returns when it answers.
func (s *S3) launch(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, s3StartPatience)
	defer cancel()
	self, err := ownBinary()
	if err != nil {
		return err
	}
	logFile, from, err := openLog(filepath.Join(s.dir, "s3.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	report, reportEnd, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	defer report.Close()
	cmd := exec.Command(self)
	cmd.Dir = "/"
	// GOMEMLIMIT: a soft limit, far over what it needs, so that garbage of many uploads at once is collected in time.
	cmd.Env = []string{childVariable + "=s3", "TZ=UTC", "GOMEMLIMIT=256MiB", "TMPDIR=" + os.TempDir()}
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.ExtraFiles = []*os.File{reportEnd}
	input, err := cmd.StdinPipe()
	if err != nil {
		reportEnd.Close()
		return fmt.Errorf("pipe: %w", err)
	}
	child, err := startProcess(cmd, syscall.SIGKILL)
	reportEnd.Close()
	if err != nil {
		return fmt.Errorf("run %s: %w", self, err)
	}
	listening, err := s.converse(ctx, child, input, report, port)
	if err == nil {
		err = s.await(ctx, child, listening)
	}
	if err != nil {
		input.Close()
		_ = child.kill()
		return fmt.Errorf("%w\n%s", err, lastLines(readFrom(logFile.Name(), from), 8))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.input, s.port = child, input, listening
	return nil
}

// converse tells the child its configuration and reads back the port.
func (s *S3) converse(ctx context.Context, child *process, input io.Writer, report *os.File, port int) (int, error) {
	err := json.NewEncoder(input).Encode(s3ChildConfig{
		Objects: filepath.Join(s.dir, "objects"), Sidecar: s.sides, Port: port, Volatile: s.opts.Volatile,
		AccessKey: s.keys.AccessKey, SecretKey: s.keys.SecretKey,
	})
	if err != nil {
		return 0, fmt.Errorf("configure the s3 child: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := report.SetReadDeadline(deadline); err != nil {
			return 0, fmt.Errorf("await the s3 child: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = report.SetReadDeadline(time.Now()) })
	defer stop()
	var answer s3ChildReport
	if err := json.NewDecoder(report).Decode(&answer); err != nil {
		if child.exited() {
			return 0, fmt.Errorf("the s3 child ended at its start: %w", exitError(child.err))
		}
		return 0, fmt.Errorf("await the s3 child: %w", err)
	}
	return answer.Port, nil
}

// await returns when the server answers its health check.
func (s *S3) await(ctx context.Context, child *process, port int) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	address := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + s3Health
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return fmt.Errorf("await the s3 child: %w", err)
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-child.done:
			return fmt.Errorf("the s3 child ended at its start: %w", exitError(child.err))
		case <-ctx.Done():
			return fmt.Errorf("await the s3 child: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Endpoint is host:port. It stays the same when the server starts again.
func (s *S3) Endpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// AccessKey of the only account.
func (s *S3) AccessKey() string { return s.keys.AccessKey }

// SecretKey of the only account.
func (s *S3) SecretKey() string { return s.keys.SecretKey }

// Region to sign for.
func (s *S3) Region() string { return s3Region }

// Done is closed when the server is gone, for whatever reason. After Restart ask again: it is another channel.
func (s *S3) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running.done
}

// Pid of the server.
func (s *S3) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running.pid()
}

// Restart starts the server again, on the same port, after it is gone.
func (s *S3) Restart(ctx context.Context) error {
	s.mu.Lock()
	stopped, running, port := s.stopped, s.running, s.port
	s.mu.Unlock()
	if stopped {
		return errors.New("restart s3: it was stopped")
	}
	if !running.exited() {
		return errors.New("restart s3: it is running")
	}
	if err := s.launch(ctx, port); err != nil {
		return fmt.Errorf("restart s3: %w", err)
	}
	return nil
}

// Kill ends the server as kill -9 does; for tests. Restart brings it back.
func (s *S3) Kill() error {
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	return running.kill()
}

// Stop lets requests that run come to their end, for at most 15 s, and stops. The folder is free again afterwards.
func (s *S3) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	err := s.running.stop(ctx, syscall.SIGTERM, 15*time.Second)
	s.input.Close()
	s.folder.release()
	if err != nil {
		return fmt.Errorf("stop s3: %w", err)
	}
	return nil
}

// ownBinary is this program, also after its file was replaced.
func ownBinary() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return path, nil
}

// loadKeys answers the folder's credentials, and makes them at the first time.
func loadKeys(file string) (s3Keys, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		keys := s3Keys{AccessKey: rand.Text()[:20], SecretKey: rand.Text() + rand.Text()[:14]}
		return keys, saveKeys(file, keys)
	}
	if err != nil {
		return s3Keys{}, fmt.Errorf("credentials: %w", err)
	}
	var keys s3Keys
	if err := json.Unmarshal(text, &keys); err != nil {
		return s3Keys{}, fmt.Errorf("credentials in %s: %w", file, err)
	}
	if keys.AccessKey == "" || keys.SecretKey == "" {
		return s3Keys{}, fmt.Errorf("credentials in %s: access_key and secret_key have to be there", file)
	}
	return keys, nil
}

// saveKeys writes beside and renames, so that a kill leaves the old file or the new one.
func saveKeys(file string, keys s3Keys) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	beside, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	_, err = beside.Write(text)
	if err := errors.Join(err, beside.Sync(), beside.Close(), os.Rename(file+".new", file)); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return syncFolder(filepath.Dir(file))
}

// sidecarFor answers the folder for metadata where files cannot carry it themselves, and "" where they can. Once chosen it
// stays: the metadata of earlier objects is there.
func sidecarFor(dir string) (string, error) {
	sidecar := filepath.Join(dir, "meta")
	if _, err := os.Stat(sidecar); err == nil {
		return sidecar, nil
	}
	probe, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return "", fmt.Errorf("does the folder keep attributes: %w", err)
	}
	defer os.Remove(probe.Name())
	defer probe.Close()
	// The test of the gateway only reads, which some systems allow that cannot write.
	if (meta.XattrMeta{}).StoreAttribute(probe, "", "", "probe", []byte("x")) == nil {
		return "", nil
	}
	if err := os.Mkdir(sidecar, 0o700); err != nil {
		return "", fmt.Errorf("folder for metadata: %w", err)
	}
	return sidecar, nil
}
