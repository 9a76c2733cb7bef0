package upstream

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/wavepool/wavepool/lb"
)

// How a group changes under load.
//
// Indexes are what picker, judge, queue and the attempts know backends by, so one that stays keeps its index, and
// nothing has to be translated for the requests under way. Each operation changes the group in one section under the
// lock; what follows from it for waiters and goroutines comes after, one instant each.

// operationEvent tells of an operation on a backend.
func (u *Upstream) operationEvent(b *backend, op Operation, detail string) {
	u.tell(b, Event{At: u.Now(), Kind: KindOperation, Reason: op.String(), Detail: detail})
}

// AddBackend adds a backend at work. It starts as those of the first configuration do: up, until evidence says otherwise; but
// slowly, where there is a SlowStart. The error is ErrClosed, ErrKnownBackend, ErrBadWeight or says what is wrong with the
// address or the priority.
func (u *Upstream) AddBackend(cfg Backend) error {
	err := u.addBackend(cfg)
	u.rebuild()
	return err
}

func (u *Upstream) addBackend(cfg Backend) error {
	u.mu.Lock()
	b, begin, err := u.admitMemberLocked(cfg)
	u.mu.Unlock()
	if err != nil {
		return err
	}
	u.operationEvent(b, OpAdd, "weight "+strconv.Itoa(b.weight))
	u.resettle() // nothing is kept ready in the reserve
	begin()
	u.panicked()
	u.serve(b) // whoever found no room before may find it here
	return nil
}

// admitMemberLocked makes a newcomer a member; begin starts what it has of its own.
func (u *Upstream) admitMemberLocked(cfg Backend) (b *backend, begin func(), err error) {
	if u.closed {
		return nil, nil, ErrClosed
	}
	if u.findLocked(cfg.Address) != nil {
		return nil, nil, fmt.Errorf("upstream %s: backend %s: %w", u.cfg.Name, cfg.Address, ErrKnownBackend)
	}
	if cfg.Weight < 0 || cfg.Weight > lb.MaxWeight {
		return nil, nil, fmt.Errorf("upstream %s: weight %d: %w", u.cfg.Name, cfg.Weight, ErrBadWeight)
	}
	if cfg.Priority < 0 || cfg.Priority > MaxPriority {
		return nil, nil, fmt.Errorf("upstream %s: priority %d is not between 0 and %d", u.cfg.Name, cfg.Priority, MaxPriority)
	}
	if b, err = u.joinLocked(cfg); err != nil {
		return nil, nil, err
	}
	if u.chooseLocked(); !u.started {
		return b, func() {}, nil
	}
	checks := u.watchLocked(b)
	return b, func() {
		b.pool.Warm()
		checks()
	}, nil
}

// findLocked returns the member of that address, or nil. One that is leaving is none any more.
func (u *Upstream) findLocked(address string) *backend {
	for _, b := range u.members {
		if b.address == address && !b.leaving {
			return b
		}
	}
	return nil
}

// memberLocked is findLocked with an error for none.
func (u *Upstream) memberLocked(address string) (*backend, error) {
	if u.closed {
		return nil, ErrClosed
	}
	if b := u.findLocked(address); b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("upstream %s: backend %s: %w", u.cfg.Name, address, ErrUnknownBackend)
}

// Members are the backends of the group as it is now, without those that are leaving.
func (u *Upstream) Members() []Backend {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.backendsLocked()
}

// RemoveBackend takes a backend out of the group. It gets nothing new from the moment of the call on; waiters that
// counted on it go elsewhere; what it has lent comes back first. What has not come back within the given time is cut off:
// the connections are closed, and a request on one of them may be repeated elsewhere by the rules for a broken
// connection. RemoveBackend does not wait for that; the event KindGone tells it. The error is ErrClosed,
// ErrUnknownBackend or ErrLastBackend.
func (u *Upstream) RemoveBackend(address string, within time.Duration) error {
	u.mu.Lock()
	b, err := u.memberLocked(address)
	if err == nil && u.judge.Size() == 1 {
		err = fmt.Errorf("upstream %s: backend %s: %w", u.cfg.Name, address, ErrLastBackend)
	}
	if err != nil {
		u.mu.Unlock()
		return err
	}
	b.leaving, b.life.now = true, nil
	loose := u.loosenLocked(b)
	u.members = append(slices.DeleteFunc(u.members, func(m *backend) bool { return m == b }), b)
	u.picker.SetAvailable(b.index, false)
	u.chooseLocked() // who takes its place does so before it goes, lest the group is smaller for a moment, and lets in who is ejected
	verdicts := u.verdictsLocked(u.judge.Remove(u.Now(), b.index))
	u.settleZonesLocked()
	stops := b.stopsLocked()
	u.work.Add(1)
	u.mu.Unlock()
	u.operationEvent(b, OpRemove, "")
	for _, stop := range stops {
		rest := apart(u.clk)
		stop()
		rest()
	}
	u.resettle()
	u.allChanged(verdicts)
	u.rehome(b)
	for _, w := range loose {
		u.place(w)
	}
	u.clk.AfterFunc(0, func() {
		defer u.work.Done()
		u.empty(b, within)
	})
	return nil
}

// empty waits for what a backend has lent, and then lets it go.
func (u *Upstream) empty(b *backend, within time.Duration) {
	u.mu.Lock()
	var limit interface{ Stop() bool }
	if !u.closed { // otherwise whoever closes cuts off
		u.work.Add(1)
		limit = u.clk.AfterFunc(max(within, 0), func() {
			defer u.work.Done()
			b.pool.Cut()
		})
	}
	u.mu.Unlock()
	b.pool.Close()
	if limit != nil && limit.Stop() {
		u.work.Done()
	}
	u.mu.Lock()
	b.emptied = true
	u.vacateLocked(b)
	u.mu.Unlock()
	u.tell(b, Event{At: u.Now(), Kind: KindGone, Reason: OpRemove.String()})
}

