package pool

// Reason says why a connection left its pool. The list is closed; String gives the word that errors, metrics, logs
// and traces use.
type Reason uint8

// The reasons, in the order of the counters in [Stats.Retired].
const (
	// ReasonIdleTimeout: idle for longer than Config.IdleTimeout.
	ReasonIdleTimeout Reason = iota
	// ReasonMaxLifetime: older than its share of Config.MaxLifetime.
	ReasonMaxLifetime
	// ReasonPeerClosed: validation before lending found that the peer had closed or reset it.
	ReasonPeerClosed
	// ReasonUnexpectedData: validation found bytes that no request had asked for.
	ReasonUnexpectedData
	// ReasonBroken: the borrower met an I/O error on it. Where it had been idle before, the connections that were idle for
	// at least as long are suspects.
	ReasonBroken
	// ReasonProtocol: the borrower met an answer that it could not trust.
	ReasonProtocol
	// ReasonNotReusable: the exchange ended in order, and the protocol says that the connection ends with it.
	ReasonNotReusable
	// ReasonAborted: the borrower left in the middle of an exchange, through no fault of the connection.
	ReasonAborted
	// ReasonExcess: more idle connections than Config.MaxIdle, or more connections than Resize left room for.
	ReasonExcess
	// ReasonPoolClosed: the pool was closed.
	ReasonPoolClosed
	// ReasonTaken: the borrower keeps it for itself (Conn.Take).
	ReasonTaken
	// ReasonMaxUses: it was lent Config.MaxUses times.
	ReasonMaxUses
	// ReasonOutdated: its dial began before the last call of Pool.Retire.
	ReasonOutdated
	// ReasonSetupFailed: Config.Setup failed on it.
	ReasonSetupFailed
	// ReasonSessionEnded: its Session had an error, or took no more loans (after GOAWAY, say).
	ReasonSessionEnded
	// ReasonPeerIdleTimeout: idle for nearly as long as the peer keeps idle connections: see Stats.LearnedIdleTimeout.
	ReasonPeerIdleTimeout
	// ReasonSuspect: it lay idle at least as long as a connection that was found reset, or failed its ping.
	ReasonSuspect
	// ReasonPingFailed: Config.Ping failed on it, or did not return in time.
	ReasonPingFailed
	// ReasonUnanswered: the borrower waited for an answer until its patience ended. Other than ReasonBroken it says
	// nothing about the connections that are idle: most often the answer is slow.
	ReasonUnanswered
	// ReasonSurplus: idle, and more than recent demand and MinIdle need (Config.TrimEvery).
	ReasonSurplus

	// NumReasons is the number of reasons.
	NumReasons = int(iota)
)

var reasonNames = [NumReasons]string{
	"idle_timeout", "max_lifetime", "peer_closed", "unexpected_data", "broken", "protocol", "not_reusable",
	"aborted", "excess", "pool_closed", "taken", "max_uses", "outdated",
	"setup_failed", "session_ended", "peer_idle_timeout", "suspect", "ping_failed", "unanswered", "surplus",
}

// String returns the reason's word.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns every reason, in order.
func Reasons() []Reason {
	all := make([]Reason, NumReasons)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
