// Package sandbox runs work on untrusted bytes in child processes of the same binary, which have limits on memory, CPU time and
// wall time, an empty environment, no files but their pipes, and nobody's rights where the parent is root. What a child does
// wrong (crash, hang, eat memory) is a Failure: a finding about the bytes, never an outage. It knows nothing of what the work is.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"
)

// Limits bound one piece of work. The zero value of each field means its default.
type Limits struct {
	Memory int64         // bytes of data that the child may have; 1 GiB
	CPU    time.Duration // of one piece of work, rounded up to seconds; 20 s
	Wall   time.Duration // without progress, once the child has its input; 45 s
	Output int64         // bytes of answer; 8 MiB
}

func (l Limits) orDefaults() Limits {
	if l.Memory <= 0 {
		l.Memory = 1 << 30
	}
	if l.CPU <= 0 {
		l.CPU = 20 * time.Second
	}
	if l.Wall <= 0 {
		l.Wall = 45 * time.Second
	}
	if l.Output <= 0 {
		l.Output = 8 << 20
	}
	return l
}

// The codes of a Failure.
const (
	Crashed     = "crashed"
	OutOfMemory = "out_of_memory"
	TimedOut    = "timed_out" // CPU or wall time
	TooMuch     = "too_much_output"
	// Killed is a child that somebody else ended without a word: the kernel, for lack of memory, or an operator. Whether it was the
	// bytes' doing shows when it happens again.
	Killed = "killed"
)

// Failure is what a child did wrong with the bytes that it was given.
type Failure struct {
	Code   string
	Step   string // which step of the work it was at, as the work said
	Detail string // for a log; it may have been written by the bytes
}

// Error implements error.
func (f *Failure) Error() string { return fmt.Sprintf("child %s at %q: %s", f.Code, f.Step, f.Detail) }

// ErrClosed is a pool that was closed.
var ErrClosed = errors.New("the pool of children is closed")

// Task is one piece of work for a child.
type Task struct {
	Job   string // its name in the jobs that MaybeChild knows
	Args  []byte // what the job is told beside its input
	Input io.Reader
	Send  int64 // how many bytes of Input the child is given at most; the rest is read and thrown away
}

// Done is a piece of work that ended well.
type Done struct {
	Output []byte
	CPU    time.Duration // that the child took
}

// Pool keeps children warm: a child that did its work well does the next. Its methods are safe for concurrent use.
type Pool struct {
	limits Limits
	slots  chan struct{}

	mu     sync.Mutex // guards all below
	idle   []*child
	closed bool
}

// Options of a Pool.
type Options struct {
	Children int // at once, at most; as many as there are cores
	Limits   Limits
}

// NewPool makes a pool. It starts children when there is work; Close ends them.
func NewPool(o Options) *Pool {
	if o.Children <= 0 {
		o.Children = runtime.GOMAXPROCS(0)
	}
	return &Pool{limits: o.Limits.orDefaults(), slots: make(chan struct{}, o.Children)}
}

// Run does a piece of work and answers what the job wrote. It reads Input to its end whatever becomes of the child, so that a
// hash beside it sees all of it. Errors: *Failure; ErrRefused, when the job said that it cannot; an error of Input, as it is; the
// context's.
func (p *Pool) Run(ctx context.Context, t Task) (Done, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return Done{}, context.Cause(ctx)
	}
	defer func() { <-p.slots }()
	c, err := p.take()
	if err != nil {
		return Done{}, err
	}
	done, err := c.run(ctx, t)
	if err != nil && !errors.Is(err, ErrRefused) || c.works >= maxWorks {
		return done, errors.Join(err, c.end())
	}
	return done, errors.Join(err, p.give(c))
}

// maxWorks is after how many pieces of work a child is replaced.
const maxWorks = 1000

func (p *Pool) take() (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if !c.gone() {
			return c, nil
		}
	}
	return startChild(p.limits)
}

func (p *Pool) give(c *child) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return c.end()
	}
	p.idle = append(p.idle, c)
	return nil
}

// Close ends the children and waits for them. Work that is being done fails.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.end())
	}
	for range cap(p.slots) { // those at work give up their slot when they are done
		p.slots <- struct{}{}
	}
	for range cap(p.slots) {
		<-p.slots
	}
	return errors.Join(errs...)
}
