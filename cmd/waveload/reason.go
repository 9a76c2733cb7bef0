package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/http1"
)

// reason says why a request failed. The list is closed; String gives the word in reports and in JSON.
type reason uint8

const (
	// reasonConnect: no connection could be made.
	reasonConnect reason = iota
	// reasonConnectTimeout: no connection was made within -timeout.
	reasonConnectTimeout
	// reasonLocal: this machine ran out of ports or file descriptors; the server is not to blame.
	reasonLocal
	// reasonTimeout: there was a connection, but no complete answer within -timeout.
	reasonTimeout
	// reasonStale: a kept connection ended before a byte of the answer: the server closed it while the request was on
	// its way.
	reasonStale
	// reasonReset: the connection was reset.
	reasonReset
	// reasonClosed: the connection was closed before the answer was complete.
	reasonClosed
	// reasonBadAnswer: the answer was not HTTP/1.1 as a strict reader understands it.
	reasonBadAnswer
	// reasonIO: any other error of the connection.
	reasonIO
	// reasonStatus4xx and reasonStatus5xx: a complete answer, of a status that tells of failure.
	reasonStatus4xx
	reasonStatus5xx

	numReasons = int(iota)
)

var reasonWords = [numReasons]string{"connect", "connect_timeout", "local", "timeout", "stale", "reset", "closed",
	"bad_answer", "io", "status_4xx", "status_5xx"}

// String returns the reason's word.
func (r reason) String() string { return reasonWords[r] }

// errNotFinal is an answer that never comes to its final head.
var errNotFinal = errors.New("the server switched protocols, or sent too many 1xx answers")

// reasonOfLend is the reason when no connection was lent.
func reasonOfLend(err error) reason {
	var dial *pool.DialError
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return reasonLocal
	case errors.As(err, &dial) && errors.As(dial.Err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return reasonConnectTimeout
	}
	return reasonConnect
}

// reasonOfExchange is the reason when the exchange on a lent connection failed. Begun says that a byte of the answer had
// come, reused that the connection had carried a request before.
func reasonOfExchange(err error, begun, reused bool) reason {
	var parse *http1.ParseError
	closed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reasonTimeout
	case errors.As(err, &parse), errors.Is(err, errNotFinal):
		return reasonBadAnswer
	case (closed || reset) && reused && !begun:
		return reasonStale
	case reset:
		return reasonReset
	case closed:
		return reasonClosed
	}
	return reasonIO
}
