package netsim

import (
	"context"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// flow is one connection as the network sees it: both ends and both directions, in one allocation.
type flow struct {
	client, server Conn
	up, down       pipe      // client to server, server to client
	last           int64     // when a packet went through last
	asked          int64     // when the last SYN went out
	half           *Listener // where it counts as half open
}

func newFlow(s *Sim, from, to *Host, addr *net.TCPAddr, now int64) *flow {
	f := &flow{last: now}
	remote := addr.IP.String()
	if to != nil {
		remote = to.name
	}
	remote += ":" + strconv.Itoa(addr.Port)
	port, name := from.localPort(remote)
	local := &net.TCPAddr{IP: from.ip, Port: port}
	f.client.init(s, f, from, local, addr, name+">"+remote)
	f.server.init(s, f, to, addr, local, remote+"<"+name)
	f.up.init(s, &f.client, &f.server)
	f.down.init(s, &f.server, &f.client)
	return f
}

// established ends the half-open state, in whatever way.
func (f *flow) established() {
	if f.half != nil {
		f.half.halfOpen--
		f.half = nil
	}
}

// dialing is one handshake under way, seen from the dialer.
type dialing struct {
	s     *Sim
	h     *Host
	flow  *flow
	w     *waiter
	tries int
	reply error // what the answer under way says; nil = welcome
	done  bool
	err   error

	syn, answer, again event
}

// DialContext connects to "host:port", where host is an address, or a name as Resolver knows it: that of a
// simulated host or of SetDNS. It costs one round trip. A name with several addresses has them tried in
// order, one after the other, as net.Dialer does for those of one family: each gets its part of what is left
// of the context's time, but not less than 2 s, and when all fail the first one's error counts. (There is no
// second family to race with, RFC 8305.) Its errors are those of the net package, in a *net.OpError:
// ECONNREFUSED when the host answers and nobody listens, ETIMEDOUT when all SYNs meet silence, EHOSTUNREACH
// under an Unreachable fault, the context's end as net.Dialer tells it, *net.DNSError for a name without an
// address, ErrHostDown when this host is down, net.ErrClosed when it goes down meanwhile.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h.s.mu.Lock()
	h.stopHere(h.life)
	var usual [1]net.IP // nearly always there is one
	ips, port, err := h.targets(ctx, network, address, usual[:0])
	h.s.mu.Unlock()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var first error
	for i, ip := range ips {
		part, cancel := h.partOf(ctx, len(ips)-i)
		c, err := h.dial(part, network, ip, port)
		cancel()
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// targets adds the addresses to be dialled to ips. Sim.mu is held, but not while it waits.
func (h *Host) targets(ctx context.Context, network, address string, ips []net.IP) ([]net.IP, int, error) {
	name, port, err := parseAddress(network, address)
	if err != nil {
		return nil, 0, err
	}
	ip := net.ParseIP(name)
	switch {
	case name == "":
		return append(ips, h.ip), port, nil
	case ip != nil:
		return append(ips, ip), port, nil
	}
	if to := h.s.byName[name]; to != nil && h.s.names.plain() {
		ips = ofFamily(ips, network, to.ip)
	} else {
		found, err := h.lookup(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		ips = ofFamily(ips, network, asIPs(found)...)
	}
	if len(ips) == 0 {
		return nil, 0, &net.AddrError{Err: "no suitable address found", Addr: name}
	}
	return ips, port, nil
}

// partOf gives the time for one of the addresses that are left: net.Dialer's partialDeadline.
func (h *Host) partOf(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	rest, ok := h.clk.left(ctx)
	if !ok || left == 1 {
		return ctx, func() {}
	}
	const leastTime = 2 * time.Second
	return h.clk.WithTimeout(ctx, max(rest/time.Duration(left), min(rest, leastTime)))
}

// dial connects to one address.
func (h *Host) dial(ctx context.Context, network string, ip net.IP, port int) (net.Conn, error) {
	s := h.s
	s.mu.Lock()
	addr, to := h.at(ip, port)
	if err := ctx.Err(); err != nil {
		s.mu.Unlock()
		return nil, dialError(network, addr, contextError(err))
	}
	if h.state != hostUp {
		s.mu.Unlock()
		return nil, dialError(network, addr, ErrHostDown)
	}
	now, life := s.now(), h.life
	d := &dialing{s: s, h: h, flow: newFlow(s, h, to, addr, now), w: newWaiter()}
	key := d.flow.client.actor.hash
	d.syn.init(d, evSYN, key)
	d.answer.init(d, evReply, key)
	d.again.init(d, evSYNAgain, key)
	h.dials = append(h.dials, d)
	s.trace.add(now, &d.flow.client.actor, "dial", "", 0)
	d.send(now)
	s.mu.Unlock()

	select { // both are ready only when the dial has succeeded or failed anyway, and then that counts
	case <-d.w.ch:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.stopHere(life)
	if !d.done {
		d.w.gone = true
		d.finish(contextError(ctx.Err()), s.now())
	}
	if d.err != nil {
		return nil, dialError(network, addr, asConnectError(d.err))
	}
	return &d.flow.client, nil
}

func asConnectError(err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return connectError("", nil, errno).(*net.OpError).Err
	}
	return err
}

// send lets a SYN go and sets the timer for the next one.
func (d *dialing) send(now int64) {
	f := d.flow
	f.asked = now
	verdict, delay := d.s.judgeBare(&f.up, PacketSYN, now)
	switch verdict {
	case Pass:
		d.s.schedule(&d.syn, now+delay, now)
	case Reset:
		d.answerWith(syscall.ECONNREFUSED, now+2*delay, now)
	case Unreachable:
		d.answerWith(syscall.EHOSTUNREACH, now+2*delay, now)
	default:
		d.s.trace.add(now, &f.client.actor, verdict.lost(), "syn", 0)
	}
	d.s.schedule(&d.again, now+d.backoff(), now)
}

// backoff is the wait before the next SYN: 1 s, 2 s, 4 s and so on (RFC 6298, 2.1 and 5.5).
func (d *dialing) backoff() int64 {
	return min(int64(time.Second)<<min(d.tries, 32), int64(d.s.cfg.MaxRTO))
}

func (d *dialing) answerWith(err error, at, now int64) {
	d.reply = err
	d.s.schedule(&d.answer, at, now)
}

func (d *dialing) fire(k eventKind, now int64) {
	switch k {
	case evSYN:
		d.arrived(now)
	case evReply:
		d.finish(d.reply, now)
	case evSYNAgain:
		d.tries++
		switch {
		case d.tries > d.s.cfg.SYNRetries:
			d.finish(syscall.ETIMEDOUT, now)
		case d.syn.queued() || d.answer.queued():
			d.s.schedule(&d.again, now+d.backoff(), now)
		default:
			d.send(now)
		}
	}
}

// arrived is the SYN's arrival at the other machine, if there is one.
func (d *dialing) arrived(now int64) {
	f := d.flow
	to := f.server.host
	if to == nil || to.state == hostCrashed {
		d.s.trace.add(now, &f.client.actor, "drop", "nobody there", 0)
		return
	}
	kind, reply := PacketSYNACK, error(nil)
	l := to.listeners[f.server.local.Port]
	switch {
	case l == nil:
		kind, reply = PacketRST, syscall.ECONNREFUSED
	case f.half != l && l.full():
		d.s.trace.add(now, &l.actor, "overflow", f.client.actor.name, 0)
		return
	case f.half != l:
		f.established() // it may have been half open at a former listener of the port
		f.half = l
		l.halfOpen++
	}
	verdict, delay := d.s.judgeBare(&f.down, kind, now)
	if verdict != Pass {
		d.s.trace.add(now, &f.server.actor, verdict.lost(), kind.String(), 0)
		return
	}
	d.answerWith(reply, now+delay, now)
}

// finish ends the handshake for the dialer.
func (d *dialing) finish(err error, now int64) {
	d.done, d.err = true, err
	d.s.cancel(&d.syn)
	d.s.cancel(&d.answer)
	d.s.cancel(&d.again)
	if i := slices.Index(d.h.dials, d); i >= 0 {
		d.h.dials = slices.Delete(d.h.dials, i, i+1)
	}
	f := d.flow
	if err != nil {
		f.established()
		d.s.trace.add(now, &f.client.actor, "dial-failed", err.Error(), 0)
		if err == net.ErrClosed {
			d.s.lastly.add(d.w, now) // one of many, when its host went down
			return
		}
	} else {
		d.s.trace.add(now, &f.client.actor, "open", "", 0)
		d.h.addConn(&f.client)
		f.client.heard = now
		f.up.sendOpen(now)
	}
	if !d.w.gone {
		d.w.wake()
	}
}
