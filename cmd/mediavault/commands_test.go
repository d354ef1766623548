package main

import (
	"context"
	"log/slog"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/apikeys"
	"github.com/mediavault-io/mediavault/internal/config"
)

// refused runs a command in this process that is refused before it looks for a vault, and answers why.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	c := root()
	c.SetArgs(append(args, "--data", t.TempDir()))
	c.SetOut(t.Output())
	c.SetErr(t.Output())
	err := c.ExecuteContext(t.Context())
	if err == nil {
		t.Fatalf("%v was done", args)
	}
	return err.Error()
}

func TestCommandsSayWhichArgumentIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"token", "--user", "alice", "--role", "king"}, "accepted are guest, user"},
		{[]string{"token", "--user", "alice", "--role", "system"}, "accepted are guest, user"},
		{[]string{"token", "--user", "alice", "--ttl", "-5m"}, "--ttl -5m0s"},
		{[]string{"token", "--user", "alice", "--ttl", "0s"}, "--ttl 0s"},
		{[]string{"token", "--user", ""}, "--user is empty"},
		{[]string{"forget", "", "--reason", "objected"}, "the id of the person is empty"},
		{[]string{"forget", "alice"}, "--reason"},
		{[]string{"forget", "alice", "--reason", "bored"}, "objected"},
		{[]string{"dev", "--addr", "8085"}, `"8085" is not host:port`},
	} {
		if got := refused(t, c.args...); !strings.Contains(got, c.says) {
			t.Errorf("%v: %s", c.args, got)
		}
	}
}

func TestNobodyWhoIsNotAtATerminalIsAsked(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := confirm(t.Context(), strings.NewReader("yes\n"), &out, "Sure? "); err == nil || out.String() != "" {
		t.Errorf("%v, after %q", err, out.String())
	}
}

func TestFlagsAreNamedByWhatTheyTake(t *testing.T) {
	t.Parallel()
	// --name type   usage: between the name and the usage stands one word at most.
	line := regexp.MustCompile(`^\s+(-\w, )?--[\w-]+( \S+)?   `)
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		for usage := range strings.Lines(c.Flags().FlagUsages()) {
			if !line.MatchString(usage) {
				t.Errorf("%s: backquotes in a usage name the flag's value: %s", c.CommandPath(), usage)
			}
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(root())
}

func TestKeysThatCanHardlyBeMeantAreWarnedOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		grant apikeys.Grant
		warns int
	}{
		{apikeys.Grant{}, 1},
		{apikeys.Grant{Categories: []string{"nonsense", "media"}}, 1},
		{apikeys.Grant{Categories: []string{"media", "person"}}, 0},
		{apikeys.Grant{Categories: []string{"*"}}, 0},
		{apikeys.Grant{Categories: []string{"app"}, WriteFree: true}, 0},
	} {
		if got := unlikely(c.grant); len(got) != c.warns {
			t.Errorf("%+v: %q", c.grant, got)
		}
	}
}

func TestTheVersionNamesTheCommit(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0a1b"}, {Key: "vcs.modified", Value: "true"}}}
	if got := versionOf(info); got != "(devel) 0a1b with changes" {
		t.Error(got)
	}
	info.Main.Version = "v1.2.3"
	if got := versionOf(&debug.BuildInfo{Main: info.Main}); got != "v1.2.3" {
		t.Error(got)
	}
}

func TestModelsAreKeptWithOtherDownloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  config.Config
		want string
	}{
		{config.Config{CacheDir: "/cache"}, "/cache/models"},
		{config.Config{CacheDir: "/cache", ModelsDir: "/models"}, "/models"},
	} {
		if got, err := modelsFolder(c.cfg); err != nil || got != c.want {
			t.Errorf("%+v: %s %v", c.cfg, got, err)
		}
	}
}

func TestAStreamAPIWithoutTLSIsWarnedOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  config.Stream
		open bool
		says string
	}{
		{config.Stream{}, true, "send no credentials"},
		{config.Stream{Insecure: true}, true, "is an admin"},
		{config.Stream{}, false, ""},
	} {
		var out strings.Builder
		warnStream(c.cfg, c.open, slog.New(slog.NewTextHandler(&out, nil)))
		if got := out.String(); !strings.Contains(got, c.says) || c.says == "" && got != "" {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestTheCommandLineIsForgiving(t *testing.T) {
	t.Parallel()
	v := startVault(t, t.TempDir())
	t.Run("events of every category are listed", func(t *testing.T) {
		for _, category := range []string{"finding", "notification", "object", "recipient", "person", "parked"} {
			if out, err := v.run("events", "--category", category); err != nil {
				t.Errorf("%s: %v\n%s", category, err, out)
			}
		}
	})
	t.Run("a second dev on the folder is told that one runs", func(t *testing.T) {
		path, err := binary()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), startTime)
		defer cancel()
		out, err := exec.CommandContext(ctx, path, "dev", "--data", v.dir, "--addr", "127.0.0.1:0").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "a dev vault already runs on "+v.dir) {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("the columns of a verification stand below each other", func(t *testing.T) {
		out, err := v.run("verify", "projections")
		at := map[int]bool{}
		for line := range strings.Lines(out) {
			at[len(regexp.MustCompile(`^\S+\s+`).FindString(line))] = true
		}
		if err != nil || len(at) != 1 {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("a key without categories is made, with a warning", func(t *testing.T) {
		if out, err := v.run("apikey", "create", "x"); err != nil || !strings.Contains(out, "can read nothing") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("its end while nothing failed is no error", func(t *testing.T) {
		v.stop()
		if said := v.log.String(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "level=WARN") {
			t.Error(said)
		}
	})
}