// vacateLocked frees the index of an emptied backend once no request is counted there any more.
func (u *Upstream) vacateLocked(b *backend) {
	if b.gone || u.picker.InFlight(b.index) > 0 {
		return
	}
	b.gone = true
	u.removed.Add(&BackendStats{
		Outcomes: b.outcomes, Checks: b.checked, ChecksPassed: b.checkPassed, Pool: b.pool.Stats(),
	})
	u.picker.Remove(b.index)
	if u.queue.byKey && !u.closed {
		u.work.Add(1)
		u.clk.AfterFunc(0, func() {
			defer u.work.Done()
			u.rebuild()
		})
	}
	u.backends[b.index] = nil
	u.members = slices.DeleteFunc(u.members, func(m *backend) bool { return m == b })
}

// doneLocked ends one request in flight at index i.
func (u *Upstream) doneLocked(i int, o lb.Outcome, took time.Duration) {
	u.picker.Done(i, o, took)
	b := u.backends[i]
	if b.limited {
		u.leftLocked(b, o)
	}
	if b.emptied {
		u.vacateLocked(b)
	}
}

// DrainBackend lets a backend have nothing new: what is under way there goes on, tunnels included, and so do sessions
// (Attempt.Prefer); its idle connections are closed, and checks go on. Waiters that counted on it go elsewhere; where no other backend is available they fail
// with ErrNoBackend. It may be drained already. The error is ErrClosed or ErrUnknownBackend.
func (u *Upstream) DrainBackend(address string) error {
	b, err := u.turn(address, OpDrain)
	if err == nil {
		b.pool.Retire()
	}
	return err
}

// UndrainBackend ends what DrainBackend began; a backend that is down or ejected comes back when health says so. The
// error is ErrClosed or ErrUnknownBackend.
func (u *Upstream) UndrainBackend(address string) error {
	_, err := u.turn(address, OpUndrain)
	return err
}

// turn drains a backend, or ends that.
func (u *Upstream) turn(address string, op Operation) (*backend, error) {
	u.mu.Lock()
	b, err := u.memberLocked(address)
	if err != nil {
		u.mu.Unlock()
		return nil, err
	}
	turn := u.judge.Drain
	if op == OpUndrain {
		turn = u.judge.Undrain
	}
	ch, changed := turn(u.Now(), b.index)
	if changed {
		u.applyLocked(ch)
	}
	u.admittedLocked(b)
	if !changed {
		u.panicLocked() // it is a share of fewer, or of more
	}
	turned := u.panicTurned
	u.mu.Unlock()
	u.operationEvent(b, op, "")
	u.adjust(b)
	if changed {
		u.changed(b, ch)
	} else if turned {
		u.panicked()
	}
	return b, nil
}

// SetWeight changes the weight of a backend, 1 to lb.MaxWeight, from the next pick on. The error is ErrClosed,
// ErrUnknownBackend or ErrBadWeight.
func (u *Upstream) SetWeight(address string, weight int) error {
	err := u.setWeight(address, weight)
	u.rebuild()
	return err
}

func (u *Upstream) setWeight(address string, weight int) error {
	if weight < 1 || weight > lb.MaxWeight {
		return fmt.Errorf("upstream %s: weight %d: %w", u.cfg.Name, weight, ErrBadWeight)
	}
	u.mu.Lock()
	b, err := u.memberLocked(address)
	was := 0
	if err == nil {
		was, b.weight = b.weight, weight
		u.picker.SetWeight(b.index, u.weightLocked(b))
		u.rescaleLocked(false)
		u.settleZonesLocked()
	}
	u.mu.Unlock()
	if err != nil {
		return err
	}
	u.operationEvent(b, OpReweight, fmt.Sprintf("%d instead of %d", weight, was))
	return nil
}

// move puts a backend into another tier or zone, from the next pick on.
func (u *Upstream) move(to Backend) error {
	u.mu.Lock()
	b, err := u.memberLocked(to.Address)
	var was Backend
	if err == nil {
		was = Backend{Priority: b.tier, Zone: b.zone}
		b.tier, b.zone = to.Priority, to.Zone
		u.rankAnewLocked(b)
		u.settleZonesLocked()
		u.chooseLocked()
	}
	u.mu.Unlock()
	if err != nil {
		return err
	}
	u.resettle()
	u.panicked()
	if to.Priority != was.Priority {
		u.operationEvent(b, OpReweight, fmt.Sprintf("priority %d instead of %d", to.Priority, was.Priority))
	}
	if to.Zone != was.Zone {
		u.operationEvent(b, OpReweight, fmt.Sprintf("zone %q instead of %q", to.Zone, was.Zone))
	}
	u.serve(b) // whoever was not to have a connection of it may have one now
	return nil
}

// rebuild makes the table anew by which the picker chooses, if it has one and the backends have changed. That takes
// milliseconds, for which nobody waits: requests are picked by the old one meanwhile.
func (u *Upstream) rebuild() {
	for {
		u.mu.Lock()
		picker := u.picker
		build := picker.Rebuild()
		u.mu.Unlock()
		if build == nil {
			return
		}
		install := build()
		u.mu.Lock()
		if picker == u.picker {
			install()
		}
		u.mu.Unlock()
	}
}

// backendsLocked are the members as a configuration has them.
func (u *Upstream) backendsLocked() []Backend {
	var all []Backend
	for _, b := range u.members {
		if !b.leaving {
			all = append(all, Backend{Address: b.address, Weight: b.weight, Priority: b.tier, Zone: b.zone})
		}
	}
	return all
}
