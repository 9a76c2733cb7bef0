package upstream

import (
	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/lb"
)

// Outcome says how an attempt on a backend ended. The list is closed, and String gives the word that metrics, logs
// and traces use.
type Outcome uint8

// The outcomes.
const (
	// OutcomeAnswered: the backend answered with a status below 500, or a tunnel ended in order.
	OutcomeAnswered Outcome = iota
	// OutcomeAnswered5xx: the backend answered with a status of 500 or above, but for those of OutcomeGatewayError; or a call of
	// gRPC ended with UNKNOWN, INTERNAL or DATA_LOSS.
	OutcomeAnswered5xx
	// OutcomeGatewayError: the backend answered with 502, 503 or 504: what it needs did not answer it, or it has no room.
	// Or a call of gRPC ended with UNAVAILABLE.
	OutcomeGatewayError
	// OutcomeConnectFailed: no connection to the backend could be made.
	OutcomeConnectFailed
	// OutcomeStale: a connection that had been used before was dead before the first byte of an answer. It says
	// nothing about the backend, which may close idle connections as it likes.
	OutcomeStale
	// OutcomeReset: the connection died before the answer was complete.
	OutcomeReset
	// OutcomeTimeout: the answer did not begin, or did not go on, in time.
	OutcomeTimeout
	// OutcomeBadAnswer: what came back was not an answer that could be trusted.
	OutcomeBadAnswer
	// OutcomeClientGone: the client left, or broke its own request, before the attempt was over.
	OutcomeClientGone
	// OutcomeLost: health took the backend down before the answer began, and the request went to another one. It is no
	// evidence: health knows.
	OutcomeLost

	// NumOutcomes is the number of outcomes.
	NumOutcomes = int(iota)
)

// outcomes has a row for each outcome: its word, and what picker and judge make of it.
var outcomes = [NumOutcomes]struct {
	word   string
	lb     lb.Outcome
	signal health.Signal
	judged bool
}{
	OutcomeAnswered:      {"answered", lb.Success, health.Success, true},
	OutcomeAnswered5xx:   {"answered_5xx", lb.Failure, health.Response5xx, true},
	OutcomeGatewayError:  {"gateway_error", lb.Failure, health.ResponseGateway, true},
	OutcomeConnectFailed: {"connect_failed", lb.Failure, health.ConnectFailed, true},
	OutcomeStale:         {"stale_connection", lb.Abandoned, 0, false},
	OutcomeReset:         {"backend_reset", lb.Failure, health.Reset, true},
	OutcomeTimeout:       {"backend_timeout", lb.Failure, health.Timeout, true},
	OutcomeBadAnswer:     {"bad_answer", lb.Failure, health.Reset, true},
	OutcomeClientGone:    {"client_gone", lb.Abandoned, 0, false},
	OutcomeLost:          {"backend_lost", lb.Failure, 0, false},
}

// String returns the outcome's word.
func (o Outcome) String() string {
	if int(o) < NumOutcomes {
		return outcomes[o].word
	}
	return "unknown"
}

// Outcomes returns the closed list, in order.
func Outcomes() []Outcome {
	all := make([]Outcome, NumOutcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}
