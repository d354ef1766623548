package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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

var benchNames = []string{"store", "projections", "reactors", "screening", "queue", "stream", "api", "decision", "upload"}

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench [store] [projections] [reactors] [screening] [queue] [stream] [api] [decision] [upload]",
		Short: "Measure, beside a peer or the limit of this machine",
		Long: `Measure the parts that are named, or all, each on a private durable Postgres and S3 of its own in a temporary folder, beside a
peer or the limit of this machine in the same run. The figures of docs/benchmarks.md come from here.`,
		ValidArgs: benchNames,
	}
	parent := c.Flags().String("in", "", "the folder in which to make the temporary one, on the disk that is to be measured (default: the system's)")
	events := c.Flags().Int("events", 0, "how many events the store and the projections, photos the screening, or uploads the queue, are measured with (default 500,000, 1,000,000, 60 and 10,000)")
	fill := c.Flags().Int("fill", 0, "measure nothing of the store but appending, with 1,000,000 events there and with so many (20,000,000 take some 25 GB)")
	cpu := c.Flags().String("cpuprofile", "", "write a CPU profile of this process there")
	c.AddCommand(&cobra.Command{
		Use: "load", Short: "Be the clients of a bench", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.Load(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	})
	c.AddCommand(&cobra.Command{
		Use: "stream-load", Short: "Be the clients of the bench of the stream API", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return bench.StreamLoad(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	})
	c.RunE = func(cmd *cobra.Command, names []string) error {
		if len(names) == 0 {
			names = benchNames
		}
		for _, n := range names {
			if !slices.Contains(benchNames, n) {
				return fmt.Errorf("there is nothing to measure called %q; accepted are store, projections, reactors, screening, queue, stream, api, decision and upload", n)
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
			if err := runBench(cmd, n, *parent, *events, *fill); err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
		}
		return nil
	}
	return c
}

func runBench(cmd *cobra.Command, name, parent string, events, fill int) (err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	dir, err := os.MkdirTemp(parent, "mediavault-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := startSurroundings(ctx, dir, "", log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	switch name {
	case "api", "decision", "upload":
		return s.benchServed(ctx, out, name, events, log)
	}
	a, err := openApp(ctx, s.cfg, log, true)
	if err != nil {
		return err
	}
	defer a.close()
	switch name {
	case "store":
		return bench.Store(ctx, s.cfg.DatabaseURL, out, bench.Options{Events: events, Fill: fill})
	case "stream":
		return bench.Stream(ctx, s.cfg.DatabaseURL, out, bench.StreamOptions{Options: bench.Options{Events: events}})
	case "reactors":
		return bench.Reactors(ctx, s.cfg.DatabaseURL, out, bench.ReactorOptions{Events: events})
	case "screening", "queue":
		measure := bench.Screening
		if name == "queue" {
			measure = bench.Queue
		}
		return measure(ctx, out, bench.ScreeningOptions{Store: a.store, Media: a.media, React: a.reactAndProject, Spent: a.spent.CPU, Photos: events})
	default:
		return bench.Projections(ctx, s.cfg.DatabaseURL, out, bench.ProjectionOptions{Events: events})
	}
}

// benchServed measures a vault through its HTTP.
func (s *surroundings) benchServed(ctx context.Context, out io.Writer, name string, events int, log *slog.Logger) error {
	switch name {
	case "api":
		return bench.API(ctx, out, bench.APIOptions{Serve: func(ctx context.Context, names []string, use func(context.Context, bench.Served) error) error {
			return s.serveWhile(ctx, log, names, func(ctx context.Context, url string, issuer *auth.Issuer) error {
				token, err := tokenOf(issuer, "alice", domain.RoleUser)
				return errors.Join(err, use(ctx, bench.Served{Base: url, Token: token}))
			})
		}})
	case "decision":
		return s.serveWhile(ctx, log, nil, func(ctx context.Context, url string, issuer *auth.Issuer) error {
			alice, errAlice := tokenOf(issuer, "alice", domain.RoleUser)
			bob, errBob := tokenOf(issuer, "bob", domain.RoleUser)
			mona, errMona := tokenOf(issuer, "mona", domain.RoleModerator)
			if err := errors.Join(errAlice, errBob, errMona); err != nil {
				return err
			}
			return bench.Decision(ctx, out, bench.DecisionOptions{Base: url, Owner: alice, Recipient: bob, Moderator: mona, Decisions: events})
		})
	default:
		s3 := s.cfg.S3
		return s.serveWhile(ctx, log, []string{"write", "read", "project"}, func(ctx context.Context, url string, issuer *auth.Issuer) error {
			token, err := tokenOf(issuer, "alice", domain.RoleUser)
			if err != nil {
				return err
			}
			return bench.Upload(ctx, out, bench.UploadOptions{
				Served: bench.Served{Base: url, Token: token},
				S3:     bench.Storage{Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Region: s3.Region, Bucket: s3.Bucket},
			})
		})
	}
}

func tokenOf(issuer *auth.Issuer, user domain.UserID, role domain.Role) (string, error) {
	return issuer.Token(domain.Actor{ID: user, Roles: []domain.Role{role}}, 12*time.Hour)
}

// serveWhile runs the named parts of a vault (all, when none is named), with an issuer of its own, for as long as use runs.
func (s *surroundings) serveWhile(ctx context.Context, log *slog.Logger, names []string, use func(context.Context, string, *auth.Issuer) error) error {
	p, err := partsOf(names)
	if err != nil {
		return err
	}
	listener, url, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	s.cfg.BaseURL, s.cfg.OIDCIssuer = url, url
	issuer, err := auth.OpenIssuer(s.dir, url)
	if err != nil {
		return err
	}
	a, err := openApp(ctx, s.cfg, log, true)
	if err != nil {
		return err
	}
	defer a.close()
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { // awaited below
		served <- a.serve(serving, p, listener, func(r *mux.Router) { r.PathPrefix("/.well-known/").Handler(issuer.Handler()).Methods("GET") })
	}()
	err = use(ctx, url, issuer)
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
