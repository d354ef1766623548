package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mediavault-io/mediavault/adapters/analyzers"
	"github.com/mediavault-io/mediavault/adapters/clamd"
	"github.com/mediavault-io/mediavault/domain/media"
	"github.com/mediavault-io/mediavault/internal/sandbox"
	"github.com/mediavault-io/mediavault/reactors"
)

// screening builds what looks at new bytes. A further stage is one more line here.
func (a *app) screening(policy media.Policy) reactors.Screening {
	c := a.cfg.Screening
	a.tools = analyzers.FindTools()
	a.children = sandbox.NewPool(sandbox.Options{Children: c.Children, Limits: sandbox.Limits{Memory: c.ChildMemory, CPU: c.ChildCPU}})
	malware := reactors.Malware{Most: c.ClamdMax}
	if c.Clamd != "" {
		malware.Scanner = scanner{clamd.New(c.Clamd)}
	}
	stages := []reactors.Stage{reactors.Integrity{}, reactors.TypeStage{Policy: policy}, reactors.NameStage{Policy: policy}}
	stages = append(stages, malware) // before anything is decoded
	stages = append(stages, reactors.ExaminedStages()...)
	return reactors.Screening{
		Media: a.media, Examiner: analyzers.Examiner{Pool: a.children}, Stages: stages, MinScore: c.MinScore, Tools: a.tools, Spent: &a.spent,
		Thresholds: analyzers.Thresholds{Pixels: c.MaxPixels, Pages: c.MaxPages, Expanded: c.MaxExpanded, Ratio: c.MaxRatio},
	}
}

// scanner says in the reactors' words what ClamAV said in its own.
type scanner struct{ daemon *clamd.Client }

// Scan implements reactors.Scanner.
func (s scanner) Scan(ctx context.Context, in io.Reader) (string, error) {
	found, err := s.daemon.Scan(ctx, in)
	if errors.Is(err, clamd.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", reactors.ErrUnscannable, err)
	}
	return found, err
}

// derivatives builds what makes posters, pages and videos to be played.
func (a *app) derivatives() reactors.Derivatives {
	return reactors.Derivatives{Media: a.media, Examiner: analyzers.Examiner{Pool: a.children}, Tools: a.tools}
}

// close ends the children, and then what every part stands on.
func (a *app) close() {
	if err := a.children.Close(); err != nil {
		a.log.Warn("the children that decode files did not end well", "error", err)
	}
	a.history.close()
}
