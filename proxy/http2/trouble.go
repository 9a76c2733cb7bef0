package http2

import (
	"errors"
	"strings"

	"github.com/wavepool/wavepool/proxy/http1"
)

var (
	// ErrUnprocessed is what a stream ends with that the backend has never looked at: it has said so by a GOAWAY with a
	// lower number (RFC 9113 section 6.8), or the connection was over before the stream began. Any request may be sent
	// again, whatever its method.
	ErrUnprocessed = errors.New("http2: the backend has not processed the stream")
	// ErrRefused is what a stream ends with that the backend has refused before it did anything (REFUSED_STREAM, RFC 9113
	// section 8.7). Any request may be sent again too, though not at once to the same backend: it has enough.
	ErrRefused = errors.New("http2: the backend has refused the stream")
)

// errMalformed is an answer that cannot be trusted: it breaks RFC 9113, or HTTP/1.1 could not carry it.
var errMalformed = &http1.ParseError{Status: 502, Reason: "malformed_http2_answer"}

// Codes of RFC 9113 section 7: STREAM_CLOSED and REFUSED_STREAM.
const codeClosed, codeRefused = 5, 7

// streamError has the shape of net/http's own error of that kind, which errors.As therefore fills in.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (e streamError) Error() string { return "http2: the stream has been reset" }

// reasonOf says what an error of net/http's means for the stream it ended.
func reasonOf(err error) error {
	var reset streamError
	switch {
	case errors.As(err, &reset):
		switch {
		case reset.Cause == nil || reset.Cause.Error() != textFromPeer:
			return errMalformed // net/http has found a fault
		case reset.Code == codeRefused:
			return ErrRefused
		}
		return err
	}
	return reasonByText(err)
}

// textFromPeer is the cause of a stream error that the backend has sent.
const textFromPeer = "received from peer"

// reasonByText knows those errors that net/http has no name for outside of itself. A test sees to it that their texts are
// still these.
func reasonByText(err error) error {
	switch text := err.Error(); {
	case strings.HasSuffix(text, "Transport received Server's graceful shutdown GOAWAY"),
		strings.HasSuffix(text, "client conn not usable"),
		strings.HasSuffix(text, "client conn could not be established"):
		return ErrUnprocessed
	case strings.HasPrefix(text, "connection error: "), strings.HasSuffix(text, "frame too large"):
		return errMalformed
	}
	return err
}
