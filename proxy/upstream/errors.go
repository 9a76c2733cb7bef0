package upstream

import "errors"

// What Begin answers when there is no attempt to be had.
var (
	// ErrClosed: the upstream has been closed.
	ErrClosed = errors.New("upstream: closed")
	// ErrNoBackend: health admits no backend at this moment.
	ErrNoBackend = errors.New("upstream: no backend is available")
	// ErrQueueFull: as many requests wait already as may.
	ErrQueueFull = errors.New("upstream: the queue is full")
	// ErrQueueTimeout: nothing became free in time.
	ErrQueueTimeout = errors.New("upstream: nothing became free in time")
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
