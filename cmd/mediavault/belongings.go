package main

import "github.com/mediavault-io/mediavault/projections"

// belongings find what a person has and was given.
type belongings struct {
	*projections.Library
	*projections.Shares
}
