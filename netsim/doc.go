// Package netsim is a network in memory: hosts, links, faults, virtual time and a trace, all from one seed. Code
// under simulation uses ordinary goroutines, net.Conn and net.Listener; it gets its dialer and its listen function
// from a Host, its clock from Sim.Clock and its chance from Sim.Rand. Equal seeds give equal traces, which
// Result.Hash proves.
//
// # Map
//
//	sim.go                             Config, Sim: make one by Test, Run or New
//	run.go, watchdog.go                Test and Run: a bubble around it, looked after from outside
//	host.go, process.go                Host: Listen, Crash, Kill, Restart, Context; Go: goroutines that must end with it
//	dial.go, listener.go, resolver.go  DialContext, Listener, names and their addresses
//	conn.go, connstate.go, eager.go    Conn: the application's side of a connection, its life; writes that never wait
//	pipe.go, recover.go, segment.go    one direction: buffers, window, flight, retransmission
//	keepalive.go                       keep-alive and user timeout
//	link.go, delay.go, bottleneck.go   Link: delays of any distribution; bandwidth, queues, and who competes for them
//	rules.go, faults.go, fault_*.go    the rules that judge every packet, and the faults by what they touch
//	clock.go, hostclock.go             the clock, and a host's own, which may be wrong
//	queue.go, instants.go, wait.go     the event queue, the claims of instants, goroutines that wait
//	trace.go, trace_json.go            the canonical trace, as text and as lines of JSON
//	sequence.go, netstat.go, errors.go sequence diagrams, what is open and who waits, errors as the net package makes them
//
// # Promises
//
// Unique instants. Every wake-up that netsim causes - a delivery, a deadline, a timer of Sim.Clock, the release of
// one of several waiters - happens at a virtual nanosecond of its own. A bubble moves time only when every goroutine
// waits, so the consequences of one event end before the next begins. To keep instants apart they are moved by up to
// some hundred nanoseconds, never to the front; the seed decides how, so that different seeds try different orders of
// what would coincide. Network events are ordered by instant, seed and connection and never by the order in which
// goroutines asked for them; timers of the clock are anonymous and are placed as they come. Where a timer and a
// packet want one nanosecond, the packet gives way, whoever asked first.
//
// The application's view of TCP is Linux's, held by a parity suite that runs the same bodies over the kernel's
// loopback: results, errnos, *net.OpError, deadlines, half-close, RST on close with unread bytes, what can still be
// read after a RST. A connection passes nettest.TestConn, on the real clock, outside a bubble.
//
// Draws depend on the connection, the number of its packet and the fault that asks: a fault that goes away takes only
// its own draws with it.
//
// # What is modelled
//
// Handshake of one round trip, SYN retransmission, accept backlog, finite send buffer and receive window with their
// updates under way, acknowledgements that can be lost, retransmission with exponential backoff up to ETIMEDOUT (15
// tries, 924 s, or the user timeout), zero-window probes, FIN and RST, half-close, orphaned sockets that still send,
// silence of a crashed host, RST from a restarted one. Every packet passes one chain of rules: the first verdict that
// is not Pass decides, then the link does. Segments are Writes of up to 32 KiB, not packets of an MTU.
//
// Delays of any distribution (Link.Delay), one draw for each packet; links of one direction (SetLinkOneWay).
// Bandwidth for each connection, or shared by those of two hosts or of one cable (Link.Sharing), with a finite queue
// that drops its tail (Link.Queue); SYNs and acknowledgements wait in a shared queue too. TCP keep-alive with Linux's
// timers and Go's settings, off until asked for; a user timeout for each connection, which also counts before a shut
// window and replaces the count of probes.
//
// Services that do not serve while their kernels go on (AcceptWithoutService, Stall, Pause), packets that are held
// and let go in order (Clog, Swizzle), bytes that drip or are corrupted, middleboxes that lose their connections
// (IdleForget, ConntrackLoss), names with several addresses and failing lookups, clocks that are wrong. Goroutines of
// Host.Go that outlive their host are reported by name.
//
// # What is not modelled, and where it may mislead
//
//   - No fast retransmission, no selective acknowledgement and no congestion control: each loss costs a
//     retransmission timeout (200 ms or more), and what was sent after it goes again. Bulk transfer is limited by
//     window per round trip and by bandwidth. Connections share a bottleneck fairly while its queue holds all their
//     windows; below that, drops make it unfair and waste up to half of it, where real TCP would slow down. A window
//     that is no multiple of a segment (32 KiB) stays partly unused.
//   - Keep-alive is off by default, although net.Dialer turns it on (15 s, 15 s, 9): set it where production has it.
//     Its probes see the peer as it is when they leave. Pure acknowledgements take a Delay's median; neither random
//     loss nor a full queue drops them.
//   - A shut window is probed when the news that it is open was lost, or when nobody is there any more to open it. A live
//     peer that keeps its window shut is not probed: when the path to it breaks, the writer does not notice until the peer
//     reads, unless it has a user timeout. FIN-WAIT-2 has no timeout: a closed end waits for its live peer's FIN for ever,
//     where Linux waits a minute; when the peer is dead it is forgotten at once.
//   - Kill and Restart in one instant leave the old process a moment in which its context has not ended and the host is up:
//     put a Sleep between them.
//   - A packet is judged when it leaves. One that is under way when a partition begins still arrives; only a crashed
//     receiver is looked at on arrival.
//   - Nagle, delayed ACK, TIME_WAIT, SYN cookies, reordering visible to the application, MTU, IPv6 scopes and UDP do
//     not exist. One address for each host. There is one name server, which answers from Sim.SetDNS and hosts' names;
//     no TTL, no search list, no race between address families.
//   - Host.Clock is wrong only under a clock fault, and its times have no monotonic reading: the difference of two
//     readings shows a jump, which a real process sees only in times that have lost theirs. A jump between Now and
//     SetDeadline moves that deadline; a later one does not.
//   - Pause stops a goroutine at its next call of the network, the resolver, or Sleep or AfterFunc of Host.Clock. One
//     that computes, or waits for a channel, a timer's channel or a context, goes on until then. Close and deadline
//     setters never wait.
//   - A held packet is sent again at the fault's end and judged then; a packet under way when the fault begins still
//     arrives. Drip works at the receiver's edge: what it has taken in goes on to drip under a later partition.
//   - Jitter never reorders segments of one direction; random loss does not hit pure acknowledgements.
//   - The local port belongs to a pair of host and remote address, so two connections of a host to different servers
//     may have the same local port, as they may in Linux. Dials to one address that begin in one instant are named in
//     the order in which the scheduler ran them: put Clock.Sleep(0) between them.
//   - A context's end, a closed channel or a sync.Cond.Broadcast of the program's own wakes all its waiters in one
//     instant; what they then do in it is ordered by the scheduler. The trace is sorted within an instant by actor,
//     which hides harmless differences and no others.
//   - A goroutine that is started by a go statement begins in the instant of the one that starts it, and when both
//     set timers then (a Sleep is one), the scheduler decides whose comes first. Start several goroutines by
//     Clock.AfterFunc(0, f) instead: each begins at an instant of its own, in order. A waker that goes on after it
//     has woken another goroutine has the same problem; the clock's Reserve solves it.
//   - net/http's HTTP/2 writes under a mutex: give it connections by EagerDial and EagerListener. They take every
//     Write at once, join those of one instant, and keep their lengths out of the hash, as the library decides these
//     by races of its own. It then repeats exactly, also over TLS, unless a link has Bandwidth. Neither the receive
//     window nor the send buffer holds eager writes up, so a slow reader shows only at their limit.
//   - http.Server.Shutdown looks for the end at times without a seed; a context cancelled in the instant of its
//     answer may still reset an HTTP/2 stream; of several HTTP/2 requests that wait for the first connection each
//     dials one.
//   - Timers that do not come from Sim.Clock (net/http's own, for example) are virtual but not moved apart: two of
//     them set in one instant for the same duration fire in random order.
//   - Only what is given a Host's dialer and listeners is simulated: http.DefaultClient or a bare net.Dial goes to the
//     real network, also in a bubble, where it may hang the run.
//   - After Restart nothing runs on a host: start its service again. Host.Go starts its function at a later instant, so
//     listen before it, or the first dial over a link without latency is refused.
//   - On the real clock (New outside a bubble) instants are not unique and nothing repeats exactly.
//
// # When a run fails
//
// Test logs the seed, the last events and Netstat; a deadlock shows the stacks of the bubble's goroutines as well. Result.Err
// of Run, or the failure of Test, names deadlocks, goroutines that are left, goroutines of Host.Go that outlived their host,
// and faults that name a host which never was.
//
// # Goroutines and locks
//
// One lock, Sim.mu, guards all state. It is held for changes of state only, never over a wait, and nothing is called
// under it but rules. Blocked calls wait on channels, which a bubble understands. A Sim has no goroutine of its own,
// only one timer, which Close stops; Test and Run have the watchdog's, and Run one that holds the bubble, outside the
// bubble; both end with the run. Close, Crash and the Stop of a pause or a stall let blocked goroutines go one by
// one, in an order that depends on names and on who came first.
package netsim
