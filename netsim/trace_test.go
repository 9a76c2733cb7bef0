package netsim

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tell records events in the given order, all in one instant for each group.
func tell(groups ...[]string) *Trace {
	r := &recorder{keep: true}
	actors := map[string]*actor{}
	for i, group := range groups {
		for _, e := range group {
			name, kind, _ := strings.Cut(e, " ")
			if actors[name] == nil {
				a := newActor(name)
				actors[name] = &a
			}
			r.add(int64(i), actors[name], kind, "", 0)
		}
	}
	return r.snapshot()
}

func TestTheOrderOfActorsWithinAnInstantDoesNotMatter(t *testing.T) {
	a := tell([]string{"x 1", "y 2", "x 3", "z 4"}, []string{"x 5"})
	b := tell([]string{"z 4", "x 1", "x 3", "y 2"}, []string{"x 5"})
	require.Equal(t, a, b)
	require.Empty(t, Diff(a, b))
	var kinds []string
	for _, e := range a.Events {
		kinds = append(kinds, e.Kind)
	}
	require.Equal(t, []string{"1", "3", "2", "4", "5"}, kinds)
}

func TestTheHashKnowsEveryFieldOfAnEvent(t *testing.T) {
	base := record{a: &actor{name: "a", hash: 1}, at: 1, seq: 1, n: 1, kind: "k", detail: "d"}
	hashes := map[uint64]bool{foldRecord(0, &base): true}
	for _, change := range []func(r *record){
		func(r *record) { r.a = &actor{name: "b", hash: 2} }, func(r *record) { r.at++ }, func(r *record) { r.seq++ },
		func(r *record) { r.n++ }, func(r *record) { r.kind = "K" }, func(r *record) { r.detail = "D" },
		func(r *record) { r.detail = "" },
	} {
		r := base
		change(&r)
		hashes[foldRecord(0, &r)] = true
	}
	require.Len(t, hashes, 8)
}

func TestDiffNamesTheFirstDifference(t *testing.T) {
	a := tell([]string{"x 1"}, []string{"x 2"})
	require.Contains(t, Diff(a, tell([]string{"x 1"}, []string{"x 3"})), "event 2 differs:\n  a: 1ns x#2 2\n  b: 1ns x#2 3")
	require.Contains(t, Diff(a, tell([]string{"x 1"})), "event 2 is only in a")
	require.Contains(t, Diff(tell([]string{"x 1"}), a), "event 2 is only in b")
	require.Contains(t, Diff(&Trace{Hash: 1}, &Trace{Hash: 2}), "before the events that were kept")
}

func TestOnlyTheLastEventsAreKeptUnlessAskedOtherwise(t *testing.T) {
	run := func(keep bool) Result {
		return Run(Config{KeepTrace: keep, LastEvents: 5}, func(s *Sim) {
			for range 100 {
				s.Clock().Sleep(time.Second)
				s.Note("a", "tick", "")
			}
		})
	}
	all, last := run(true), run(false)
	require.Equal(t, all.Hash, last.Hash, "what is kept does not change the hash")
	require.Len(t, all.Trace.Events, 100)
	require.Equal(t, all.Trace.Events[95:], last.Trace.Events[len(last.Trace.Events)-5:])
	require.EqualValues(t, 100, last.Events)
}

func TestTextHasOneLineForEachEventAndTheHash(t *testing.T) {
	var b strings.Builder
	tr := &Trace{Total: 2, Hash: 0xab, Events: []Event{{At: 1500, Actor: "a", Seq: 1, Kind: "send", N: 7},
		{At: int64(time.Second), Actor: "b", Seq: 3, Kind: "note", Detail: "x y"}}}
	require.NoError(t, tr.WriteText(&b))
	require.Equal(t, "1.5µs a#1 send 7\n1s b#3 note x y\n2 events, hash 00000000000000ab\n", b.String())
}

func TestStreamsDependOnSeedAndNameOnly(t *testing.T) {
	draw := func(seed uint64, names ...string) (out []uint64) {
		s := New(Config{Seed: seed})
		defer s.Close()
		for _, n := range names {
			out = append(out, s.Rand(n).Uint64())
		}
		return out
	}
	a := draw(1, "x", "y", "x")
	require.Equal(t, a[0], a[2], "a stream starts anew each time it is asked for")
	require.NotEqual(t, a[0], a[1])
	require.Equal(t, a[1], draw(1, "y")[0], "and does not know of others")
	require.NotEqual(t, a[0], draw(2, "x")[0])
}

func TestConfigRefusesNegativeNumbers(t *testing.T) {
	for _, cfg := range []Config{{Latency: -1}, {Jitter: -1}, {RTO: -1}, {SendBuffer: -1}, {Backlog: -1}, {Retries: -1}} {
		require.Panics(t, func() { New(cfg) })
	}
	s := New(Config{})
	defer s.Close()
	for _, l := range []Link{{Latency: -1}, {Jitter: -1}, {Loss: -0.1}, {Loss: 1.1}, {Bandwidth: -1}} {
		require.Panics(t, func() { s.SetLink("*", "*", l) })
	}
}
