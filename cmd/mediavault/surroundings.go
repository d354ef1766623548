package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/internal/dev"
)

// surroundings are what the vault needs around it: either all of it named by the environment, or run by us on a data folder.
type surroundings struct {
	cfg  config.Config
	dir  string   // the data folder; "" when the environment names everything
	dev  *dev.Dev // nil unless this process runs them
	file string   // tells other commands where they are, while dev runs
}

// running is what a dev that runs tells other commands, in a file that only its user can read.
type running struct {
	BaseURL     string       `json:"base_url"`
	DatabaseURL string       `json:"database_url"`
	S3          dev.S3Access `json:"s3"`
}

// dataFlag adds --data to a command that works on a vault's data.
func dataFlag(c *cobra.Command) *string {
	return c.Flags().String("data", "", "the data folder of a dev vault (default mediavault-data, when MEDIAVAULT_DATABASE_URL is not set)")
}

const defaultData = "mediavault-data"

// findSurroundings answers those that the environment names; without MEDIAVAULT_DATABASE_URL, or with a data folder, those
// of the dev vault there: as it runs, or, when it does not, started for as long as this command takes.
func findSurroundings(ctx context.Context, dir string) (*surroundings, error) {
	if dir == "" && (os.Getenv("MEDIAVAULT_DATABASE_URL") != "" || os.Getenv("MEDIAVAULT_DATABASE_URL_FILE") != "") {
		cfg, err := config.Load(os.Environ(), config.Needs()...)
		return &surroundings{cfg: cfg}, err
	}
	if dir == "" {
		dir = defaultData
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no vault: %w (name its folder with --data, or set MEDIAVAULT_DATABASE_URL and the rest; see `mediavault config`)", err)
	}
	r, err := attach(ctx, dir)
	if err == nil {
		s := &surroundings{dir: dir}
		s.cfg, err = devConfig(dir, r, "")
		return s, err
	}
	return startSurroundings(ctx, dir, "", slog.New(slog.DiscardHandler))
}

// whereabouts are what the dev vault on the folder wrote down; it may have been killed since.
func whereabouts(dir string) (running, error) {
	var r running
	raw, err := os.ReadFile(runningFile(dir))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(raw, &r)
}

// attach finds a dev vault that runs on the folder.
func attach(ctx context.Context, dir string) (running, error) {
	r, err := whereabouts(dir)
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, r.DatabaseURL)
	if err != nil {
		return r, err
	}
	return r, conn.Close(ctx)
}

// startSurroundings runs Postgres and S3 on the data folder. addr is where the vault will listen; "" when it will not.
func startSurroundings(ctx context.Context, dir, addr string, log *slog.Logger) (*surroundings, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d, err := dev.Start(ctx, dev.Options{Dir: dir, DatabaseURL: os.Getenv("MEDIAVAULT_DATABASE_URL"), Log: log})
	switch {
	case errors.Is(err, dev.ErrInUse):
		return nil, fmt.Errorf("a dev vault already runs on %s: stop it, or name another folder with --data (%w)", dir, err)
	case err != nil:
		return nil, err
	}
	s := &surroundings{dir: dir, dev: d}
	s.cfg, err = devConfig(dir, running{DatabaseURL: d.DatabaseURL, S3: d.S3}, addr)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// tell writes down where the vault is, for the other commands.
func (s *surroundings) tell(baseURL string) error {
	raw, err := json.Marshal(running{BaseURL: baseURL, DatabaseURL: s.dev.DatabaseURL, S3: s.dev.S3})
	if err != nil {
		return err
	}
	s.file = runningFile(s.dir)
	if err := os.WriteFile(s.file+".new", raw, 0o600); err != nil {
		return fmt.Errorf("write down where the vault is: %w", err)
	}
	return os.Rename(s.file+".new", s.file)
}

// stop ends what startSurroundings began.
func (s *surroundings) stop() error {
	if s.file != "" {
		_ = os.Remove(s.file)
	}
	if s.dev == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return s.dev.Stop(ctx)
}

func runningFile(dir string) string { return filepath.Join(dir, "running.json") }

// devConfig is the environment's configuration, with what dev provides filled in.
func devConfig(dir string, r running, addr string) (config.Config, error) {
	key, err := devMasterKey(dir)
	if err != nil {
		return config.Config{}, err
	}
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	if r.BaseURL == "" {
		r.BaseURL = "http://" + addr
	}
	// Last wins: what the environment says stands, but for what dev has to know better.
	environ := append([]string{
		"MEDIAVAULT_LOG_FORMAT=text", "MEDIAVAULT_LOG_LEVEL=warn", "MEDIAVAULT_LIMIT_PER_IP=0", "MEDIAVAULT_LIMIT_PER_PRINCIPAL=0",
		"MEDIAVAULT_MASTER_KEY=" + key,
	}, os.Environ()...)
	return config.Load(append(environ,
		"MEDIAVAULT_ADDR="+addr, "MEDIAVAULT_BASE_URL="+r.BaseURL, "MEDIAVAULT_OIDC_ISSUER="+r.BaseURL,
		"MEDIAVAULT_DATABASE_URL="+r.DatabaseURL,
		"MEDIAVAULT_S3_ENDPOINT="+r.S3.Endpoint, "MEDIAVAULT_S3_BUCKET="+r.S3.Bucket, "MEDIAVAULT_S3_REGION="+r.S3.Region,
		"MEDIAVAULT_S3_ACCESS_KEY="+r.S3.AccessKey, "MEDIAVAULT_S3_SECRET_KEY="+r.S3.SecretKey, "MEDIAVAULT_S3_TLS=false",
	), config.Needs()...)
}

// devMasterKey reads the folder's master key, and makes it first where there is none.
func devMasterKey(dir string) (string, error) {
	path := filepath.Join(dir, "master.key")
	raw, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return string(raw), err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	raw = []byte(base64.StdEncoding.EncodeToString(key))
	tmp := path + ".new"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return "", fmt.Errorf("make master key: %w", err)
	}
	return string(raw), os.Rename(tmp, path)
}

// listen opens the vault's address and answers under which URL it is reached from this machine.
func listen(ctx context.Context, addr string) (net.Listener, string, error) {
	if !strings.Contains(addr, ":") {
		return nil, "", fmt.Errorf("listen: %q is not host:port, such as 127.0.0.1:8080 (--addr or MEDIAVAULT_ADDR)", addr)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, "", fmt.Errorf("%w (choose another with --addr host:port or MEDIAVAULT_ADDR)", err)
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, "", errors.Join(err, l.Close())
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return l, "http://" + net.JoinHostPort(host, port), nil
}
