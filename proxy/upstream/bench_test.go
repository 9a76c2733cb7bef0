package upstream

import (
	"context"
	"testing"

	"github.com/wavepool/wavepool/pool"
)

// benchUpstream has three backends with an idle connection each; dials take no time.
func benchUpstream(b *testing.B) *Upstream {
	b.Helper()
	f := newFakeNet()
	for i := range 3 {
		f.setDelay(addr(i), 0)
	}
	u, err := New(Config{Name: "web", Backends: group(3), Dialer: f, Rand: seeded})
	if err != nil {
		b.Fatal(err)
	}
	ctx, a := context.Background(), &Attempt{}
	for range 12 {
		if err := u.Begin(ctx, a); err != nil {
			b.Fatal(err)
		}
		u.Finish(a, u.Now(), OutcomeAnswered, true, 0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return u
}

// Requests of many callers over eight backends, by the least in-flight: each finds another connection than the
// last one had.
func BenchmarkConnectionPoolManager(b *testing.B) {
	f := newFakeNet()
	for i := range 8 {
		f.setDelay(addr(i), 0)
	}
	u, err := New(Config{Name: "web", Backends: group(8), Dialer: f, Rand: seeded, Strategy: "least-connections",
		Pool: pool.Config{Shards: 4}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, attempts := context.Background(), make([]Attempt, 64)
	for i := range attempts {
		attempts[i].Shard = i % 4
		if err := u.Begin(ctx, &attempts[i]); err != nil {
			b.Fatal(err)
		}
	}
	for i := range attempts {
		u.Finish(&attempts[i], u.Now(), OutcomeAnswered, true, 0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		a := &attempts[i%len(attempts)]
		a.Reset()
		if err := u.Begin(ctx, a); err != nil {
			b.Fatal(err)
		}
		u.Finish(a, u.Now(), OutcomeAnswered, true, 0)
	}
	b.StopTimer()
	u.Close()
}

// Each attempt dials, as with backends that close after each answer.
func BenchmarkConnectionPoolManagerWithoutReuse(b *testing.B) {
	u := benchUpstream(b)
	ctx, a := context.Background(), &Attempt{}
	for range b.N {
		a.Reset()
		if err := u.Begin(ctx, a); err != nil {
			b.Fatal(err)
		}
		u.Finish(a, u.Now(), OutcomeAnswered, false, pool.ReasonNotReusable)
	}
	b.StopTimer()
	u.Close()
}

func BenchmarkConnectionPoolManagerWithReuse(b *testing.B) {
	u := benchUpstream(b)
	ctx, a := context.Background(), &Attempt{}
	for range b.N {
		a.Reset()
		if err := u.Begin(ctx, a); err != nil {
			b.Fatal(err)
		}
		u.Finish(a, u.Now(), OutcomeAnswered, true, 0)
	}
	b.StopTimer()
	u.Close()
}

// As above, from several goroutines that share the upstream.
func BenchmarkConnectionPoolManagerWithReuseParallel(b *testing.B) {
	u := benchUpstream(b)
	b.RunParallel(func(pb *testing.PB) {
		ctx, a := context.Background(), &Attempt{}
		for pb.Next() {
			a.Reset()
			if err := u.Begin(ctx, a); err != nil {
				b.Error(err)
				return
			}
			u.Finish(a, u.Now(), OutcomeAnswered, true, 0)
		}
	})
	b.StopTimer()
	u.Close()
}

// One after the other is served by a backend while many wait for another one, which alone may serve them.
func BenchmarkConnectionPoolManagerPastThoseWhoWaitForAnother(b *testing.B) {
	u, err := New(Config{Name: "web", Backends: group(2), Rand: seeded, MaxWaiting: 5001, MaxWaitingPerBackend: 5000})
	if err != nil {
		b.Fatal(err)
	}
	for range 5000 {
		u.queue.push(&waiter{ctx: context.Background(), a: &Attempt{}, pick: noPick, only: 0})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		w := &waiter{ctx: context.Background(), a: &Attempt{}, pick: noPick, only: noPick}
		u.queue.push(w)
		if u.queue.firstFor(1) != w {
			b.Fatal("somebody else")
		}
		u.queue.remove(w)
	}
}

// Where the queue is full, and those who wait are bound to thousands of backends, the one that gives way is found at once.
func BenchmarkConnectionPoolManagerWhoGivesWay(b *testing.B) {
	const backends = 10000
	u, err := New(Config{Name: "web", Backends: group(backends), Rand: seeded})
	if err != nil {
		b.Fatal(err)
	}
	for i := range backends {
		u.queue.push(&waiter{ctx: context.Background(), a: &Attempt{Class: ClassLow}, pick: noPick, only: i})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		w := u.queue.lastBelow(ClassNormal)
		u.queue.remove(w)
		u.queue.push(w)
	}
}
