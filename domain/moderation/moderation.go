package moderation

// State is being drawn.
type State struct{}
