//go:build unix

package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// childVariable says in the environment that this process is one of our children, and which.
const childVariable = "MEDIAVAULT_CHILD"

// MaybeChild has to be the first thing that main, and the TestMain of a package that uses StartS3 or Start, calls. In a
// child it does the child's work and never returns; in any other process it does nothing.
//
//	func TestMain(m *testing.M) {
//		dev.MaybeChild()
//		os.Exit(m.Run())
//	}
func MaybeChild() {
	if os.Getenv(childVariable) != "s3" {
		return
	}
	if err := runS3Child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// s3ChildConfig is what the owner tells the child, on its standard input: secrets stand in no environment and on no command line.
type s3ChildConfig struct {
	Objects   string `json:"objects"`
	Sidecar   string `json:"sidecar"` // "" keeps metadata in extended attributes
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Port      int    `json:"port"` // 0: any
	Volatile  bool   `json:"volatile"`
}

// s3ChildReport is what the child answers, on file descriptor 3, when it listens.
type s3ChildReport struct {
	Port int `json:"port"`
}

const (
	s3Region = "us-east-1"
	s3Health = "/healthz"
)

func runS3Child() error {
	// Ctrl-C in a terminal is for the owner.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()

	var config s3ChildConfig
	input := json.NewDecoder(os.Stdin)
	if err := input.Decode(&config); err != nil {
		return fmt.Errorf("s3 child: read its configuration: %w", err)
	}
	go func() {
		// The input ends when the owner is gone; where the kernel sends no death signal this is what ends the child.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()

	var store meta.MetadataStorer = meta.XattrMeta{}
	options := posix.PosixOpts{
		CopyObjectThreshold: 5 << 30, // zero would refuse every copy
		ValidateBucketNames: true,
	}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	if config.Sidecar != "" {
		sidecar, err := meta.NewSideCar(config.Sidecar)
		if err != nil {
			return fmt.Errorf("s3 child: %w", err)
		}
		store, options.SideCarDir = sidecar, config.Sidecar
	}
	backend, err := posix.New(config.Objects, store, options)
	if err != nil {
		return fmt.Errorf("s3 child: %w", err)
	}

	reported := make(chan error, 1)
	s3Options := []s3api.Option{s3api.WithOnListen(func() {
		if err := reportPort(); err != nil {
			reported <- err
			cancel()
		}
	})}
	if !config.Volatile {
		s3Options = append(s3Options, s3api.WithMiddleware("/", syncWrites(config.Objects, config.Sidecar)))
	}
	err = embedgw.RunVersityGW(ctx, roomStore{Posix: backend, objects: config.Objects}, &embedgw.Config{
		RootUserAccess: config.AccessKey,
		RootUserSecret: config.SecretKey,
		Region:         s3Region,
		Ports:          []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(config.Port))},
		MaxConnections: 4096,
		MaxRequests:    4096,
		// S3's own limit.
		MultipartMaxParts: 10_000,
		KeepAlive:         true,
		Quiet:             true,
		HealthPath:        s3Health,
		// A page of the vault sends its uploads straight to here; what protects them is the signature.
		CORSAllowOrigin: "*",
		S3Options:       s3Options,
	})
	select {
	case err := <-reported:
		return fmt.Errorf("s3 child: %w", err)
	default:
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("s3 child: %w", err)
	}
	return nil
}

// reportPort tells the owner which port the kernel chose. The gateway does not say on which it listens; of all the sockets of
// this process there is one that listens.
func reportPort() error {
	for fd := 3; fd < 256; fd++ {
		listens, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
		if err != nil || listens == 0 {
			continue
		}
		address, err := syscall.Getsockname(fd)
		if err != nil {
			continue
		}
		inet, ok := address.(*syscall.SockaddrInet4)
		if !ok {
			continue
		}
		pipe := os.NewFile(3, "report")
		defer pipe.Close()
		if err := json.NewEncoder(pipe).Encode(s3ChildReport{Port: inet.Port}); err != nil {
			return fmt.Errorf("report the port: %w", err)
		}
		return nil
	}
	return errors.New("report the port: no socket listens")
}

// syncWrites makes an object durable before its upload is acknowledged, which the gateway leaves to the kernel: the file, and
// the folders above it, which may be new.
func syncWrites(objects, sidecar string) fiber.Handler {
	return func(c fiber.Ctx) error {
		if err := c.Next(); err != nil {
			return err
		}
		completes := c.Method() == http.MethodPut && c.Request().URI().QueryArgs().Len() == 0 ||
			c.Method() == http.MethodPut && c.Query("partNumber") == "" ||
			c.Method() == http.MethodPost && c.Query("uploadId") != ""
		if !completes || c.Response().StatusCode() != http.StatusOK {
			return nil
		}
		name, err := url.PathUnescape(strings.Trim(c.Path(), "/"))
		if err != nil {
			return nil // not a name of ours, then
		}
		path := filepath.Join(objects, filepath.FromSlash(name))
		if !strings.HasPrefix(path, objects+string(filepath.Separator)) {
			return nil
		}
		if err := syncUpTo(path, objects); err != nil {
			return fmt.Errorf("make %s durable: %w", name, err)
		}
		if sidecar != "" {
			if err := syncTree(filepath.Join(sidecar, filepath.FromSlash(name)), sidecar); err != nil {
				return fmt.Errorf("make the metadata of %s durable: %w", name, err)
			}
		}
		return nil
	}
}

// syncUpTo syncs a file or folder and the folders above it, top included. What is gone by now needs no syncing.
func syncUpTo(path, top string) error {
	for ; ; path = filepath.Dir(path) {
		if err := syncFolder(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if path == top {
			return nil
		}
	}
}

// syncTree syncs all below path, and the folders above it.
func syncTree(path, top string) error {
	err := filepath.WalkDir(path, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return syncFolder(path)
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncUpTo(path, top)
}
