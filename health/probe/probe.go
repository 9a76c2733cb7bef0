package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// Dialer makes the connections for checks. A *net.Dialer is one. It must return when its context ends.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Prober carries out one kind of check.
type Prober interface {
	// Probe checks the backend at that address ("host:port", as the dialer takes it) once. It returns nil
	// when the backend is well, and otherwise an *Error. It returns soon after ctx has ended; give ctx a
	// deadline.
	Probe(ctx context.Context, address string) error
}

// Reason tells in which way a check failed. The list is closed.
type Reason uint8

const (
	// Connect: no connection could be made, for another reason than time.
	Connect Reason = iota
	// Timeout: the check was not complete when its time was up.
	Timeout
	// BadStatus: the answer was complete, but its status is not among those expected.
	BadStatus
	// BadBody: the answer was complete and its status good, but its body is not as expected.
	BadBody
	// BadAnswer: there was a connection, but no proper answer: it was closed, reset, or bore something
	// malformed.
	BadAnswer
	// Canceled: the caller gave the check up. This is no evidence about the backend.
	Canceled
)

// reasonWords is indexed by Reason.
var reasonWords = [...]string{
	Connect:   "connect",
	Timeout:   "timeout",
	BadStatus: "bad_status",
	BadBody:   "bad_body",
	BadAnswer: "bad_answer",
	Canceled:  "canceled",
}

// Reasons returns the closed list, in order. The caller owns the slice.
func Reasons() []Reason {
	all := make([]Reason, len(reasonWords))
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}

// String returns the word for the reason.
func (r Reason) String() string {
	if int(r) < len(reasonWords) {
		return reasonWords[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Error tells why a check failed.
type Error struct {
	// Kind is the way in which it failed.
	Kind Reason
	// Err is the cause, never nil.
	Err error
}

// Error returns the reason and its cause.
func (e *Error) Error() string { return "probe: " + e.Kind.String() + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// failure makes the Error for a cause that has kind unless it is only the echo of ctx having ended. A
// connection that is closed under a reader, because ctx ended, reports that it is closed; what happened is a
// timeout.
func failure(ctx context.Context, kind Reason, err error) *Error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		kind = Canceled
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		kind = Timeout
	}
	return &Error{Kind: kind, Err: err}
}

// guard closes conn when ctx ends, until release is called. Release closes conn too, and returns only when
// nothing of the guard runs any more.
//
// Conn gets no deadline of its own: it would be a second alarm for the same instant, and when it rings first,
// the connection has timed out while ctx is still alive, so that whoever asks ctx what happened is told
// nothing has.
func guard(ctx context.Context, conn net.Conn) (release func()) {
	let := hold(ctx, conn)
	return func() { let(false) }
}

// hold is guard where release may leave conn open; it reports whether it did.
func hold(ctx context.Context, conn net.Conn) (release func(open bool) bool) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = conn.Close()
	})
	return func(open bool) bool {
		if !stop() {
			<-closed
			return false
		}
		if !open {
			_ = conn.Close()
		}
		return open
	}
}

// orReal returns the dialer, or the real network for nil.
func orReal(d Dialer) Dialer {
	if d == nil {
		return &net.Dialer{} // real: the network when the caller names no other
	}
	return d
}
