package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/clamd"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/internal/sandbox"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say which optional tools are there, and what is missing without them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(os.Environ())
			if err != nil {
				return err
			}
			return doctor(cmd.Context(), cmd.OutOrStdout(), analyzers.FindTools(), cfg)
		},
	}
}

// doctor prints a line per tool, and runs a child once, without which nothing would ever be screened.
func doctor(ctx context.Context, out io.Writer, tools analyzers.Tools, cfg config.Config) error {
	c := cfg.Screening
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(name, where, gives, without string) {
		state, says := "found", gives+" ("+where+")"
		if where == "" {
			state, says = "missing", without
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, state, says)
	}
	fmt.Fprintf(table, "built in\tworks\tthumbnails of JPEG, PNG, GIF, WebP, BMP and TIFF, and of what cameras put into raw files\n")
	line("ffprobe", tools.FFprobe, "duration, size, codecs and tags of video and sound",
		"no duration, size or codecs of video and sound; of their tags only a marked place is noticed (Debian: apt-get install ffmpeg)")
	line("ffmpeg", tools.FFmpeg, "posters, videos that browsers play, frames of videos to be scored, copies of video and sound without place and names; thumbnails of AVIF, JPEG XL, JPEG 2000, Photoshop, Radiance and icons",
		"no posters, no videos made for browsers, no scores of videos; video and sound that carry a place or names are not handed to others; no thumbnails of JPEG XL, JPEG 2000, Photoshop, Radiance and icons (Debian: apt-get install ffmpeg)")
	line("heif-thumbnailer", tools.HEIFThumbnailer, "thumbnails of HEIC, HEIF and AVIF", "no thumbnails of HEIC and HEIF (Debian: apt-get install heif-thumbnailer)")
	line("cwebp", tools.CWebP, "thumbnails in WebP beside JPEG", "no thumbnails in WebP, JPEG alone (Debian: apt-get install webp)")
	line("pdftoppm", tools.PDFToPPM, "thumbnails of PDFs", "no thumbnails of PDFs (Debian: apt-get install poppler-utils)")
	scanner := ""
	if c.Clamd != "" {
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		version, err := clamd.New(c.Clamd).Version(within)
		cancel()
		if scanner = c.Clamd + ", " + version; err != nil {
			fmt.Fprintf(table, "clamd\tsilent\t%s does not answer: nothing is delivered until it does (%v)\n", c.Clamd, err)
		}
		if err == nil {
			line("clamd", scanner, "every file is scanned for malware", "")
		}
	} else {
		line("clamd", "", "", "no virus scanner: only the test file of scanners is found (set MEDIAVAULT_CLAMD_ADDR)")
	}
	doctorModels(table, cfg)
	// The children themselves: without them nothing is ever deliverable.
	pool := sandbox.NewPool(sandbox.Options{Children: 1, Limits: sandbox.Limits{Memory: c.ChildMemory, CPU: c.ChildCPU}})
	got, err := analyzers.Examiner{Pool: pool}.Examine(ctx, analyzers.Request{Type: "text/plain", Size: 5}, strings.NewReader("hello"))
	switch failed := pool.Close(); {
	case err != nil, got.Failure != nil:
		fmt.Fprintf(table, "children\tbroken\tno file can be screened: %v %v\n", err, got.Failure)
	case failed != nil:
		return failed
	default:
		fmt.Fprintf(table, "children\twork\tuntrusted bytes are decoded in processes of their own\n")
	}
	return table.Flush()
}
