package netsim

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// ErrHostDown is what Dial and Listen of a host give between Crash or Kill and Restart: no process lives
// there.
var ErrHostDown = errors.New("netsim: host is down")

// canceled mirrors the net package's error for a dial whose context was cancelled.
type canceled struct{}

func (canceled) Error() string        { return "operation was canceled" }
func (canceled) Is(target error) bool { return target == context.Canceled }

// dialTimeout mirrors the net package's error for a dial whose context ran out of time.
type dialTimeout struct{}

func (dialTimeout) Error() string        { return "i/o timeout" }
func (dialTimeout) Timeout() bool        { return true }
func (dialTimeout) Temporary() bool      { return true }
func (dialTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

// contextError translates the end of a context as the net package does.
func contextError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return canceled{}
	case errors.Is(err, context.DeadlineExceeded):
		return dialTimeout{}
	}
	return err
}

func dialError(network string, to net.Addr, err error) error {
	return &net.OpError{Op: "dial", Net: network, Addr: to, Err: err}
}

func connectError(network string, to net.Addr, errno syscall.Errno) error {
	return dialError(network, to, os.NewSyscallError("connect", errno))
}

// opError wraps err for an operation on the connection as the net package does.
func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// callError is the error of a failed system call: the operation and the call have one name for read and
// write.
func (c *Conn) callError(op, call string, errno syscall.Errno) error {
	return c.opError(op, os.NewSyscallError(call, errno))
}

// setError is the error of a setter on a closed connection; as in the net package it names the local
// address only.
func (c *Conn) setError(err error) error {
	return &net.OpError{Op: "set", Net: "tcp", Addr: c.local, Err: err}
}
