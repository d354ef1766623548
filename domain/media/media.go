package media

// State is being drawn.
type State struct{}
