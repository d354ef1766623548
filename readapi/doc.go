// Package readapi is read models to HTTP. It has no rules and no SQL: it parses what is asked, asks one query with the viewer as
// an argument, and answers. It writes nothing but what it served or refused, through a Recorder that it declares and commands
// implements.
package readapi
