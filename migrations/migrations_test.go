package migrations_test

import (
	"context"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/mediavault-io/mediavault/internal/pgtest"
	"github.com/mediavault-io/mediavault/migrations"
)

func TestProcessesThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t, pgtest.Empty())
	if pending, err := migrations.Pending(ctx, url); err != nil || !pending {
		t.Fatalf("pending in an empty database: %v, %v", pending, err)
	}
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return migrations.Up(ctx, url) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if pending, err := migrations.Pending(ctx, url); err != nil || pending {
		t.Errorf("pending afterwards: %v, %v", pending, err)
	}
}

func TestADatabaseThatDoesNotAnswerIsAnError(t *testing.T) {
	t.Parallel()
	if err := migrations.Up(context.Background(), "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"); err == nil {
		t.Error("it went well")
	}
}
