// Package lb answers one question: which backend next?
//
// A [Picker] is built by [New] for a list of backends, which it knows by their index, and by a name where a strategy
// chooses by a key. Backends come and go ([Picker.Add], [Picker.Remove]) and change their weight and their tier
// ([Picker.SetWeight], [Picker.SetPriority]) under load: the others keep their indexes and their counts. It holds the
// few facts that a choice rests on, and nothing else: the weight and the tier of each backend, whether health admits
// it ([Picker.SetAvailable]), whether its pool has room ([Picker.SetReady]) and a connection ready ([Query.Warm]), and how many requests are in flight at
// it, which the picker counts itself because every choice and every end passes through it.
//
// # Map
//
//   - lb.go: the words that a caller uses ([Picker], [Query], [Outcome], [Backend], [Options]) and [New].
//   - strategy.go: the closed list of strategies, their descriptions, and the error for a name that is none.
//   - tiered.go: what every strategy has in common: checked arguments, tiers, each of which is a picker of its own.
//   - slowstart.go: how the weight of a backend that came late goes up.
//   - fleet.go: the facts about the backends, shared by all strategies.
//   - smooth.go: the smooth weighted rotation of few backends; classes.go and turns.go: the same for many, kept in order.
//   - roundrobin.go, leastconn.go, random.go, leasttime.go, first.go: one strategy each.
//   - lottery.go: two drawn by chance, and the strategy that takes the one with less to do; peakewma.go: the one that
//     takes the one which is expected to answer first.
//   - hash.go: [Hash]; keyed.go: what choosing by a key has in common, the bound on the load of each; ringhash.go, maglev.go,
//     rendezvous.go: one strategy each.
//
// # What a pick costs
//
// Up to sixteen backends all are looked at. Beyond, round-robin (of up to eight different weights), random, p2c, peak-ewma and
// maglev cost the same for any number, round-robin (of more weights), least-connections and ring-hash the logarithm of it;
// least-time and rendezvous always look at all, and first at those before its choice. Where most backends are full or
// tried, more of them are looked at.
//
// # Promises
//
//   - A backend that is unavailable, without room, or named in [Query.Tried] is never picked.
//   - A backend is picked only when none of a tier before its own can be.
//   - Pickers that know the same names and weights agree on the order in which a key prefers the backends, in all versions.
//   - Pick finds a backend whenever one is left that is none of these, and answers -1 when none is.
//   - Requests are conserved: InFlight is the number of picks and takes less the number of dones, always.
//   - Equal calls give equal answers. A picker has no clock: time is an argument. It has no source of chance but
//     the stream handed to New, of which a strategy takes a few bounded numbers per successful pick, or none at all.
//   - No call allocates, except [New], [Picker.Add], [Picker.Rebuild], the first calls of [Picker.SetPriority] and
//     [Picker.SlowStart], and misuse, which panics with a message that starts with "lb:".
//
// # Locking law
//
// There is no lock, goroutine or wait in here. The caller serialises all calls on one picker, reads included;
// different pickers are independent, as long as they do not share a stream of chance.
package lb
