// Package lb answers one question: which backend next?
//
// A [Picker] is built by [New] for a list of backends, which it knows only by their index. Backends come and go
// ([Picker.Add], [Picker.Remove]) and change their weight ([Picker.SetWeight]) under load: the others keep their indexes
// and their counts. It holds the
// few facts that a choice rests on, and nothing else: the weight of each backend, whether health admits it
// ([Picker.SetAvailable]), whether its pool has room ([Picker.SetReady]), and how many requests are in flight
// at it, which the picker counts itself because every choice and every end passes through it.
//
// # Map
//
//   - lb.go: the words that a caller uses ([Picker], [Query], [Outcome], [Backend]) and [New].
//   - strategy.go: the closed list of strategies, their descriptions, and the error for a name that is none.
//   - fleet.go: the facts about the backends, shared by all strategies.
//   - smooth.go: the smooth weighted rotation, by which two of the strategies choose.
//   - roundrobin.go, leastconn.go, random.go: one strategy each.
//   - lottery.go: two drawn by chance, and the strategy that takes the one with less to do; peakewma.go: the one that
//     takes the one which is expected to answer first.
//
// # Promises
//
//   - A backend that is unavailable, without room, or named in [Query.Tried] is never picked.
//   - Pick finds a backend whenever one is left that is none of these, and answers -1 when none is.
//   - Requests are conserved: InFlight is the number of picks and takes less the number of dones, always.
//   - Equal calls give equal answers. A picker has no clock: time is an argument. It has no source of chance but
//     the stream handed to New, of which a strategy takes a few bounded numbers per successful pick, or none at all.
//   - No call allocates, except [New], [Picker.Add] and misuse, which panics with a message that starts with "lb:".
//
// # Locking law
//
// There is no lock, goroutine or wait in here. The caller serialises all calls on one picker, reads included;
// different pickers are independent, as long as they do not share a stream of chance.
package lb
