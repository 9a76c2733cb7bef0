package health

import "fmt"

// Reason tells why a backend is available or not. The list is closed; its words are the same in a Change, in
// metrics, on the status page and in traces.
type Reason uint8

const (
	// AssumedUp: no evidence has said anything else since the group was made.
	AssumedUp Reason = iota
	// CheckFailed: Config.Fall active checks in a row have failed.
	CheckFailed
	// CheckPassed: Config.Rise active checks in a row have passed.
	CheckPassed
	// Consecutive5xx: Passive.Consecutive5xx answers in a row were 5xx.
	Consecutive5xx
	// ConsecutiveGatewayErrors: Passive.ConsecutiveGatewayErrors answers in a row were 502, 503 or 504.
	ConsecutiveGatewayErrors
	// ConsecutiveFailures: Passive.ConsecutiveFailures requests in a row got no answer at all.
	ConsecutiveFailures
	// EjectionOver: the time for which traffic had ejected the backend has run out, or the group has become so small
	// that it may not be ejected any more.
	EjectionOver
	// DrainAsked: an operator has asked that the backend gets nothing new.
	DrainAsked
	// DrainOver: an operator has let the backend in again.
	DrainOver
	// SuccessRateOutlier: fewer of its requests have succeeded than of the rest of the group; see Outliers.
	SuccessRateOutlier
	// LatencyOutlier: its answers took longer than those of the rest of the group; see Outliers.
	LatencyOutlier
	// BreakerOpen: too many of its requests have failed, or were slow; see Breaker.
	BreakerOpen
	// BreakerHalfOpen: its breaker admits a few requests, on which it depends what is next.
	BreakerHalfOpen
	// BreakerProbing: these requests are under way, and no others are admitted.
	BreakerProbing
	// BreakerClosed: these requests have succeeded.
	BreakerClosed
	// AgentDrain: the agent beside the backend asks that it gets nothing new, or gives it a weight of nothing.
	AgentDrain
	// AgentMaint: the agent says that it is in maintenance.
	AgentMaint
	// AgentDown: the agent says that the service does not work.
	AgentDown
	// AgentReady: the agent has let it in again.
	AgentReady
)

// reasonWords is indexed by Reason.
var reasonWords = [...]string{
	AssumedUp:                "assumed_up",
	CheckFailed:              "check_failed",
	CheckPassed:              "check_passed",
	Consecutive5xx:           "consecutive_5xx",
	ConsecutiveGatewayErrors: "consecutive_gateway_errors",
	ConsecutiveFailures:      "consecutive_failures",
	EjectionOver:             "ejection_over",
	DrainAsked:               "drain_asked",
	DrainOver:                "drain_over",
	SuccessRateOutlier:       "success_rate_outlier",
	LatencyOutlier:           "latency_outlier",
	BreakerOpen:              "breaker_open",
	BreakerHalfOpen:          "breaker_half_open",
	BreakerProbing:           "breaker_probing",
	BreakerClosed:            "breaker_closed",
	AgentDrain:               "agent_drain",
	AgentMaint:               "agent_maint",
	AgentDown:                "agent_down",
	AgentReady:               "agent_ready",
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

// Signal is what one real request has to say about its backend. The list is closed. A request that ended for
// a reason of its own (its client left, it was never sent) says nothing, and must not be observed.
type Signal uint8

const (
	// Success: an answer that is not a 5xx.
	Success Signal = iota
	// Response5xx: an answer with a status of 500 to 599, but for those of ResponseGateway. The backend is there, but not well.
	Response5xx
	// ResponseGateway: an answer of 502, 503 or 504 (RFC 9110 sections 15.6.3 to 15.6.5): something that the backend needs did not
	// answer it, or it has no room. That is a 5xx answer as well.
	ResponseGateway
	// ConnectFailed: no connection could be made: refused, unreachable, no handshake.
	ConnectFailed
	// Reset: the connection died before the answer was complete.
	Reset
	// Timeout: the answer, or the connection, did not come in time.
	Timeout
)

// signalWords is indexed by Signal.
var signalWords = [...]string{
	Success:         "success",
	Response5xx:     "response_5xx",
	ResponseGateway: "response_gateway",
	ConnectFailed:   "connect_failed",
	Reset:           "reset",
	Timeout:         "timeout",
}

// Signals returns the closed list, in order. The caller owns the slice.
func Signals() []Signal {
	all := make([]Signal, len(signalWords))
	for i := range all {
		all[i] = Signal(i)
	}
	return all
}

// String returns the word for the signal.
func (s Signal) String() string {
	if int(s) < len(signalWords) {
		return signalWords[s]
	}
	return fmt.Sprintf("signal(%d)", uint8(s))
}
