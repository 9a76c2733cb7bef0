// Package health decides which backends of a group may be chosen. It is the only judge of that: the results
// of active checks and the outcome of real requests are evidence brought to it, and whoever wants to know
// asks it.
//
// A [Group] is a pure state machine: evidence and the instant at which it came go in, and a [Change] comes
// out when a backend has left or come back. It sends no probe, has no clock, and starts no goroutine; what to
// do about a Change is the caller's business.
//
// # Map
//
//   - config.go: what can be set, its defaults and its limits.
//   - reason.go: the two closed lists, [Signal] for evidence and [Reason] for decisions.
//   - group.go: the [Group] and how one can look at it.
//   - check.go: active checks, which turn a backend down and up (rise and fall).
//   - members.go: backends that come and go, those that an operator drains or that are not in use, and a change of the
//     configuration.
//   - passive.go: real traffic, which ejects a backend for a time that grows; outlier.go: by comparison with the others.
//   - agent.go: what an agent beside a backend says of it.
//   - breaker.go: a circuit breaker for each backend, and the requests that it admits half-open.
//   - limiter.go: how many requests at a time a backend carries, learned from its answers; a machine of its own for each backend.
//   - panic.go: what may be used when too few backends are available.
//   - probe: the package beside this one that carries out active checks.
//
// # Promises
//
//   - Every backend starts available. A start is not a failure: it takes evidence to remove a backend.
//   - A backend has five independent reasons to be out: its checks fail, traffic has ejected it, its breaker admits
//     nothing, its agent says so, or an operator has drained it. It is available exactly when none holds. Passing checks shorten an ejection only if it was for failures to
//     reach the backend, which is what a check tests; see [Group.Check].
//   - Traffic ejects nobody where the configured share of the backends in use is ejected, nor the only backend of a group of one. In use
//     are all but the reserve ([Group.Reserve]).
//     Active checks have no such limit: that a backend is down is then a fact, not a comparison.
//   - Evidence about a backend that is out does not count: it is late news of requests begun before, and the
//     backend comes back with a clean slate. (Active checks do count, being the way back, and so do the probes of a breaker.)
//   - A breaker that is half-open admits no more requests than its probes until these have ended, and forgets none.
//   - A Change is returned for each time that a backend's availability flips, and for nothing else.
//   - Equal calls give equal answers. Chance is used only for [Passive.EjectionJitter], once for each ejection.
//   - Observe of a success costs a few loads and no allocation while outliers and breakers are off.
//
// # Locking law
//
// There is no lock in here. The caller serialises all calls on one Group, those that only read included.
// Instants must not run backwards from call to call; nothing breaks if they do, but ejections last longer.
package health
