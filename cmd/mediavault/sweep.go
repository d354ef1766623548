package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/object"
	"github.com/mediavault-io/mediavault/projections"
)

// namings is the read model of what storage holds as commands ask it.
type namings struct{ objects *projections.Objects }

// NamesOf implements commands.ObjectIndex.
func (n namings) NamesOf(ctx context.Context, keys []domain.ObjectKey) ([]commands.Naming, error) {
	found, err := n.objects.NamesOf(ctx, keys)
	all := make([]commands.Naming, len(found))
	for i, f := range found {
		all[i] = commands.Naming{
			Object: f.Object, Media: f.Media, Needed: f.Kind == projections.ObjectNeeded, Purged: f.Kind == projections.ObjectPurged,
			Until: f.Until, Content: f.Content,
		}
	}
	return all, err
}

func sweepCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "sweep [--dry-run] [--age 24h]", Short: "Destroy bytes in storage that nobody needs", Args: cobra.NoArgs,
		Long: `Go through storage and destroy what an upload that was cut off, or a process that was killed, left behind: bytes that are old enough that
no upload of them can be on its way, and that nobody needs by the log. A vault that serves does so once a day by itself. What is
destroyed is recorded before (object.swept); --dry-run only shows it.`,
	}
	dir := dataFlag(c)
	dry := c.Flags().Bool("dry-run", false, "only show what would go")
	age := c.Flags().Duration("age", 0, "how old bytes have to be (default: what MEDIAVAULT_SWEEP_AGE says)")
	c.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		s, err := findSurroundings(cmd.Context(), *dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		a, err := openApp(cmd.Context(), s.cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), true)
		if err != nil {
			return err
		}
		defer a.close()
		// A vault that serves keeps the read model; where none does, this process has to.
		projecting, stop := context.WithCancel(cmd.Context())
		done := make(chan error, 1)
		go func() { done <- a.models.engine.Run(projecting, projections.ObjectsName) }()
		defer func() { stop(); err = errors.Join(err, <-done) }()

		out := cmd.OutOrStdout()
		if *age == 0 {
			*age = a.cfg.SweepAge
		}
		sweep := commands.Sweep{Age: *age, DryRun: *dry, Found: func(l object.Litter) {
			fmt.Fprintf(out, "%s  %d bytes  %s  %s\n", l.StoredAt.Format(time.RFC3339), l.Size, l.Why, l.Object)
		}}
		swept, err := a.media.Sweep(cmd.Context(), commands.Envelope{Actor: operator()}, namings{a.models.objects}, sweep)
		verb := "destroyed"
		if *dry {
			verb = "would go"
		}
		fmt.Fprintf(out, "%d of %d objects %s, %d bytes\n", swept.Litter, swept.Objects, verb, swept.Bytes)
		return err
	}
	return c
}
