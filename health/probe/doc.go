// Package probe carries out active health checks: it asks a backend whether it is well, again and again, and
// tells what came of it. What that means for the backend is decided elsewhere (package health).
//
// # Map
//
//   - probe.go: a [Prober] is one check, carried out once; its failure is an [Error] with a [Reason].
//   - tcp.go, tls.go, http.go, grpc.go: the probers by protocol; exchange.go: bytes out and in, for any other; agent.go: [Agent]
//     asks an agent beside the backend.
//   - run.go: [Run] repeats a check of one backend on a [Schedule], faster or slower as the backend stands;
//     limit.go: a [Limit] bounds how many are made at a time; keep.go: a connection may serve more than one; look.go: is looked at
//     before it does.
//   - checkers.go: [Checkers] lets all who check the same backend in the same way share one such run.
//
// # What each check sees
//
// A connection alone is made by the backend's kernel, whether its process runs or not: [TCP] finds a machine that is gone and
// a port on which nobody listens. [TLS], [HTTP], [GRPC] and [Exchange] need an answer of the process, and so find one that is
// stopped, swapped out or deadlocked as well.
//
// # Promises
//
//   - A check uses a fresh connection and closes it: it tests what a new client would meet. Where Schedule.Reuse says otherwise,
//     every fourth does, and one whose kept connection has ended, or holds bytes that nobody has asked for.
//   - A check ends when its context does, whatever the backend does or leaves undone, and leaves no goroutine and
//     no connection behind.
//   - A backend cannot make a check grow: what is read of its answer is bounded.
//   - Checks of different backends are spread out from the beginning and do not fall into step.
//   - Time, network and chance come from the caller: a clock, a [Dialer], a stream of chance for each backend.
//
// # Goroutines and locks
//
// Run works on the goroutine of its caller, and calls the report from there, holding nothing; a run of Checkers has a goroutine
// from its first watcher to its last. The locks of a Limit and of Checkers are never held over a wait or a call. Probers hold no state and may be used by many goroutines at once.
package probe
