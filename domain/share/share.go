package share

// State is being drawn.
type State struct{}
