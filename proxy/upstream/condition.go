package upstream

import "strconv"

// Condition is a set of reasons for which a request may be tried again at another backend. [Config].RetryOn holds those
// that are in force. A reused connection that was dead before the first byte of an answer is none of them: that is repeated
// on a fresh one whatever they are.
type Condition uint16

// The conditions. None of them holds once a byte of an answer has reached the client.
const (
	// OnConnectFailure: no connection to the backend could be made. Nothing was sent, so that every request goes on to
	// the next backend; this counts neither as an attempt nor against the budget.
	OnConnectFailure Condition = 1 << iota
	// OnReset: the connection died before the answer began.
	OnReset
	// OnPerTryTimeout: the answer did not begin within [Attempt].PerTry, and another backend can be asked.
	OnPerTryTimeout
	// OnResponseTimeout: the answer did not begin in all the time that the caller gives a backend for it.
	OnResponseTimeout
	// OnBackendDown: health took the backend down while the request waited for the beginning of an answer.
	OnBackendDown
	// OnStatus500: the answer was 500 Internal Server Error.
	OnStatus500
	// OnStatus502: the answer was 502 Bad Gateway.
	OnStatus502
	// OnStatus503: the answer was 503 Service Unavailable.
	OnStatus503
	// OnStatus504: the answer was 504 Gateway Timeout.
	OnStatus504

	// OnNothing is the set without any condition where the zero Condition means the default.
	OnNothing Condition = 1 << 15
)

// DefaultConditions are those under which a repetition helps and can hardly harm.
const DefaultConditions = OnConnectFailure | OnReset | OnPerTryTimeout | OnBackendDown

// conditionWords has the word of each condition, in the order of their bits.
var conditionWords = []string{"connect_failure", "reset", "per_try_timeout", "response_timeout", "backend_down",
	"500", "502", "503", "504"}

// ConditionNamed returns the condition of that word, which settings use, or 0 when there is none. The words are
// connect_failure, reset, per_try_timeout, response_timeout, backend_down, 500, 502, 503 and 504.
func ConditionNamed(word string) Condition {
	for i, w := range conditionWords {
		if w == word {
			return 1 << i
		}
	}
	return 0
}

// OnStatus is the condition that an answer of that status meets, or 0.
func OnStatus(status int) Condition {
	if status < 500 || status > 504 {
		return 0
	}
	return ConditionNamed(strconv.Itoa(status))
}

// has says whether all of the conditions are in the set.
func (c Condition) has(what Condition) bool { return c&what == what }
