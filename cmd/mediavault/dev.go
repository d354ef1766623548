package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/gorilla/mux"
	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/demo"
)

func devCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: a private Postgres and S3, and the whole vault",
		Long: `Run everything on this machine: a private Postgres, a private S3 server and the whole vault, with all data in one folder.
Ctrl-C stops all of it in order; starting again goes on with the data.`,
		Args: cobra.NoArgs,
	}
	dir := c.Flags().String("data", defaultData, "the folder that holds all data; made when missing")
	addr := c.Flags().String("addr", "127.0.0.1:8080", "where to listen, host:port; port 0 takes any that is free")
	streamAddr := c.Flags().String("stream", "", "where to speak EventStoreDB's protocol, host:port (default: MEDIAVAULT_STREAM_ADDR, or nowhere)")
	insecure := c.Flags().Bool("stream-insecure", false, "let everybody on this machine use it as an admin")
	withDemo := c.Flags().Bool("demo", false, "do the main job once on pictures that it draws itself, and show the history")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		// Into the environment's own form, so that one place reads it.
		for name, value := range map[string]string{"MEDIAVAULT_STREAM_ADDR": *streamAddr, "MEDIAVAULT_STREAM_INSECURE": trueOrNothing(*insecure)} {
			if value == "" {
				continue
			}
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
		return runDev(cmd.Context(), cmd.OutOrStdout(), *dir, *addr, *withDemo)
	}
	return c
}

func trueOrNothing(yes bool) string {
	if yes {
		return "true"
	}
	return ""
}

func runDev(ctx context.Context, out io.Writer, dir, addr string, withDemo bool) (err error) {
	listener, url, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	fmt.Fprintf(out, "starting Postgres and S3 in %s ...\n", dir)
	s, err := startSurroundings(ctx, dir, listener.Addr().String(), log)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	s.cfg.BaseURL, s.cfg.OIDCIssuer = url, url
	log = s.cfg.Logger(os.Stderr)
	a, err := openApp(ctx, s.cfg, log, true)
	if err != nil {
		return stopped(ctx, err)
	}
	defer a.close()
	issuer, err := auth.OpenIssuer(s.dir, url)
	if err != nil {
		return err
	}
	if err := s.tell(url); err != nil {
		return err
	}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	all, _ := partsOf(nil)
	served := make(chan error, 1)
	go func() { // awaited below
		served <- a.serve(serving, all, listener, func(r *mux.Router) { r.PathPrefix("/.well-known/").Handler(issuer.Handler()).Methods("GET") })
	}()
	if err := welcome(out, url, dir, issuer); err != nil {
		stop()
		return errors.Join(err, <-served)
	}
	if withDemo {
		if err := runDemo(ctx, out, url, issuer); err != nil && ctx.Err() == nil {
			stop()
			return errors.Join(err, <-served)
		}
	}
	select {
	case err = <-served:
	case <-s.dev.Failed():
		stop()
		err = errors.Join(s.dev.Err(), <-served)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(out, "stopped; the data is in", dir)
	}
	return err
}

// stopped forgives an error that only says that somebody pressed Ctrl-C.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func welcome(out io.Writer, url, dir string, issuer *auth.Issuer) error {
	token, err := issuer.Token(domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}, 12*time.Hour)
	if err != nil {
		return err
	}
	data := ""
	if dir != defaultData {
		data = " --data " + dir
	}
	_, err = fmt.Fprintf(out, `
Media Vault is at %[1]s
The APIs are described at %[1]s/docs

Paste, in another terminal (this token is alice's, for 12 hours; others: mediavault token%[3]s --user bob --role moderator):

  export T=%[2]s
  curl -sH "Authorization: Bearer $T" -F file=@photo.jpg -F title=Harbour %[1]s/v1/media
  curl -sH "Authorization: Bearer $T" %[1]s/v1/media
  curl -sH "Authorization: Bearer $T" '%[1]s/v1/media?as_of=1'

Ctrl-C stops everything; the data stays in %[4]s.
`, url, token, data, dir)
	return err
}

func runDemo(ctx context.Context, out io.Writer, url string, issuer *auth.Issuer) error {
	return demo.Run(ctx, url, func(user, role string) (string, error) {
		return issuer.Token(domain.Actor{ID: domain.UserID(user), Roles: []domain.Role{domain.Role(role)}}, time.Hour)
	}, out)
}
