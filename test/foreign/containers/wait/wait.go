// Package wait stands in for testcontainers' own: a vault is waited for by asking it whether it is ready, so that what the suite
// says about how to wait is heard and not needed.
package wait

import "time"

// ForHTTP begins to say how to wait.
func ForHTTP(string) *HTTPStrategy { return &HTTPStrategy{} }

// HTTPStrategy is how to wait.
type HTTPStrategy struct{}

// WithTLS is not needed.
func (s *HTTPStrategy) WithTLS(bool) *HTTPStrategy { return s }

// WithStartupTimeout is not needed.
func (s *HTTPStrategy) WithStartupTimeout(time.Duration) *HTTPStrategy { return s }

// WithAllowInsecure is not needed.
func (s *HTTPStrategy) WithAllowInsecure(bool) *HTTPStrategy { return s }

// WithStatusCodeMatcher is not needed.
func (s *HTTPStrategy) WithStatusCodeMatcher(func(status int) bool) *HTTPStrategy { return s }
