// Package dev runs what the vault needs around it on a developer's machine: a private Postgres and a private S3 server, with
// all data in one folder, as children that this process owns. It is not for production, where both are run by others.
package dev

import "log/slog"

// Options say what to start. Only Dir is needed.
type Options struct {
	Dir         string       // holds all data; made when missing
	DatabaseURL string       // of a Postgres that runs already: then none is started
	Database    string       // name of the database; "" is "mediavault"
	Bucket      string       // name for the bucket; "" is "mediavault"
	Volatile    bool         // for tests: nothing waits for the disk
	Log         *slog.Logger // nil: slog.Default
}

// S3Access is what a client of the S3 server needs.
type S3Access struct {
	Endpoint  string // host:port, plain HTTP
	AccessKey string
	SecretKey string
	Region    string
	Bucket    string // made by who opens it first
}
