package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/parked"
	"github.com/mediavault-io/mediavault/projections"
	"github.com/mediavault-io/mediavault/reactors"
	"github.com/mediavault-io/mediavault/readapi"
)

// desk knows what is parked, by reactors and by read models.
type desk struct {
	reactors *reactors.Engine
	models   *projections.Engine
}

// Parked implements commands.ParkedDesk.
func (d desk) Parked(ctx context.Context) ([]commands.Parked, error) {
	var all []commands.Parked
	byReactors, err := d.reactors.Parked(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range byReactors {
		all = append(all, commands.Parked{
			ID:   commands.ParkedID(parked.Reactor, p.Reactor, p.Key),
			What: parked.What{Source: parked.Reactor, Name: p.Reactor, Key: p.Key, Position: int64(p.Position)},
			Type: p.Type, Reason: p.Reason, At: p.At.UTC(), Events: p.Events, Retrying: p.Retrying,
		})
	}
	byModels, err := d.models.Parked(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range byModels {
		all = append(all, commands.Parked{
			ID:     commands.ParkedID(parked.Projection, p.Projection, p.Key),
			What:   parked.What{Source: parked.Projection, Name: p.Projection, Key: p.Key, Position: int64(p.Position)},
			Reason: p.Reason, At: p.At.UTC(), Events: p.Events,
		})
	}
	return all, nil
}

// Retry implements commands.ParkedDesk.
func (d desk) Retry(ctx context.Context, p commands.Parked) error {
	if p.What.Source == parked.Reactor {
		return d.reactors.Retry(ctx, p.What.Name, p.What.Key)
	}
	_, err := d.models.Retry(ctx, p.What.Name, p.What.Key)
	return err
}

// Drop implements commands.ParkedDesk.
func (d desk) Drop(ctx context.Context, p commands.Parked) error {
	if p.What.Source == parked.Reactor {
		return d.reactors.Drop(ctx, p.What.Name, p.What.Key, projections.Position(p.What.Position))
	}
	return parked.ErrReadOnly
}

// shown is the desk as the read API shows it.
type shown struct{ desk }

// Parked implements readapi.ParkedLister.
func (s shown) Parked(ctx context.Context) ([]readapi.Parked, error) {
	found, err := s.desk.Parked(ctx)
	all := make([]readapi.Parked, len(found))
	for i, p := range found {
		all[i] = readapi.Parked{
			ID: p.ID, Source: string(p.What.Source), Name: p.What.Name, Key: p.What.Key, Type: p.Type, Position: p.What.Position,
			Reason: p.Reason, ParkedAt: p.At, Events: p.Events, Retrying: p.Retrying,
		}
	}
	return all, err
}

func parkedCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "parked", Short: "Show, retry or drop events that could not be processed",
		Long: `Events that a reactor or a read model could not process are set aside with everything of their key that came later, and nothing
else waits for them. "retry" has them processed again, in their order; "drop" goes on without the first of them.`,
	}
	dir := c.PersistentFlags().String("data", "", "the data folder of a dev vault (default mediavault-data, when MEDIAVAULT_DATABASE_URL is not set)")
	with := func(do func(cmd *cobra.Command, args []string, d desk, o *commands.Operations) error) func(*cobra.Command, []string) error {
		return onHistory(func(cmd *cobra.Command, args []string, h *history, m *models) error {
			d := desk{reactors: reactors.NewEngine(h.store, h.pool, reactors.Options{Logger: h.log}), models: m.engine}
			return do(cmd, args, d, commands.NewOperations(commands.NewVault(h.store, media.DefaultPolicy()), d))
		}, dir)
	}
	list := &cobra.Command{Use: "list", Short: "Show what is parked", Args: cobra.NoArgs}
	list.RunE = with(func(cmd *cobra.Command, _ []string, d desk, _ *commands.Operations) error {
		all, err := d.Parked(cmd.Context())
		for _, p := range all {
			state := ""
			if p.Retrying {
				state = " (being retried)"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s %s  %s  position %d %s, %d events, since %s%s\n  %s\n", p.ID, p.What.Source, p.What.Name, p.What.Key,
				p.What.Position, p.Type, p.Events, p.At.Format(time.RFC3339), state, p.Reason)
		}
		if err == nil && len(all) == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "nothing is parked")
		}
		return err
	})
	reason := ""
	envelope := func() commands.Envelope {
		return commands.Envelope{Actor: domain.Actor{ID: operator().ID, Roles: []domain.Role{domain.RoleAdmin}}, Reason: reason}
	}
	retry := &cobra.Command{Use: "retry ID", Short: "Process the events of a parked key again", Args: cobra.ExactArgs(1)}
	retry.RunE = with(func(cmd *cobra.Command, args []string, _ desk, o *commands.Operations) error {
		if _, err := o.Retry(cmd.Context(), envelope(), args[0]); err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "asked for; see `mediavault parked list`")
		return nil
	})
	drop := &cobra.Command{Use: "drop ID --reason WHY", Short: "Go on without the first event of a parked key", Args: cobra.ExactArgs(1)}
	drop.RunE = with(func(cmd *cobra.Command, args []string, _ desk, o *commands.Operations) error {
		_, err := o.Drop(cmd.Context(), envelope(), args[0])
		if errors.Is(err, parked.ErrNoReason) {
			return errors.New("say with --reason why the event is dropped")
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), "dropped; what waited behind it is processed")
		return nil
	})
	drop.Flags().StringVar(&reason, "reason", "", "why; it stands in the log")
	c.AddCommand(list, retry, drop)
	c.RunE = list.RunE
	return c
}
