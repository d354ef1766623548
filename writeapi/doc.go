// Package writeapi is HTTP to commands: each handler decodes what was asked, calls one command and answers with its receipt. It
// has no rules and no SQL, and it holds no file in memory: bytes stream from the request to storage.
package writeapi
