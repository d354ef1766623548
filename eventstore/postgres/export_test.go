package postgres

// WithOverlap begins the next batch while one is being committed as soon as so many entries wait for it, however many processes write.
func WithOverlap(entries int) Option {
	return func(o *options) { o.overlap, o.alone = entries, 0 }
}
