package main

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/internal/config"
)

func TestDoctorSaysWhichToolsThereAreAndWhatIsMissingWithoutThem(t *testing.T) {
	t.Parallel()
	tools := []string{"ffmpeg", "ffprobe", "pdftoppm", "heif-thumbnailer", "cwebp"}
	said := func(found func(string) (string, error)) string {
		var out bytes.Buffer
		if err := doctor(context.Background(), &out, analyzers.ToolsBy(found), config.Config{ModelsDir: t.TempDir()}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	lineOf := func(text, tool string) string {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, tool+" ") {
				return strings.Join(strings.Fields(line), " ")
			}
		}
		return ""
	}
	without := said(func(string) (string, error) { return "", exec.ErrNotFound })
	with := said(func(name string) (string, error) { return "/opt/" + name, nil })
	for _, tool := range tools {
		if line := lineOf(without, tool); !strings.HasPrefix(line, tool+" missing no ") || !strings.Contains(line, "apt-get install") {
			t.Errorf("without %s: %q", tool, line)
		}
		if line := lineOf(with, tool); !strings.HasPrefix(line, tool+" found ") || !strings.Contains(line, "(/opt/"+tool+")") {
			t.Errorf("with %s: %q", tool, line)
		}
	}
	for _, format := range []string{"HEIC", "AVIF", "JPEG XL", "Photoshop", "raw"} {
		if !strings.Contains(with, format) {
			t.Errorf("nothing is said of %s: %s", format, with)
		}
	}
	if !strings.Contains(without, "children") || strings.Contains(without, "broken") {
		t.Errorf("got %s", without)
	}
}
