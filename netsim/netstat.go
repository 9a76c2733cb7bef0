package netsim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Snapshot is the state of the whole network at one instant, as netstat and ss show that of one machine.
type Snapshot struct {
	At     time.Duration // since the start
	Seed   uint64        // of the run
	Closed bool          // the simulation is closed
	Hosts  []HostStat    // in the order of their making
	Faults []string      // the names of those in force, oldest first
}

// HostStat is one host of a Snapshot.
type HostStat struct {
	Name      string         // as it was made with
	Addr      string         // its IP address
	State     string         // "up", "killed" or "crashed"; with ", paused", ", stalled" or ", unserved" under such a fault
	Listeners []ListenerStat // by port
	Conns     []ConnStat     // by name; those that still dial too
}

// ListenerStat is one listening port.
type ListenerStat struct {
	Port      int // the port
	Queued    int // connections that nobody has accepted yet
	HalfOpen  int // SYNs that were answered and whose handshake is not done
	Backlog   int // how many of both there may be
	Accepting int // goroutines that wait in Accept
}

// ConnStat is one end of a connection. An end that was reset, or closed by both sides, is not there any more.
type ConnStat struct {
	Name  string // as in the trace
	State string // as RFC 9293, 3.3.2 names it: SYN-SENT, ESTABLISHED, CLOSE-WAIT, FIN-WAIT-1, FIN-WAIT-2, LAST-ACK or CLOSED
	// Closed says that the application has closed it, or is gone; what is left is the kernel's.
	Closed   bool
	RecvQ    int           // bytes that have arrived and were not read
	SendQ    int           // bytes that were written and are not known to have been acknowledged
	InFlight int           // bytes of SendQ that are under way
	Lost     int           // bytes of SendQ that wait to be sent again
	Timer    time.Duration // until the retransmission timer, or that of the SYN, fires; -1 = it does not run
	Tries    int           // how often it has fired in a row
	Alive    time.Duration // until the keep-alive timer fires; -1 = it does not run
	Probes   int           // of keep-alive, that nobody has answered
	Idle     time.Duration // since the last packet of the connection that went through, either way
	Readers  int           // goroutines that wait in Read or WaitReadable
	Writers  int           // goroutines that wait in Write
}

var stateNames = [...]string{hostUp: "up", hostKilled: "killed", hostCrashed: "crashed"}

// Snapshot tells the state of all hosts, listeners, connections and faults. It may be called at any time, also after
// Close, and changes nothing.
func (s *Sim) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot(s.now())
}

// snapshot is Snapshot as of now, with s.mu held.
func (s *Sim) snapshot(now int64) Snapshot {
	out := Snapshot{At: duration(now), Seed: s.cfg.Seed, Closed: s.closed}
	for _, h := range s.hosts {
		out.Hosts = append(out.Hosts, h.stat(now))
	}
	for _, f := range s.rules {
		out.Faults = append(out.Faults, f.actor.name)
	}
	return out
}

// Netstat gives Snapshot as text, for failing tests and for the curious.
func (s *Sim) Netstat() string { return s.Snapshot().String() }

