package upstream

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// dumbWaiter is what the dumb queue knows of one.
type dumbWaiter struct {
	w          *waiter
	class      int
	pick, only int
	key        bool
	anywhere   bool
}

// dumbQueue is the order of service in its plainest form: one list of who came when, looked through from its beginning for everything,
// and how often each class was passed over.
type dumbQueue struct {
	all    []*dumbWaiter
	passed [NumClasses]int
	at     [queueBackends][NumClasses]int // how often each backend passed over those of a class who are bound to it
	byKey  bool
	most   int
	over   int // those who found their share taken
}

// bound is the backend that alone may serve a waiter, or noPick.
func (d *dumbQueue) bound(x *dumbWaiter) int {
	if x.only != noPick {
		return x.only
	}
	if d.byKey && x.key && !x.anywhere {
		return x.pick
	}
	return noPick
}

// boundTo counts those, but for one.
func (d *dumbQueue) boundTo(i int, but *dumbWaiter) (n int) {
	for _, x := range d.all {
		if x != but && d.bound(x) == i {
			n++
		}
	}
	return n
}

// settle has a waiter go anywhere whose key has just bound it to a backend where there is no place. It was bound to another before.
func (d *dumbQueue) settle(x *dumbWaiter, was int) {
	if now := d.bound(x); now != noPick && now != was && x.only == noPick && d.boundTo(now, x) >= d.most {
		x.anywhere = true
		d.over++
	}
}

func (d *dumbQueue) may(x *dumbWaiter, i int) bool {
	b := d.bound(x)
	return b == noPick || b == i
}

// first is the first of a class whom a backend may serve; undialled: of those who count on no dial.
func (d *dumbQueue) first(of, i int, undialled bool) *dumbWaiter {
	for _, x := range d.all {
		if x.class == of && d.may(x, i) && (!undialled || x.pick == noPick) {
			return x
		}
	}
	return nil
}

func (d *dumbQueue) next(i int, undialled bool) *dumbWaiter {
	for of := range NumClasses {
		if x := d.first(of, i, undialled); x != nil && max(d.passed[of], d.at[i][of]) >= classTurn-1 {
			return x
		}
	}
	for of := range NumClasses {
		if x := d.first(of, i, undialled); x != nil {
			return x
		}
	}
	return nil
}

func (d *dumbQueue) served(x *dumbWaiter, i int) {
	for of := range NumClasses {
		switch {
		case of == x.class:
			d.passed[of], d.at[i][of] = 0, 0
		case of > x.class && d.first(of, i, false) != nil:
			d.passed[of]++
			d.at[i][of]++
		}
	}
	d.left(x)
}

func (d *dumbQueue) left(x *dumbWaiter) {
	d.all = slices.DeleteFunc(d.all, func(o *dumbWaiter) bool { return o == x })
	if !slices.ContainsFunc(d.all, func(o *dumbWaiter) bool { return o.class == x.class }) {
		d.passed[x.class] = 0
	}
}

// rest forgets how often classes were passed over of which nobody is bound to the backend.
func (d *dumbQueue) rest() {
	for i := range d.at {
		for of := range d.at[i] {
			if !slices.ContainsFunc(d.all, func(x *dumbWaiter) bool { return x.class == of && d.bound(x) == i }) {
				d.at[i][of] = 0
			}
		}
	}
}

// last is the last of the least urgent class below one, among those bound to a backend, or among all for noPick.
func (d *dumbQueue) last(below, i int) (last *dumbWaiter) {
	for _, x := range d.all {
		if x.class > below && (i == noPick || d.bound(x) == i) && (last == nil || x.class >= last.class) {
			last = x
		}
	}
	return last
}

func (x *dumbWaiter) waiter() *waiter {
	if x == nil {
		return nil
	}
	return x.w
}

// queuePair is the real queue and the dumb one, on which everything is done twice.
type queuePair struct {
	q     queue
	d     dumbQueue
	since [NumClasses]int // how often a class that waits was passed over by a backend that could have served it
}

const queueBackends = 3

func (p *queuePair) push(t *rapid.T) {
	x := &dumbWaiter{
		class: rapid.IntRange(0, NumClasses-1).Draw(t, "class"), pick: rapid.IntRange(noPick, queueBackends-1).Draw(t, "pick"), only: noPick,
		key: rapid.Bool().Draw(t, "key"),
	}
	a := &Attempt{Class: Classes()[x.class]}
	if x.key {
		a.Key = 1
	}
	x.w = &waiter{ctx: context.Background(), a: a, pick: x.pick, only: noPick}
	if want := max(x.pick, 0); rapid.Bool().Draw(t, "prefers") && p.d.boundTo(want, x) < p.d.most {
		x.only, x.w.only = want, want
	}
	p.d.all = append(p.d.all, x)
	p.d.settle(x, noPick)
	p.q.push(x.w)
}

// change does something to one waiter.
func (p *queuePair) change(t *rapid.T, do func(x *dumbWaiter)) {
	if len(p.d.all) > 0 {
		do(rapid.SampledFrom(p.d.all).Draw(t, "who"))
	}
}

func (p *queuePair) serve(t *rapid.T) {
	i := rapid.IntRange(0, queueBackends-1).Draw(t, "backend")
	x := p.d.next(i, false)
	if x == nil {
		return
	}
	for of := range p.since {
		if p.since[of]++; p.d.first(of, i, false) == nil {
			p.since[of]--
		}
	}
	p.q.took(x.w, i)
	p.q.remove(x.w)
	p.d.served(x, i)
	p.since[x.class] = 0
	p.rested()
	for of := range p.since {
		require.LessOrEqual(t, p.since[of], classTurn, "no class starves")
	}
}

