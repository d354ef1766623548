//go:build unix

package dev

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
)

// allocator tells glibc to keep what a statement has freed, up to 16 MB, for the next one. It would give it back to the system and
// fault it in again page by page for each batch of events, which is some tenth of what Postgres does for them. Others ignore it.
var allocator = []string{"MALLOC_TRIM_THRESHOLD_=16777216", "MALLOC_MMAP_THRESHOLD_=8388608", "MALLOC_TOP_PAD_=1048576"}

// settings of the postmaster. They stand on its command line, over whatever the cluster's own files say.
func (p *Postgres) settings() map[string]string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": p.socket,
		"unix_socket_permissions": "0700",
		"port":                    "5432",
		"cluster_name":            "mediavault",
		"max_connections":         "200",
		"shared_buffers":          "256MB",
		"jit":                     "off", // compiling costs more than our short queries
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"lc_messages":             "C",
		"log_checkpoints":         "off",
		"random_page_cost":        "1.1",
		// Acknowledged means durable.
		"fsync":              "on",
		"synchronous_commit": "on",
		"full_page_writes":   "on",
		// No replica and no archive hang on this cluster: without them COPY into a fresh table, which is what a rebuild
		// does, skips the log.
		"wal_level":       "minimal",
		"max_wal_senders": "0",
		"archive_mode":    "off",
		// Checkpoints are what makes an append slow now and then: seldom, and spread out.
		"max_wal_size":                 "2GB",
		"min_wal_size":                 "128MB",
		"wal_buffers":                  "16MB",
		"checkpoint_timeout":           "15min",
		"checkpoint_completion_target": "0.9",
	}
	if p.opts.Volatile {
		maps.Copy(settings, map[string]string{
			"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
			"shared_buffers": "64MB", "max_wal_size": "512MB", "min_wal_size": "32MB", "wal_buffers": "4MB",
		})
	}
	maps.Copy(settings, p.opts.Settings)
	return settings
}

// locales for initdb, the best first: characters compare by code point everywhere, while upper and lower case are known for
// every language.
func (b Binaries) locales() [][]string {
	plain := [][]string{{"--locale=C", "--lc-ctype=C.UTF-8"}, {"--locale=C", "--lc-ctype=en_US.UTF-8"}, {"--locale=C"}}
	if b.Major >= 17 {
		return append([][]string{{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}}, plain...)
	}
	return plain
}

const maxLog = 16 << 20 // bytes of a log that is kept across starts; one older is kept, too

// openLog opens the log for appending, and answers where this run's lines begin.
func openLog(path string) (*os.File, int64, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, fmt.Errorf("open log: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("open log: %w", err)
	}
	return file, info.Size(), nil
}

// readFrom is the end of a file, from a place on; "" when it cannot be read.
func readFrom(path string, from int64) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(file, 64<<10))
	return string(text)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// exitError is how a child ended, also when it ended without complaint.
func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// syncFolder makes what was renamed in a folder durable.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
