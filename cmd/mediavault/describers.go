package main

import (
	"github.com/mediavault-io/mediavault/adapters/describers"
	"github.com/mediavault-io/mediavault/internal/config"
	"github.com/mediavault-io/mediavault/reactors"
)

// describersOf are the programs that describe pictures, in the order in which they are asked; nil: none is configured.
func describersOf(cfg config.Config) reactors.Describer {
	var providers []describers.Provider
	for _, d := range cfg.Describers {
		if d.URL != "" {
			providers = append(providers, describers.Provider{URL: d.URL, Key: d.Key, Model: d.Model, Timeout: cfg.DescriberTimeout})
		}
	}
	if len(providers) == 0 {
		return nil
	}
	return describers.New(nil, providers...)
}
