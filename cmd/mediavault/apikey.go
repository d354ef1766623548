package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/apikeys"
	"github.com/mediavault-io/mediavault/domain/catalog"
	"github.com/mediavault-io/mediavault/migrations"
	"github.com/mediavault-io/mediavault/streamapi"
)

func apikeyCommand() *cobra.Command {
	c := &cobra.Command{Use: "apikey", Short: "Let programs use the stream API: create, list, rotate and revoke their keys"}
	c.AddCommand(apikeyCreateCommand(), apikeyListCommand(), apikeyRotateCommand(), apikeyRevokeCommand())
	return c
}

// withKeys runs f on the API keys of the vault that the environment or the data folder names.
func withKeys(cmd *cobra.Command, dir string, f func(*apikeys.Keys) error) error {
	s, err := findSurroundings(cmd.Context(), dir)
	if err != nil {
		return err
	}
	err = migrations.Up(cmd.Context(), s.cfg.DatabaseURL)
	if err == nil {
		var h *history
		if h, err = openHistory(cmd.Context(), s.cfg, slog.New(slog.DiscardHandler), false); err == nil {
			err = f(apikeys.New(h.pool))
			h.close()
		}
	}
	return errors.Join(err, s.stop())
}

func apikeyCreateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "create ID",
		Short: "Create a key, and tell its secret once",
		Args:  cobra.ExactArgs(1),
		Example: `  mediavault apikey create reporting --category media --category share
  mediavault apikey create shop --category app --write
  mediavault apikey create acme --category media --org acme`,
	}
	dir := dataFlag(c)
	g := apikeys.Grant{}
	f := c.Flags()
	f.StringVar(&g.Description, "about", "", "what the key is for")
	f.StringSliceVar(&g.Categories, "category", nil, "a category of streams that it may read, the vault's own ("+strings.Join(catalog.Categories(), ", ")+") or free ones; * is all; may be given several times")
	f.StringSliceVar(&g.Organisations, "org", []string{"*"}, "an organisation of whose streams it may know; * is all; may be given several times")
	f.StringSliceVar(&g.Roles, "role", nil, "a name that the $acl of streams may use; admin passes every $acl and may read system streams")
	f.BoolVar(&g.Opened, "opened", false, "show personal texts, for auditors; otherwise they stay sealed")
	f.BoolVar(&g.WriteFree, "write", false, "may write free streams of its categories")
	f.BoolVar(&g.WriteOwn, "write-own", false, "may write the vault's own streams: for tools that restore, not for programs")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		g.ID = args[0]
		for _, warning := range unlikely(g) {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
		return withKeys(cmd, *dir, func(keys *apikeys.Keys) error {
			secret, err := keys.Create(cmd.Context(), g)
			if err != nil {
				return err
			}
			return tellSecret(cmd, g.ID, secret)
		})
	}
	return c
}

// unlikely says what of a grant is allowed, and hardly meant.
func unlikely(g apikeys.Grant) []string {
	var warnings []string
	if len(g.Categories) == 0 {
		warnings = append(warnings, "without --category the key can read nothing")
	}
	for _, c := range g.Categories {
		// A key that writes makes its own.
		if c != streamapi.Everything && !g.WriteFree && !slices.Contains(catalog.Categories(), c) {
			warnings = append(warnings, fmt.Sprintf("%q is no category of the vault (those are %s): the key reads free streams that others write, if any",
				c, strings.Join(catalog.Categories(), ", ")))
		}
	}
	return warnings
}

func tellSecret(cmd *cobra.Command, id, secret string) error {
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), secret); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "this secret is not told again; use it as esdb://%s:SECRET@host:2113\n", id)
	return err
}

func apikeyRotateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "rotate ID",
		Short:   "Give a key another secret, and tell it once; what it may stays",
		Args:    cobra.ExactArgs(1),
		Example: `  mediavault apikey rotate shop --keep 24h     the secret of before is believed for a day`,
	}
	dir := dataFlag(c)
	keep := c.Flags().Duration("keep", 0, "how long the secret of before is believed")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *keep < 0 {
			return errors.New("--keep is a time to come")
		}
		return withKeys(cmd, *dir, func(keys *apikeys.Keys) error {
			secret, err := keys.Rotate(cmd.Context(), args[0], *keep)
			if err != nil {
				return err
			}
			return tellSecret(cmd, args[0], secret)
		})
	}
	return c
}

func apikeyListCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "Show all keys and what they may", Args: cobra.NoArgs}
	dir := dataFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		return withKeys(cmd, *dir, func(keys *apikeys.Keys) error {
			grants, err := keys.List(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tCATEGORIES\tORGANISATIONS\tROLES\tMAY\tCREATED\tREVOKED\tABOUT")
			for _, g := range grants {
				may := []string{"read"}
				if g.WriteFree {
					may = append(may, "write")
				}
				if g.WriteOwn {
					may = append(may, "write-own")
				}
				if g.Opened {
					may = append(may, "opened")
				}
				revoked := ""
				if !g.RevokedAt.IsZero() {
					revoked = g.RevokedAt.Format(time.DateTime)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.ID, strings.Join(g.Categories, ","), strings.Join(g.Organisations, ","),
					strings.Join(g.Roles, ","), strings.Join(may, ","), g.CreatedAt.Format(time.DateTime), revoked, g.Description)
			}
			return w.Flush()
		})
	}
	return c
}

func apikeyRevokeCommand() *cobra.Command {
	c := &cobra.Command{Use: "revoke ID", Short: "End a key, within seconds and for ever", Args: cobra.ExactArgs(1)}
	dir := dataFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return withKeys(cmd, *dir, func(keys *apikeys.Keys) error { return keys.Revoke(cmd.Context(), args[0]) })
	}
	return c
}
