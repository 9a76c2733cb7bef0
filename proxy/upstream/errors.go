package upstream

import "errors"

// What Begin answers when there is no attempt to be had.
var (
	// ErrClosed: the upstream has been closed.
	ErrClosed = errors.New("upstream: closed")
	// ErrNoBackend: health admits no backend at this moment.
	ErrNoBackend = errors.New("upstream: no backend is available")
	// ErrQueueFull: as many requests wait already as may; or somebody more urgent has come, and taken the place of the last one.
	ErrQueueFull = errors.New("upstream: the queue is full")
	// ErrQueueShed: the line has stood for too long, and the request has waited for longer than Config.QueueTarget in it.
	ErrQueueShed = errors.New("upstream: the queue stands")
	// ErrQueueTimeout: nothing became free in time.
	ErrQueueTimeout = errors.New("upstream: nothing became free in time")
)

// What the operations answer when they have changed nothing. Each is wrapped in an error that says what and where.
var (
	// ErrUnknownBackend: the group has no backend of that address.
	ErrUnknownBackend = errors.New("no such backend")
	// ErrKnownBackend: the group has a backend of that address already.
	ErrKnownBackend = errors.New("there is such a backend")
	// ErrLastBackend: a group keeps at least one backend. Drain it to turn requests away.
	ErrLastBackend = errors.New("it is the last backend of its group")
	// ErrBadWeight: a weight is from 1 to lb.MaxWeight.
	ErrBadWeight = errors.New("a weight is between 1 and 65535")
)

// ConnectError is Begin's answer when every backend that could be tried refused the connection.
type ConnectError struct {
	// Upstream is the group's name, Tried the number of backends whose dial failed for this request.
	Upstream string
	Tried    int
	// Err is the last dial's error.
	Err error
}

// Error says what failed last.
func (e *ConnectError) Error() string {
	return "upstream " + e.Upstream + ": no backend could be reached: " + e.Err.Error()
}

// Unwrap returns the last dial's error.
func (e *ConnectError) Unwrap() error { return e.Err }
