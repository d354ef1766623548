// Package notify brings messages to people outside: webhooks by HTTP and e-mail by SMTP. It chooses neither whom nor what, tries
// once, and says whether trying again can help.
package notify

// Failure is a message that was not taken.
type Failure struct {
	code      string
	permanent bool
	err       error
}

// Error implements error.
func (f *Failure) Error() string { return f.code + ": " + f.err.Error() }

// Unwrap gives errors.Is what is behind it.
func (f *Failure) Unwrap() error { return f.err }

// Code says why, for programs: address_not_allowed, unreachable, timeout, status_503, ...
func (f *Failure) Code() string { return f.code }

// Permanent reports that trying again cannot help.
func (f *Failure) Permanent() bool { return f.permanent }
