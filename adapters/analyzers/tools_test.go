package analyzers_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
)

// film is a short video with a place and an author, as a telephone makes it.
func film(t *testing.T, ffmpeg string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.mp4")
	out, err := exec.CommandContext(t.Context(), ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=640x360:d=2", "-f", "lavfi", "-i", "sine=d=2",
		"-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-metadata", "location=+53.5511+009.9937/", "-metadata", "artist=Alice Example", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spooled, err := analyzers.Spool(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = spooled.Close() })
	return spooled
}

// Where a tool is not installed, what it would do cannot be done, and that is said; where it is, it has to work.
func TestVideosAreReadByTheToolsThatAreThere(t *testing.T) {
	t.Parallel()
	t.Run("without them nothing is done, and that is said", func(t *testing.T) {
		none := analyzers.ToolsBy(func(string) (string, error) { return "", exec.ErrNotFound })
		if none != (analyzers.Tools{}) {
			t.Errorf("found %+v", none)
		}
		if _, err := none.WithoutMetadata(t.Context(), nil, "video/mp4", 1); !errors.Is(err, analyzers.ErrCannot) {
			t.Errorf("got %v", err)
		}
	})
	if tools := analyzers.FindTools(); tools.FFmpeg != "" && tools.FFprobe != "" {
		t.Run("with them they work", func(t *testing.T) { readByTools(t, tools) })
	}
}

func readByTools(t *testing.T, tools analyzers.Tools) {
	in, e := film(t, tools.FFmpeg), examiner(t)
	s, err := tools.Probe(t.Context(), in)
	if err != nil || s.Width != 640 || s.Height != 360 || s.Video != "h264" || s.Audio != "aac" || s.Length < 1900*time.Millisecond || !s.Telling {
		t.Fatalf("got %+v, %v", s, err)
	}
	if s.Place != "53.551100,9.993700" || s.Author != "Alice Example" {
		t.Errorf("got %+v", s)
	}
	poster, err := tools.Poster(t.Context(), in, s.Length)
	if err != nil {
		t.Fatal(err)
	}
	if got := examine(t, e, "image/png", poster); got.Failure != nil || len(got.Report.Pictures) != 2 {
		t.Errorf("the poster: %+v", got)
	}
	read := func(f *os.File, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		all, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	clean := read(tools.WithoutMetadata(t.Context(), in, "video/mp4", 1<<30))
	if bytes.Contains(clean, []byte("Alice")) || bytes.Contains(clean, []byte("+53.")) || len(clean) < 1000 {
		t.Error("the copy tells")
	}
	if again := read(tools.WithoutMetadata(t.Context(), in, "video/mp4", 1<<30)); !bytes.Equal(clean, again) {
		t.Error("the copy is another one each time")
	}
	playable := read(tools.Playable(t.Context(), in, 1<<30))
	if bytes.Contains(playable, []byte("Alice")) || !bytes.Contains(playable[:64], []byte("ftyp")) {
		t.Error("what is to be played tells, or is none")
	}
	t.Run("and what is no video is no outage", func(t *testing.T) {
		junk, err := analyzers.Spool(bytes.NewReader([]byte("#EXTM3U\nhttp://127.0.0.1:1/secret\n")))
		if err != nil {
			t.Fatal(err)
		}
		defer junk.Close()
		if _, err := tools.Probe(t.Context(), junk); !errors.Is(err, analyzers.ErrCannot) {
			t.Errorf("got %v", err)
		}
	})
}

func TestThePageOfAPDFIsDrawnWhereARendererIsThere(t *testing.T) {
	t.Parallel()
	if tools := analyzers.FindTools(); tools.PDFToPPM != "" {
		drawFirstPage(t, tools)
	}
	// Without a renderer the vault never asks for the page: see the reactor Derivatives.
	if none := (analyzers.Tools{}); analyzers.Draws("application/pdf") || none.PDFToPPM != "" {
		t.Error("a PDF is drawn by nothing")
	}
}

func drawFirstPage(t *testing.T, tools analyzers.Tools) {
	t.Helper()
	e := examiner(t)
	in, err := analyzers.Spool(bytes.NewReader(pdfOf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]>>")))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	page, err := tools.FirstPage(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got := examine(t, e, "image/png", page); got.Failure != nil || len(got.Report.Pictures) != 2 || got.Report.Height != 1000 {
		t.Errorf("got %+v", got)
	}
}