// rested forgets how often classes were passed over that are empty.
func (p *queuePair) rested() {
	for of := range p.since {
		if !slices.ContainsFunc(p.d.all, func(x *dumbWaiter) bool { return x.class == of }) {
			p.since[of] = 0
		}
	}
}

func (p *queuePair) repick(t *rapid.T, x *dumbWaiter) {
	to := rapid.IntRange(noPick, queueBackends-1).Draw(t, "pick")
	if x.only != noPick && to != noPick {
		to = x.only
	}
	was := p.d.bound(x)
	x.pick = to
	p.d.settle(x, was)
	p.q.repick(x.w, to)
}

// chooseBy changes the strategy to one by key, or to another one.
func (p *queuePair) chooseBy(key bool) {
	if p.q.chooseBy(key); key == p.d.byKey {
		return
	}
	p.d.byKey = key
	for _, x := range p.d.all {
		x.anywhere = true
	}
}

func (p *queuePair) check(t *rapid.T) {
	q, d := &p.q, &p.d
	d.rest()
	require.Equal(t, len(d.all), q.n)
	require.EqualValues(t, d.over, q.overflowed)
	require.Same(t, p.dumbHead().waiter(), q.head())
	var all []*waiter
	for of := range NumClasses {
		for _, x := range d.all {
			if x.class == of {
				all = append(all, x.w)
			}
		}
	}
	require.Equal(t, all, slices.Collect(q.each()))
	var undialled int
	on := make([]int, queueBackends)
	for _, x := range d.all {
		require.Equal(t, d.bound(x), x.w.own)
		if x.pick == noPick {
			undialled++
		} else {
			on[x.pick]++
		}
	}
	require.Equal(t, undialled, q.undialled)
	require.Equal(t, on, q.on)
	for of := range q.classes {
		require.Equal(t, d.passed[of], q.classes[of].passed)
		require.Same(t, d.last(of, noPick).waiter(), q.lastBelow(Classes()[of]))
	}
	for i := range queueBackends {
		require.Equal(t, d.boundTo(i, nil), q.own[i].n)
		require.Equal(t, d.at[i], q.own[i].passed)
		require.Same(t, d.next(i, false).waiter(), q.firstFor(i))
		require.Same(t, d.next(i, true).waiter(), q.firstUndialledFor(i))
		require.Equal(t, d.next(i, true) != nil, q.wanted(i))
		first, last := p.counting(i)
		require.Same(t, first.waiter(), q.firstOn(i))
		require.Same(t, last.waiter(), q.lastOn(i))
		for of := range NumClasses {
			require.Same(t, d.last(of, i).waiter(), q.lastOwnBelow(i, Classes()[of]))
		}
		if x := d.next(i, false); x != nil && x.pick == noPick {
			require.Equal(t, d.behind(x, i), q.followed(x.w, i))
		}
	}
	for l := range q.every() {
		require.True(t, l.undialled > 0 || l.delay == delay{}, "it has been empty")
	}
}

// behind says whether a class has another one without a dial whom a backend may serve.
func (d *dumbQueue) behind(x *dumbWaiter, i int) bool {
	return slices.ContainsFunc(d.all, func(o *dumbWaiter) bool { return o != x && o.class == x.class && o.pick == noPick && d.may(o, i) })
}

func (p *queuePair) dumbHead() (head *dumbWaiter) {
	for _, x := range p.d.all {
		if head == nil || x.class < head.class {
			head = x
		}
	}
	return head
}

// counting are the first and the last of those who count on a backend.
func (p *queuePair) counting(i int) (first, last *dumbWaiter) {
	for _, x := range p.d.all {
		if x.pick != i {
			continue
		}
		if first == nil || x.class < first.class {
			first = x
		}
		if last == nil || x.class >= last.class {
			last = x
		}
	}
	return first, last
}

func TestConnectionPoolManagerServesLikeTheDumbQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &queuePair{
			q: queue{on: make([]int, queueBackends), tier: make([]int, queueBackends), own: make([]ownLines, queueBackends)},
		}
		share := func(n int) { p.q.most, p.d.most = n, n }
		share(rapid.IntRange(1, 5).Draw(t, "share"))
		p.chooseBy(rapid.Bool().Draw(t, "by key"))
		now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		t.Repeat(map[string]func(*rapid.T){
			"push":  p.push,
			"push2": p.push,
			"serve": p.serve,
			"share": func(t *rapid.T) { share(rapid.IntRange(1, 5).Draw(t, "share")) },
			"by key": func(t *rapid.T) {
				p.chooseBy(rapid.Bool().Draw(t, "by key"))
			},
			"leave": func(t *rapid.T) {
				p.change(t, func(x *dumbWaiter) {
					p.q.remove(x.w)
					p.d.left(x)
					p.rested()
				})
			},
			"repick": func(t *rapid.T) { p.change(t, func(x *dumbWaiter) { p.repick(t, x) }) },
			"loosen": func(t *rapid.T) {
				p.change(t, func(x *dumbWaiter) {
					was := p.d.bound(x)
					x.only = noPick
					p.d.settle(x, was)
					p.q.loosen(x.w, now)
				})
			},
			"make way": func(t *rapid.T) {
				i := rapid.IntRange(0, queueBackends-1).Draw(t, "backend")
				if x := p.d.last(0, i); x != nil {
					x.only, x.anywhere = noPick, true
					p.d.over++
					p.q.free(x.w, now)
				}
			},
			"": p.check,
		})
	})
}
