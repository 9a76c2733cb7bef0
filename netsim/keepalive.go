package netsim

import (
	"net"
	"syscall"
	"time"
)

// This file is TCP keep-alive (RFC 9293, 3.8.4) and the user timeout (RFC 5482), as Linux has them and as Go
// sets them. The timer asks a connection only when nothing of its own is unacknowledged: that is the
// retransmission timer's business.

// keepAlive is the keep-alive of one end. Sim.mu guards it.
type keepAlive struct {
	on             bool
	idle, interval int64
	count          int
	probes         int    // that nobody has answered
	asked          uint64 // all of them; places their draws
	looked         int64  // when the timer fired last
	moved          bool   // idle was set, so the timer moves
	due            event
}

// Go's defaults, which it sets on every connection that it makes, and Linux's limits.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9
	maxKeepAlive      = 32767 * time.Second
	maxKeepAliveCount = 127
)

// SetKeepAlive turns keep-alive on or off: probes on a connection that has heard nothing from its peer for a
// while. Unlike connections that the net package makes, one of netsim has it off until it is asked for. On, it
// has Go's defaults unless others were set: see SetKeepAliveConfig. As in Linux the first probe comes a whole
// Idle after it was turned on. After Close it gives net.ErrClosed.
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.setKeepAlive(func(k *keepAlive) bool {
		k.on = keepalive
		return true
	})
}

// SetKeepAlivePeriod sets how long the connection must have heard nothing before the first probe, as
// KeepAliveConfig.Idle does, and leaves the rest as it is.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.setKeepAlive(func(k *keepAlive) bool { return k.setIdle(d) })
}

// SetKeepAliveConfig sets all of it as *net.TCPConn does on Linux. After Idle without a sign of the peer a
// probe goes out, and another one after each Interval. When Count of them have met silence, the connection
// ends with ETIMEDOUT (or EHOSTUNREACH, if a router said so) one Interval later; a peer that has restarted
// answers with RST. Idle and Interval are rounded up to whole seconds and count from 1 s to 32,767 s, Count
// from 1 to 127: else the error is EINVAL. Zero values mean 15 s, 15 s and 9; negative ones leave what is. With
// a user timeout the connection ends at the first timer after it, and Count is ignored. After Close it gives
// net.ErrClosed.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	// One after the other, as the kernel gets them: what was set before an error stays.
	return c.setKeepAlive(func(k *keepAlive) bool {
		k.on = config.Enable
		return k.setIdle(config.Idle) && setSeconds(&k.interval, config.Interval, keepAliveInterval) &&
			k.setCount(config.Count)
	})
}

// setKeepAlive changes the settings and what follows from them; change tells whether the kernel takes them.
func (c *Conn) setKeepAlive(change func(k *keepAlive) bool) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.closed {
		return c.optionError()
	}
	k := c.keep
	if k == nil {
		k = &keepAlive{idle: int64(keepAliveIdle), interval: int64(keepAliveInterval), count: keepAliveCount}
		k.due.init(c, evKeepAlive, c.actor.hash)
		c.keep = k
	}
	before, now := k.on, c.s.now()
	taken := change(k)
	c.out.settle(now)
	switch {
	case !k.on || c.dead:
		c.s.cancel(&k.due)
	case k.moved:
		c.s.schedule(&k.due, c.heard+k.idle, now)
	case !before:
		c.s.schedule(&k.due, now+k.idle, now)
	}
	k.moved = false
	if !taken {
		return c.callError("set", "setsockopt", syscall.EINVAL)
	}
	return nil
}

func (k *keepAlive) setIdle(d time.Duration) (ok bool) {
	ok = setSeconds(&k.idle, d, keepAliveIdle)
	k.moved = ok && d >= 0
	return ok
}

func (k *keepAlive) setCount(n int) (ok bool) {
	switch {
	case n == 0:
		n = keepAliveCount
	case n > maxKeepAliveCount:
		return false
	case n < 0:
		return true
	}
	k.count = n
	return true
}

