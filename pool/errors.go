package pool

import (
	"errors"
	"fmt"
	"time"
)

// ErrClosed is returned by Lend once the pool drains or has been closed.
var ErrClosed = errors.New("pool: closed")

// ErrTooManyWaiters is what a [LimitError] unwraps to.
var ErrTooManyWaiters = errors.New("pool: too many waiters")

// ErrNoRoom is returned by Fresh when every connection of a full pool is lent.
var ErrNoRoom = errors.New("pool: every connection is lent")

// ErrTooLarge is returned by GetN and WarmUp when they are asked for more connections than the pool may have.
var ErrTooLarge = errors.New("pool: more connections are asked for than the pool may have")

// ErrDown is what a [DownError] is, besides the error of the last dial.
var ErrDown = errors.New("pool: the backend is down")

// LimitError is the answer to a caller of Lend who finds the queue of waiters full.
type LimitError struct {
	// Pool is the pool's name; Limit, Lent and Waiting are what it held when the caller was turned away.
	Pool                 string
	Limit, Lent, Waiting int
	// Longest is the loan that has lasted longest, and Age for how long; Age is 0 when there is none.
	Longest Holder
	Age     time.Duration
	stack   *stack // that of Longest, until it is made readable, without the lock
}

// Error says which pool was full and how full, and who holds longest.
func (e *LimitError) Error() string {
	text := fmt.Sprintf("pool %s: too many waiters (%d waiting, %d of %d connections lent)",
		e.Pool, e.Waiting, e.Lent, e.Limit)
	if e.Age > 0 {
		text += fmt.Sprintf("; connection %d has been lent for %v", e.Longest.Conn, e.Age)
	}
	if e.Longest.Stack != "" {
		text += " to\n" + e.Longest.Stack
	}
	return text
}

// Unwrap makes errors.Is(err, ErrTooManyWaiters) true.
func (e *LimitError) Unwrap() error { return ErrTooManyWaiters }

// DialError is a dial that failed, or the set-up that followed it.
type DialError struct {
	// Pool is the pool's name, Address what was dialled.
	Pool, Address string
	// Setup says that the dial gave a connection, on which Config.Setup failed.
	Setup bool
	// Err is the dialer's error, or Setup's.
	Err error
}

// Error names the pool, the address and the cause.
func (e *DialError) Error() string {
	what := "dial"
	if e.Setup {
		what = "set-up of"
	}
	return fmt.Sprintf("pool %s: %s %s: %v", e.Pool, what, e.Address, e.Err)
}

// Unwrap returns the dialer's error.
func (e *DialError) Unwrap() error { return e.Err }

// DownError is the answer to a caller whom the pool could serve only by a dial, while the last dials have failed and the
// next try is not due or is under way for somebody else. It says what is known; nothing was tried for this caller.
type DownError struct {
	// Pool is the pool's name, Address what it dials.
	Pool, Address string
	// Failures is the number of dials that have failed in a row, at least 1.
	Failures int
	// RetryIn is the time until the next try may begin; 0 when it is under way.
	RetryIn time.Duration
	// Err is the error of the last dial, a *DialError.
	Err error
}

// Error names the pool and the address and says what the last dial met.
func (e *DownError) Error() string {
	cause, dial := e.Err, (*DialError)(nil)
	if errors.As(e.Err, &dial) {
		cause = dial.Err // which names the pool and the address no second time
	}
	next := "being tried again"
	if e.RetryIn > 0 {
		next = "next try in " + e.RetryIn.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("pool %s: %s is down (failed dials in a row: %d, %s): %v", e.Pool, e.Address, e.Failures, next, cause)
}

// Unwrap makes errors.Is(err, ErrDown) true and leads to the error of the last dial.
func (e *DownError) Unwrap() []error { return []error{ErrDown, e.Err} }
