// Command mediavault is the vault: an event-sourced store for photos, videos and documents, with a write API, a read API,
// projectors and reactors in one binary. `mediavault dev` runs all of it with what it needs; `mediavault serve` runs the parts
// that are named against what the environment names.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/analyzers/doctext"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/internal/dev"
	"github.com/mediavault-io/mediavault/internal/sandbox"
)

func main() {
	jobs := analyzers.Jobs()
	maps.Copy(jobs, doctext.Jobs())
	sandbox.MaybeChild(jobs) // what decodes untrusted bytes is this binary, in a child
	dev.MaybeChild()         // the S3 server of dev is this binary, too
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	var problems config.Problems
	switch {
	case err == nil:
	case errors.As(err, &problems):
		fmt.Fprintln(os.Stderr, problems)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "mediavault:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "mediavault",
		Short:         "A vault for media that keeps its whole history",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	c.AddCommand(devCommand(), serveCommand(), migrateCommand(), configCommand(), tokenCommand(), rebuildCommand(), verifyCommand(),
		historyCommand(), eventsCommand(), doctorCommand(), modelsCommand(), parkedCommand(), forgetCommand(), rewrapCommand(), sweepCommand(), apikeyCommand(), benchCommand())
	return c
}

// version is the module's version, and the commit that the binary was built from where the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	said, changed := info.Main.Version, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			said += " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	return said + changed
}
