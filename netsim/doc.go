// Package netsim is a network in memory: hosts, links, faults, virtual time and a trace, all from one seed.
// Code under simulation uses ordinary goroutines, net.Conn and net.Listener; it gets its dialer and its
// listen function from a Host, its clock from Sim.Clock and its chance from Sim.Rand. Equal seeds give
// equal traces, which Result.Hash proves.
//
// # Map
//
//	sim.go                           Config, Sim: make one by Test, Run or New
//	run.go, watchdog.go              Test and Run: a bubble around it, looked after from outside
//	host.go, dial.go, listener.go    Host: DialContext, Listen, Crash, Kill, Restart, Context
//	conn.go, connstate.go            Conn: the application's side of a connection, and its life
//	pipe.go, recover.go, segment.go  one direction: buffers, window, flight, retransmission
//	link.go, rules.go, faults.go     Link; the rules that judge every packet; the faults that are rules
//	queue.go, instants.go, wait.go   the event queue, the claims of instants, goroutines that wait
//	clock.go, trace.go, errors.go    the clock, the canonical trace, errors as the net package makes them
//
// # Promises
//
// Unique instants. Every wake-up that netsim causes - a delivery, a deadline, a timer of Sim.Clock, the
// release of one of several waiters - happens at a virtual nanosecond of its own. A bubble moves time only
// when every goroutine waits, so the consequences of one event end before the next begins. To keep instants
// apart they are moved by up to some hundred nanoseconds, never to the front; the seed decides how, so that
// different seeds try different orders of what would coincide. Network events are ordered by instant, seed
// and connection and never by the order in which goroutines asked for them; timers of the clock are
// anonymous and are placed as they come.
//
// The application's view of TCP is Linux's, held by a parity suite that runs the same bodies over the
// kernel's loopback: results, errnos, *net.OpError, deadlines, half-close, RST on close with unread bytes,
// what can still be read after a RST. A connection passes nettest.TestConn, on the real clock, outside a
// bubble.
//
// Draws depend on the connection, the number of its packet and the fault that asks: a fault that goes away
// takes only its own draws with it.
//
// # What is modelled
//
// Handshake of one round trip, SYN retransmission, accept backlog, finite send buffer and receive window
// with their updates under way, acknowledgements that can be lost, retransmission with exponential backoff
// up to ETIMEDOUT (15 tries, 924 s, or Config.UserTimeout), zero-window probes, FIN and RST, half-close,
// orphaned sockets that still send, silence of a crashed host, RST from a restarted one. Every packet
// passes one chain of rules: the first verdict that is not Pass decides, then the link does. Segments are
// Writes of up to 32 KiB, not packets of an MTU.
//
// # What is not modelled, and where it may mislead
//
//   - No fast retransmission and no congestion control: each loss costs a retransmission timeout (200 ms or
//     more) and bulk transfer is limited by window and Link.Bandwidth only. Bandwidth belongs to each
//     direction of each connection; two connections do not compete for it.
//   - A packet is judged when it leaves. One that is under way when a partition begins still arrives; only
//     a crashed receiver is looked at on arrival.
//   - No TCP keep-alive: an idle connection never notices that its peer is gone. Nagle, delayed ACK,
//     TIME_WAIT, SYN cookies, reordering visible to the application, MTU, IPv6 scopes and UDP do not exist.
//     One address for each host; a name that is no host's is a DNS error at once. Hosts' clocks do not
//     drift apart.
//   - Jitter never reorders segments of one direction; random loss does not hit pure acknowledgements.
//   - The local port belongs to a pair of host and remote address, so two connections of a host to
//     different servers may have the same local port, as they may in Linux. Dials to one address that begin
//     in one instant are named in the order in which the scheduler ran them: put Clock.Sleep(0) between
//     them.
//   - A context's end, a closed channel or a sync.Cond.Broadcast of the program's own wakes all its waiters
//     in one instant; what they then do in it is ordered by the scheduler. The trace is sorted within an
//     instant by actor, which hides harmless differences and no others.
//   - A goroutine that is started by a go statement begins in the instant of the one that starts it, and
//     when both set timers then (a Sleep is one), the scheduler decides whose comes first. Start several
//     goroutines by Clock.AfterFunc(0, f) instead: each begins at an instant of its own, in order. A waker
//     that goes on after it has woken another goroutine has the same problem; the clock's Reserve solves it.
//   - net/http's HTTP/2 writes under a mutex, so its connections need a large Conn.SetWriteBuffer, or a
//     full buffer hangs the bubble. It runs then, but does not repeat exactly: its goroutines race within
//     an instant for who writes first.
//   - Timers that do not come from Sim.Clock (net/http's own, for example) are virtual but not moved apart:
//     two of them set in one instant for the same duration fire in random order.
//   - On the real clock (New outside a bubble) instants are not unique and nothing repeats exactly.
//
// # Goroutines and locks
//
// One lock, Sim.mu, guards all state. It is held for changes of state only, never over a wait, and nothing
// is called under it but rules. Blocked calls wait on channels, which a bubble understands. A Sim has no
// goroutine of its own, only one timer, which Close stops; Test and Run have the watchdog's, and Run
// one that holds the bubble, outside the bubble; both end with the run. Close and Crash let blocked goroutines go one by one, in an order that depends on
// names and on who came first.
package netsim
