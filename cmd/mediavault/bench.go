package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/gorilla/mux"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/adapters/auth"
	"github.com/mediavault-io/mediavault/domain"
	"github.com/mediavault-io/mediavault/internal/bench"
)

var benchNames = []string{"store", "projections", "reactors", "screening", "stream", "api", "decision", "upload"}

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench [store] [projections] [reactors] [screening] [stream] [api] [decision] [upload]",
		Short: "Measure, beside a peer or the limit of this machine",
		Long: `Measure the parts that are named, or all, each on a private durable Postgres and S3 of its own in a temporary folder, beside a
peer or the limit of this machine in the same run. The figures of docs/benchmarks.md come from here.`,
		ValidArgs: benchNames,
	}
	parent := c.Flags().String("in", "", "the folder in which to make the temporary one, on the disk that is to be measured (default: the system's)")
	events := c.Flags().Int("events", 0, "how many events the store and the projections, or photos the screening, are measured with (default 500,000, 1,000,000 and 60)")
	cpu := c.Flags().String("cpuprofile", "", "write a CPU profile of this process there")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		if len(names) == 0 {
			names = benchNames
		}
		for _, n := range names {
			if !slices.Contains(benchNames, n) {
				return fmt.Errorf("there is nothing to measure called %q; accepted are store, projections, reactors, screening, stream, api, decision and upload", n)
			}
		}
		stop, err := profile(*cpu)
		if err != nil {
			return err
		}
		defer stop()
		out := cmd.OutOrStdout()
		fmt.Fprintf(out, "%d cores, %s\n", runtime.NumCPU(), runtime.Version())
		for _, n := range names {
			fmt.Fprintf(out, "\n== %s\n", n)
			if err := runBench(cmd, n, *parent, *events); err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
		}
		return nil
	}
	return c
}

func runBench(cmd *cobra.Command, name, parent string, events int) (err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	dir, err := os.MkdirTemp(parent, "mediavault-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	listener, url, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := startSurroundings(ctx, dir, listener.Addr().String(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	s.cfg.BaseURL, s.cfg.OIDCIssuer = url, url
	a, err := openApp(ctx, s.cfg, log, true)
	if err != nil {
		return err
	}
	defer a.close()

	switch name {
	case "store":
		return bench.Store(ctx, s.cfg.DatabaseURL, out, bench.Options{Events: events})
	case "stream":
		return bench.Stream(ctx, s.cfg.DatabaseURL, out, bench.StreamOptions{Options: bench.Options{Events: events}})
	case "reactors":
		return bench.Reactors(ctx, s.cfg.DatabaseURL, out, bench.ReactorOptions{Events: events})
	case "screening":
		return bench.Screening(ctx, out, bench.ScreeningOptions{Store: a.store, Media: a.media, React: a.reactAndProject, Photos: events})
	case "projections":
		return bench.Projections(ctx, s.cfg.DatabaseURL, out, bench.ProjectionOptions{Events: events})
	}
	issuer, err := auth.OpenIssuer(s.dir, url)
	if err != nil {
		return err
	}
	token, err := issuer.Token(domain.Actor{ID: "alice", Roles: []domain.Role{domain.RoleUser}}, 12*time.Hour)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	all, _ := partsOf(nil)
	served := make(chan error, 1)
	go func() { // awaited below
		served <- a.serve(serving, all, listener, func(r *mux.Router) { r.PathPrefix("/.well-known/").Handler(issuer.Handler()) })
	}()
	api := bench.APIOptions{Base: url, Token: token}
	switch name {
	case "api":
		err = bench.API(ctx, out, api)
	case "decision":
		o := bench.DecisionOptions{Base: url, Owner: token, Decisions: events}
		o.Recipient, err = issuer.Token(domain.Actor{ID: "bob", Roles: []domain.Role{domain.RoleUser}}, 12*time.Hour)
		if err == nil {
			o.Moderator, err = issuer.Token(domain.Actor{ID: "mona", Roles: []domain.Role{domain.RoleModerator}}, 12*time.Hour)
		}
		if err == nil {
			err = bench.Decision(ctx, out, o)
		}
	default:
		s3 := s.cfg.S3
		err = bench.Upload(ctx, out, bench.UploadOptions{
			APIOptions: api, Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Region: s3.Region, Bucket: s3.Bucket,
		})
	}
	stop()
	return errors.Join(err, <-served)
}

// reactAndProject runs the reactors, and the read models that some of their stages ask.
func (a *app) reactAndProject(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.reactors.Run(ctx) })
	g.Go(func() error {
		if err := a.models.engine.Run(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	})
	return g.Wait()
}
