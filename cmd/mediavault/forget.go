package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/person"
)

// forgetting are the commands about people.
func (a *app) forgetting() *commands.People {
	return commands.NewPeople(a.vault, a.media, a.keys, a.models.library)
}

func forgetCommand() *cobra.Command {
	var grounds []string
	for _, g := range person.Grounds() {
		grounds = append(grounds, string(g))
	}
	c := &cobra.Command{
		Use: "forget SUBJECT --reason GROUND", Short: "Have a person forgotten: it cannot be undone", Args: cobra.ExactArgs(1),
		Long: `Destroy the key of a person, by the id that the identity provider gave him, so that every text about him is closed for ever: in the whole
log, in the read models, as of every moment. A vault that serves then deletes and purges what he has (what is evidence in an open case,
when that is closed), and records that it is done. Asking again changes nothing.

Grounds: ` + strings.Join(grounds, ", "),
	}
	dir := dataFlag(c)
	reason := c.Flags().String("reason", "", "the ground; it stands in the log")
	c.RunE = onHistory(func(cmd *cobra.Command, args []string, h *history, _ *models) error {
		people := commands.NewPeople(commands.NewVault(h.store, media.DefaultPolicy()), nil, h.keys, nil)
		env := commands.Envelope{Actor: domain.Actor{ID: operator().ID, Roles: []domain.Role{domain.RoleAdmin}}}
		got, err := people.RequestErasure(cmd.Context(), env, domain.UserID(args[0]), person.Ground(*reason))
		switch {
		case errors.Is(err, person.ErrGround):
			return errors.New("say with --reason why: " + strings.Join(grounds, ", "))
		case err != nil:
			return err
		case got.Silent:
			fmt.Fprintf(cmd.OutOrStdout(), "that was asked for before; see %s\n", got.Stream)
		default:
			fmt.Fprintf(cmd.OutOrStdout(), "the key is destroyed; a vault that serves does the rest, and says so in %s\n", got.Stream)
		}
		return nil
	}, dir)
	return c
}
