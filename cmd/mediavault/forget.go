package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/commands"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/domain/person"
	"github.com/mediavault-io/mediavault/reactors"
)

// forgetting are the commands about people.
func (a *app) forgetting() *commands.People {
	people := commands.NewPeople(a.vault, a.media, a.keys, belongings{a.models.library, a.models.shares})
	people.Letters = reactors.Letters{Pool: a.pool}
	return people
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

It tells what would go and asks before; where nobody can be asked it needs --yes. --dry-run only tells.

Grounds: ` + strings.Join(grounds, ", "),
		Example: `  mediavault forget 6f1c --dry-run
  mediavault forget 6f1c --reason consent_withdrawn --yes`,
	}
	dir := dataFlag(c)
	reason := c.Flags().String("reason", "", "the ground; it stands in the log")
	yes := c.Flags().Bool("yes", false, "do not ask")
	dry := c.Flags().Bool("dry-run", false, "only tell what would go")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case args[0] == "":
			return errors.New("the id of the person is empty")
		case *dry && *reason == "": // nothing is written
		case !slices.Contains(person.Grounds(), person.Ground(*reason)):
			return errors.New("say with --reason why: " + strings.Join(grounds, ", "))
		}
		return onHistory(func(cmd *cobra.Command, args []string, h *history, m *models) error {
			people := commands.NewPeople(commands.NewVault(h.store, media.DefaultPolicy()), nil, h.keys, nil)
			people.Letters = reactors.Letters{Pool: h.pool}
			f := forgetter{people: people, models: m, out: cmd.OutOrStdout()}
			subject := domain.UserID(args[0])
			fresh, err := f.tell(cmd.Context(), h, subject)
			if err != nil || *dry {
				return err
			}
			if fresh && !*yes {
				if err := confirm(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), "This cannot be undone. Type yes to go on: "); err != nil {
					return err
				}
			}
			return f.forget(cmd.Context(), subject, person.Ground(*reason))
		}, dir)(cmd, args)
	}
	return c
}

// forgetter has one person forgotten at the command line.
type forgetter struct {
	people *commands.People
	models *models
	out    io.Writer
}

// tell says what would go; false: it was asked for before, and asking again changes nothing.
func (f forgetter) tell(ctx context.Context, h *history, subject domain.UserID) (bool, error) {
	state, err := f.people.State(ctx, subject)
	if err != nil {
		return false, err
	}
	if state.Phase != person.Remembered {
		fmt.Fprintf(f.out, "%q is forgotten already, or about to be\n", subject)
		return false, nil
	}
	known, err := h.keys.Known(ctx, subject)
	if err != nil {
		return false, err
	}
	if !known {
		return false, person.ErrUnknown
	}
	has, err := f.models.library.BelongingsOf(ctx, subject)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(f.out, "The key of %q would be destroyed: every text about him is closed for ever.\n", subject)
	fmt.Fprintf(f.out, "Items to be purged: %d; of those, evidence in open cases, kept until these are closed: %d. Shares of them: %d.\n", has.Items, has.Evidence, has.Shares)
	return true, nil
}

func (f forgetter) forget(ctx context.Context, subject domain.UserID, ground person.Ground) error {
	env := commands.Envelope{Actor: domain.Actor{ID: operator().ID, Roles: []domain.Role{domain.RoleAdmin}}}
	got, err := f.people.RequestErasure(ctx, env, subject, ground)
	switch {
	case err != nil:
		return err
	case got.Silent: // somebody else was quicker
		fmt.Fprintf(f.out, "that was asked for before; see %s\n", got.Stream)
	default:
		fmt.Fprintf(f.out, "the key is destroyed; a vault that serves does the rest, and says so in %s\n", got.Stream)
	}
	return nil
}

// errUnconfirmed is that nobody said yes.
var errUnconfirmed = errors.New("nothing was done: nobody said yes (--yes does not ask)")

// confirm asks a person at a terminal. Whatever is not yes is no, and so is in without a person behind it.
func confirm(ctx context.Context, in io.Reader, out io.Writer, question string) error {
	file, ok := in.(*os.File)
	if !ok {
		return errUnconfirmed
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return errUnconfirmed
	}
	fmt.Fprint(out, question)
	said := make(chan string, 1)
	go func() { // nothing ends a read from a terminal but its line or the process
		line, _ := bufio.NewReader(file).ReadString('\n')
		said <- line
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-said:
		if strings.TrimSpace(line) != "yes" {
			return errUnconfirmed
		}
		return nil
	}
}
