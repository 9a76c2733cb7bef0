package netsim

// eventKind says what an event means to its receiver.
type eventKind uint8

const (
	evArrive     eventKind = iota + 1 // the head of a direction's flight arrives
	evRetransmit                      // a direction's retransmission timer
	evAcked                           // an acknowledgement or window update that somebody waits for
	evReadDue                         // a read deadline
	evWriteDue                        // a write deadline
	evAcceptDue                       // a listener's deadline
	evSYN                             // a SYN arrives
	evReply                           // the answer to a SYN arrives
	evSYNAgain                        // the dialer's SYN timer
	evRelease                         // the next of several goroutines is let go
	evReset                           // the next of several connections is reset
	evTurn                            // a direction's segments enter a shared bottleneck
	evShut                            // the window of a direction has been shut for too long
	evKeepAlive                       // the keep-alive timer of a connection's end
	evSwizzle                         // the next step of a swizzle
	evLookup                          // the answer to a lookup, or the end of waiting for it
	evGrace                           // a goroutine should have ended by now
)

// receiver is whatever events happen to. fire runs with Sim.mu held and must not wait.
type receiver interface{ fire(k eventKind, now int64) }

// event is one place in the queue. It lives inside its receiver, so that scheduling allocates nothing; it
// can be queued once at a time.
type event struct {
	to   receiver
	key  uint64 // names the entity in ties
	at   int64  // ns since the start of the simulation
	tie  uint64
	pos  int // index in the heap plus one; 0 = not queued
	kind eventKind
}

func (e *event) init(to receiver, kind eventKind, key uint64) {
	e.to, e.kind, e.key = to, kind, mix(key^uint64(kind))
}

func (e *event) queued() bool { return e.pos != 0 }

type slot struct {
	at  int64
	tie uint64
	ev  *event
}

func (a *slot) before(b *slot) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.tie < b.tie
}

// eventQueue is a binary heap of events, ordered by instant and then by the seeded tie. As the order is a
// function of the events alone, it does not depend on the order in which goroutines of one instant put them
// in.
type eventQueue struct{ heap []slot }

func (q *eventQueue) push(e *event) {
	q.heap = append(q.heap, slot{e.at, e.tie, e})
	q.up(len(q.heap) - 1)
}

func (q *eventQueue) remove(e *event) {
	i := e.pos - 1
	e.pos = 0
	last := len(q.heap) - 1
	moved := q.heap[last]
	q.heap[last] = slot{}
	q.heap = q.heap[:last]
	if i == last {
		return
	}
	q.heap[i] = moved
	moved.ev.pos = i + 1
	q.down(q.up(i))
}

func (q *eventQueue) up(i int) int {
	s := q.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(&q.heap[parent]) {
			break
		}
		q.heap[i] = q.heap[parent]
		q.heap[i].ev.pos = i + 1
		i = parent
	}
	q.heap[i] = s
	s.ev.pos = i + 1
	return i
}

func (q *eventQueue) down(i int) {
	s := q.heap[i]
	n := len(q.heap)
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && q.heap[child+1].before(&q.heap[child]) {
			child++
		}
		if !q.heap[child].before(&s) {
			break
		}
		q.heap[i] = q.heap[child]
		q.heap[i].ev.pos = i + 1
		i = child
	}
	q.heap[i] = s
	s.ev.pos = i + 1
}

// schedule puts e at its seeded place at or after the instant at, never at or before now. An event that is
// already queued moves. Sim.mu is held.
func (s *Sim) schedule(e *event, at, now int64) {
	if s.closed {
		return
	}
	if at <= now {
		at = now + 1
	}
	shift, tie := nudge(s.cfg.Seed, e.key, at)
	s.scheduleExactly(e, at+shift, tie)
}

// scheduleExactly puts e at the instant at, which already carries its nudge.
func (s *Sim) scheduleExactly(e *event, at int64, tie uint64) {
	if s.closed {
		return
	}
	if e.queued() {
		s.queue.remove(e)
	}
	e.at, e.tie = at, tie
	s.queue.push(e)
	if !s.pumping && e.pos == 1 {
		s.arm(s.now())
	}
}

// cancel takes e out of the queue if it is there. After the end of the simulation there is no queue.
func (s *Sim) cancel(e *event) {
	if e.queued() && !s.closed {
		s.queue.remove(e)
	}
}

// arm sets the one timer of the network to the next event, at a nanosecond that no timer of the clock has
// claimed. An alarm that is too early does no harm: the pump finds nothing due and arms again. Sim.mu is
// held.
func (s *Sim) arm(now int64) {
	if len(s.queue.heap) == 0 || s.closed {
		return
	}
	at := max(s.queue.heap[0].at, now+1)
	for !s.claims.free(at) {
		at++
	}
	if s.armed != 0 && s.armed <= at {
		return
	}
	s.armed = at
	s.timer.Reset(duration(at - now)) // real: the one timer of the core; its instants are made unique here
}

// pump runs on the timer: in a bubble it makes exactly one event happen, so that all the consequences of
// that event end before the next instant begins. On the real clock it works off whatever is due. What must
// run without the lock (the end of a host's context) runs last.
func (s *Sim) pump() {
	s.mu.Lock()
	s.progress.Add(1)
	s.armed, s.pumping = 0, true
	now := s.now()
	for len(s.queue.heap) > 0 && !s.closed {
		e := s.queue.heap[0].ev
		if e.at > now {
			break
		}
		s.queue.remove(e)
		e.to.fire(e.kind, now)
		if s.virtual {
			break
		}
	}
	s.pumping = false
	s.arm(now)
	after := s.unlocked
	s.unlocked = nil
	s.mu.Unlock()
	if after != nil {
		after()
	}
}
