package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func rewrapCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rewrap", Short: "Wrap people's keys under the first master key, so that the others can be left out", Args: cobra.NoArgs,
		Long: `Wrap anew, under the first key that MEDIAVAULT_MASTER_KEY names, every person's key that another one wraps. To replace a master key: put the
new one before the old one in every process, and start them again; run this; leave the old one out. It may be stopped and run again, while
the vault serves.`,
	}
	dir := dataFlag(c)
	c.RunE = onHistory(func(cmd *cobra.Command, _ []string, h *history, _ *models) error {
		n, err := h.keys.Rewrap(cmd.Context())
		if err != nil {
			return fmt.Errorf("after %d keys: %w", n, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d keys were wrapped anew; one master key is enough now\n", n)
		return nil
	}, dir)
	return c
}
