package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/projections"
)

// onHistory gives a command the event store and the read models of a vault, wherever it is, for as long as it runs.
func onHistory(do func(cmd *cobra.Command, args []string, h *history, m *models) error, dir *string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) (err error) {
		s, err := findSurroundings(cmd.Context(), *dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		h, err := openHistory(cmd.Context(), s.cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), true)
		if err != nil {
			return err
		}
		defer h.close()
		m, err := openModels(h, nil)
		if err != nil {
			return err
		}
		if err := m.engine.Prepare(cmd.Context()); err != nil {
			return err
		}
		return do(cmd, args, h, m)
	}
}

func rebuildCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rebuild NAME",
		Short: "Build a read model again from the log, beside the live one, compare, and swap",
		Long: `Build a read model again from the whole log, in tables beside the live ones, compare both row by row, and swap them in one
short transaction. Reading goes on meanwhile. The old tables are kept: --back takes one step back.`,
		Args: cobra.ExactArgs(1),
	}
	dir := dataFlag(c)
	back := c.Flags().Bool("back", false, "put the tables from before the last rebuild in place again")
	c.RunE = onHistory(func(cmd *cobra.Command, args []string, _ *history, m *models) error {
		out := cmd.OutOrStdout()
		if *back {
			if err := m.engine.Rollback(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s is as it was before the last rebuild\n", args[0])
			return nil
		}
		bar := newBar(cmd.ErrOrStderr())
		done, err := m.engine.Rebuild(cmd.Context(), args[0], projections.RebuildOptions{Progress: bar.show})
		bar.end()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d events, %d rows at position %d in %v (%.0f events/s), swapped in %v\n", done.Name, done.Events, done.Rows,
			done.Position, done.Took.Round(time.Millisecond), float64(done.Events)/done.Took.Seconds(), done.Swap.Round(10*time.Microsecond))
		switch {
		case !done.Compared:
			fmt.Fprintln(out, "there was nothing of this shape to compare it with")
		case done.Differences == 0:
			fmt.Fprintln(out, "it equals the one that it replaced, row by row")
		default:
			fmt.Fprintf(out, "%d differences from the one that it replaced:\n", done.Differences)
			for _, d := range done.Details {
				fmt.Fprintln(out, " ", d)
			}
		}
		return nil
	}, dir)
	return c
}

func verifyCommand() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Recompute what can be recomputed, and name what differs"}
	p := &cobra.Command{Use: "projections [NAME]...", Short: "Recompute read models from the log and name every row that differs"}
	dir := dataFlag(p)
	p.RunE = onHistory(func(cmd *cobra.Command, args []string, _ *history, m *models) error {
		bar := newBar(cmd.ErrOrStderr())
		all, err := m.engine.Verify(cmd.Context(), projections.VerifyOptions{Progress: bar.show}, args...)
		bar.end()
		if err != nil {
			return err
		}
		wrong, wide := 0, 0
		for _, v := range all {
			wide = max(wide, len(v.Name))
		}
		for _, v := range all {
			fmt.Fprintf(cmd.OutOrStdout(), "%-*s  %d rows as of position %d: %d differences, %d keys parked (%v)\n",
				wide, v.Name, v.Rows, v.Position, v.Differences, v.Parked, v.Took.Round(time.Millisecond))
			for _, d := range v.Details {
				fmt.Fprintln(cmd.OutOrStdout(), " ", d)
			}
			wrong += v.Differences
		}
		if wrong > 0 {
			return fmt.Errorf("%d rows differ from what the log says", wrong)
		}
		return nil
	}, dir)
	c.AddCommand(p)
	return c
}

// operator is who reads at the command line: whoever has the database and the master key may read everything.
func operator() domain.Actor {
	return domain.Actor{ID: "operator", Roles: []domain.Role{domain.RoleAuditor}}
}

func historyCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "history MEDIA_ID", Short: "Print the whole history of an item: uploads, descriptions, shares, cases, accesses", Args: cobra.ExactArgs(1),
	}
	dir := dataFlag(c)
	asOf := c.Flags().String("as-of", "", "a position or an RFC 3339 time: the history as it was then")
	asJSON := c.Flags().Bool("json", false, "one JSON object a line, with the data of each event")
	c.RunE = onHistory(func(cmd *cobra.Command, args []string, _ *history, m *models) error {
		id, err := domain.ParseMediaID(args[0])
		if err != nil {
			return err
		}
		var moment projections.Moment
		if *asOf != "" {
			if moment, err = projections.ParseMoment(*asOf); err != nil {
				return err
			}
		}
		out := cmd.OutOrStdout()
		lines := json.NewEncoder(out)
		for p := (projections.Paging{Size: 200}); ; {
			page, err := m.history.Item(cmd.Context(), operator(), id, p, moment)
			if err != nil {
				return err
			}
			for _, e := range page.Items {
				if *asJSON {
					if err := lines.Encode(e); err != nil {
						return err
					}
					continue
				}
				fmt.Fprintf(out, "%8d  %s  %-28s %-12s %s\n", e.Position, e.RecordedAt.Format(time.RFC3339), e.Type, e.Who.ID, e.Summary)
			}
			if page.Next == "" {
				return nil
			}
			p.Cursor = page.Next
		}
	}, dir)
	return c
}

func eventsCommand() *cobra.Command {
	c := &cobra.Command{Use: "events", Short: "Print the log, one JSON object a line", Args: cobra.NoArgs}
	dir := dataFlag(c)
	after := c.Flags().Int64("after", 0, "print what comes after this position")
	limit := c.Flags().Int("limit", 0, "how many at most; 0 for all")
	follow := c.Flags().Bool("follow", false, "go on with what is appended, until Ctrl-C")
	types := c.Flags().StringSlice("types", nil, "only these types of events")
	categories := c.Flags().StringSlice("category", nil, "only streams of these categories: "+strings.Join(catalog.Categories(), ", "))
	c.RunE = onHistory(func(cmd *cobra.Command, _ []string, _ *history, m *models) error {
		batches, err := m.history.Follow(cmd.Context(), operator(), eventstore.Position(*after),
			projections.HistoryFilter{Types: *types, Categories: *categories})
		if err != nil {
			return err
		}
		lines := json.NewEncoder(cmd.OutOrStdout())
		left := *limit
		for batch, err := range batches {
			if err != nil {
				return stopped(cmd.Context(), err)
			}
			for _, e := range batch.Items {
				if err := lines.Encode(e); err != nil {
					return err
				}
				if left--; left == 0 {
					return nil
				}
			}
			if batch.Live && !*follow {
				return nil
			}
		}
		return nil
	}, dir)
	return c
}

// bar shows how far a rebuild or a verification is, where somebody watches.
type bar struct {
	out   io.Writer
	watch bool
	phase string
	bar   *progressbar.ProgressBar
}

func newBar(out io.Writer) *bar {
	file, ok := out.(*os.File)
	if !ok {
		return &bar{}
	}
	info, err := file.Stat()
	return &bar{out: out, watch: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (b *bar) show(p projections.Progress) {
	if !b.watch {
		return
	}
	if phase := p.Projection + ": " + p.Phase; phase != b.phase {
		b.end()
		b.phase = phase
		b.bar = progressbar.NewOptions64(int64(p.Through), progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(phase),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("events"), progressbar.OptionThrottle(100*time.Millisecond))
	}
	_ = b.bar.Set64(int64(p.Position))
}

func (b *bar) end() {
	if b.bar != nil {
		_ = b.bar.Finish()
		fmt.Fprintln(b.out)
		b.bar = nil
	}
}