func (h *Host) stat(now int64) HostStat {
	out := HostStat{Name: h.name, Addr: h.addr, State: stateNames[h.state]}
	switch {
	case h.pausing:
		out.State += ", paused"
	case h.stalled:
		out.State += ", stalled"
	case h.unserved:
		out.State += ", unserved"
	}
	for port, l := range h.listeners {
		out.Listeners = append(out.Listeners, ListenerStat{Port: port, Queued: len(l.queue), HalfOpen: l.halfOpen,
			Backlog: h.s.cfg.Backlog, Accepting: l.accepters.len()})
	}
	slices.SortFunc(out.Listeners, func(a, b ListenerStat) int { return cmp.Compare(a.Port, b.Port) })
	for _, c := range h.conns {
		out.Conns = append(out.Conns, c.stat(now))
	}
	for _, d := range h.dials {
		f := d.flow
		out.Conns = append(out.Conns, ConnStat{Name: f.client.actor.name, State: "SYN-SENT", Timer: d.again.until(now), Alive: -1,
			Tries: d.tries, Idle: duration(now - f.last)})
	}
	slices.SortFunc(out.Conns, func(a, b ConnStat) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (c *Conn) stat(now int64) ConnStat {
	out := ConnStat{Name: c.actor.name, State: c.state(), Closed: c.closed, RecvQ: c.in.ready, SendQ: c.out.buffered,
		InFlight: c.out.flight.bytes() + c.out.entering.bytes(), Lost: c.out.lost.bytes(), Timer: c.out.retry.until(now), Tries: c.out.tries,
		Alive: -1, Idle: duration(now - c.flow.last), Readers: c.readers.len(), Writers: c.space.len() + c.writers.len()}
	for _, a := range c.out.acks { // those that have arrived and that the sender has not looked at
		if a.at <= now {
			out.SendQ -= a.bytes
		}
	}
	if c.keep != nil {
		out.Alive, out.Probes = c.keep.due.until(now), c.keep.probes
	}
	if c.eager != nil {
		out.SendQ += len(c.eager.queue)
	}
	return out
}

// state names the state of RFC 9293, 3.3.2, as far as the model has it: there is no TIME-WAIT, and simultaneous
// closes are not told from others.
func (c *Conn) state() string {
	switch {
	case c.dead:
		return "CLOSED"
	case !c.sentFIN && !c.in.fin:
		return "ESTABLISHED"
	case !c.sentFIN:
		return "CLOSE-WAIT"
	case !c.in.fin && !c.out.fin:
		return "FIN-WAIT-1"
	case !c.in.fin:
		return "FIN-WAIT-2"
	case !c.out.fin:
		return "LAST-ACK"
	}
	return "CLOSED"
}

// until tells how long an event is off, or -1 when it is not queued.
func (e *event) until(now int64) time.Duration {
	if !e.queued() {
		return -1
	}
	return max(0, duration(e.at-now))
}

func (l *waitList) len() int {
	n := 0
	for w := l.head; w != nil; w = w.next {
		n++
	}
	return n
}

func (q *segQueue) bytes() int {
	n := 0
	for g := q.head; g != nil; g = g.next {
		n += g.size()
	}
	return n
}

// String gives the snapshot as a text of one line for each host, listener, connection and fault. What is zero is left
// out.
func (s Snapshot) String() string {
	var b strings.Builder
	closed := ""
	if s.Closed {
		closed = ", closed"
	}
	fmt.Fprintf(&b, "netsim: the network at %v, seed %d%s\n", s.At, s.Seed, closed)
	for _, h := range s.Hosts {
		fmt.Fprintf(&b, "host %s %s %s\n", h.Name, h.Addr, h.State)
		for _, l := range h.Listeners {
			fmt.Fprintf(&b, "  %-11s :%d backlog %d/%d", "LISTEN", l.Port, l.Queued+l.HalfOpen, l.Backlog)
			count(&b, "half open", l.HalfOpen)
			count(&b, "accepting", l.Accepting)
			b.WriteByte('\n')
		}
		for _, c := range h.Conns {
			c.write(&b)
		}
	}
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "fault %s\n", f)
	}
	return b.String()
}

func (c ConnStat) write(b *strings.Builder) {
	fmt.Fprintf(b, "  %-11s %s", c.State, c.Name)
	count(b, "recv-q", c.RecvQ)
	count(b, "send-q", c.SendQ)
	count(b, "in flight", c.InFlight)
	count(b, "lost", c.Lost)
	if c.Timer >= 0 {
		fmt.Fprintf(b, ", retransmits in %v", c.Timer.Round(time.Millisecond))
		count(b, "tries", c.Tries)
	}
	if c.Alive >= 0 {
		fmt.Fprintf(b, ", keep-alive in %v", c.Alive.Round(time.Millisecond))
		count(b, "probes", c.Probes)
	}
	if c.Idle >= time.Millisecond {
		fmt.Fprintf(b, ", idle %v", c.Idle.Round(time.Millisecond))
	}
	count(b, "readers", c.Readers)
	count(b, "writers", c.Writers)
	if c.Closed {
		b.WriteString(", closed by its host")
	}
	b.WriteByte('\n')
}

func count(b *strings.Builder, what string, n int) {
	if n != 0 {
		fmt.Fprintf(b, ", %s %d", what, n)
	}
}
