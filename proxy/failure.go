package proxy

import (
	"github.com/wavepool/wavepool/proxy/upstream"
)

// Failure says why a request was not answered by a backend in full. The list is closed; String gives the word that
// logs, metrics and traces use. Where an attempt's outcome decided it, the word is that outcome's.
type Failure uint8

// The failures.
const (
	// FailBadRequest: the client's head or body was refused; the answer's status says more.
	FailBadRequest Failure = iota
	// FailHeadTimeout: the head did not arrive in time.
	FailHeadTimeout
	// FailBodyTimeout: the body did not go on in time.
	FailBodyTimeout
	// FailTooLarge: the body is longer than the listener's max_request_body.
	FailTooLarge
	// FailMethod: CONNECT and TRACE are not served.
	FailMethod
	// FailMisdirected: the request's host is none that its TLS connection was opened for.
	FailMisdirected
	// FailNoRoute: no route of the listener matches.
	FailNoRoute
	// FailNoBackend: health admits no backend.
	FailNoBackend
	// FailQueueFull: as many requests wait already as may.
	FailQueueFull
	// FailQueueShed: the queue has stood for too long, and the request has waited for longer than its target.
	FailQueueShed
	// FailQueueTimeout: no connection became free in time.
	FailQueueTimeout
	// FailConnect: no backend could be reached.
	FailConnect
	// FailReset: the backend's connection died before the answer was complete.
	FailReset
	// FailTimeout: the backend did not answer, or did not go on, in time.
	FailTimeout
	// FailBadAnswer: what the backend sent was not an answer that could be trusted.
	FailBadAnswer
	// FailClientGone: the client left before its answer was complete.
	FailClientGone
	// FailShutdown: the server was stopped before the answer was complete.
	FailShutdown
	// FailLoop: the request has come through us as often as max_hops allows.
	FailLoop

	// NumFailures is the number of failures.
	NumFailures = int(iota)
)

var failures = [NumFailures]struct {
	word   string
	status int // the answer's status; 0: no answer is possible
}{
	FailBadRequest:   {"bad_request", 400},
	FailHeadTimeout:  {"head_timeout", 408},
	FailBodyTimeout:  {"body_timeout", 408},
	FailTooLarge:     {"request_too_large", 413},
	FailMethod:       {"method_refused", 405},
	FailMisdirected:  {"misdirected", 421},
	FailNoRoute:      {"no_route", 404},
	FailNoBackend:    {"no_backend", 503},
	FailQueueFull:    {"queue_full", 503},
	FailQueueShed:    {"queue_shed", 503},
	FailQueueTimeout: {"queue_timeout", 503},
	FailConnect:      {upstream.OutcomeConnectFailed.String(), 502},
	FailReset:        {upstream.OutcomeReset.String(), 502},
	FailTimeout:      {upstream.OutcomeTimeout.String(), 504},
	FailBadAnswer:    {upstream.OutcomeBadAnswer.String(), 502},
	FailClientGone:   {upstream.OutcomeClientGone.String(), 0},
	FailShutdown:     {"shutdown", 503},
	FailLoop:         {"loop_detected", 508},
}

// String returns the failure's word.
func (f Failure) String() string {
	if int(f) < NumFailures {
		return failures[f].word
	}
	return "unknown"
}

// Status is the HTTP status that a client gets for the failure, or 0 where no answer is possible. A bad request may be
// answered with another 4xx or 5xx status that says more.
func (f Failure) Status() int { return failures[f].status }

// Failures returns the closed list, in order.
func Failures() []Failure {
	all := make([]Failure, NumFailures)
	for i := range all {
		all[i] = Failure(i)
	}
	return all
}