// setSeconds sets a field from a duration as the net package takes it; ok is false when the kernel refuses.
func setSeconds(field *int64, d, zero time.Duration) (ok bool) {
	switch {
	case d < 0:
		return true
	case d == 0:
		d = zero
	case d > maxKeepAlive:
		return false
	}
	*field = int64((d + time.Second - 1).Truncate(time.Second))
	return true
}

func (c *Conn) endKeepAlive() {
	if c.keep != nil {
		c.keep.on = false
		c.s.cancel(&c.keep.due)
	}
}

// keepAliveDue is the timer.
func (c *Conn) keepAliveDue(now int64) {
	k := c.keep
	if c.in.fin && c.out.fin {
		return // it is over, though nobody has closed it
	}
	c.out.settle(now)
	if c.heard > k.looked {
		k.probes = 0
	}
	k.looked = now
	idle := now - c.heard
	switch {
	case c.out.unacknowledged():
		c.s.schedule(&k.due, now+k.idle, now)
	case idle < k.idle:
		c.s.schedule(&k.due, c.heard+k.idle, now)
	case k.exhausted(idle, c.userTimeout):
		errno := syscall.ETIMEDOUT
		if c.out.soft != 0 {
			errno = c.out.soft
		}
		c.fail(errno, "timed-out", now)
		c.out.sendRST(now)
	default:
		k.probes++
		k.asked++
		c.s.trace.add(now, &c.actor, "keep-alive", "", int64(k.probes))
		c.s.schedule(&k.due, now+k.interval, now)
		c.out.ask(k.asked, now)
	}
}

// exhausted tells whether there have been enough probes without an answer.
func (k *keepAlive) exhausted(idle, userTimeout int64) bool {
	if userTimeout > 0 {
		return idle >= userTimeout && k.probes > 0
	}
	return k.probes >= k.count
}

// unacknowledged tells whether the sender waits for an acknowledgement, or for leave to send.
func (p *pipe) unacknowledged() bool {
	return p.buffered > 0 || p.noAck > 0 ||
		!p.held.empty() || !p.entering.empty() || !p.flight.empty() || !p.lost.empty()
}

// ask sends the nth keep-alive probe: something that the other end must acknowledge if it is there. Probes
// have a count of their own, so that they do not shift the draws of what carries data.
func (p *pipe) ask(nth uint64, now int64) {
	packets := p.packets
	p.packets = 1<<63 | nth
	verdict, there := p.s.judgeBare(p, PacketProbe, now)
	p.packets = packets
	switch {
	case verdict == Reset:
		p.bounce(PacketProbe, 0, there, now)
	case verdict == Unreachable:
		p.soft = syscall.EHOSTUNREACH
	case verdict != Pass || p.dst.host.state == hostCrashed:
		p.s.trace.add(now, &p.src.actor, "drop", PacketProbe.String(), 0)
	case p.dst.dead:
		if verdict, back := p.s.judgeBare(p.reverse(), PacketRST, now); verdict == Pass {
			p.reverse().fly(p.newRST(), now+there+back)
		}
	default:
		if verdict, back := p.s.judgeBare(p.reverse(), PacketACK, now); verdict == Pass {
			p.acknowledged(0, now+there+back, now)
		}
	}
}

// SetUserTimeout sets TCP_USER_TIMEOUT of the connection (RFC 5482): when data have been unacknowledged, or have
// waited for a window that stays shut, for d, the connection ends with ETIMEDOUT. It is rounded up to whole
// milliseconds. 0 means the system's own, Config.UserTimeout; a negative one gives EINVAL. With keep-alive it
// replaces KeepAliveConfig.Count. Nobody is told of it but this end. Package pool finds it by its name.
func (c *Conn) SetUserTimeout(d time.Duration) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch {
	case c.closed:
		return c.optionError()
	case d < 0:
		return c.callError("set", "setsockopt", syscall.EINVAL)
	case d == 0:
		d = c.s.cfg.UserTimeout
	default:
		d = (min(d, 1<<62) + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	c.userTimeout = int64(d)
	c.s.cancel(&c.out.shut) // it counts anew, if there is something to count
	c.out.push(c.s.now())
	return nil
}
