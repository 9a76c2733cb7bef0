package pool

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// panicText is what a misuse says; empty when it is none.
func panicText(misuse func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	misuse()
	return ""
}

// hasty gives back what another one has given back before.
//
//go:noinline
func hasty(c Conn) { c.Release() }

// line is the line of its caller, moved by off.
func line(off int) string {
	_, file, at, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d\n", file, at+off)
}

func TestConnectionPoolTheSecondReleaseNamesThePlaceOfTheFirst(t *testing.T) {
	inBubble(t, Config{LeakAfter: time.Hour}, func(t *testing.T, p *Pool, f *fakeNet) {
		c := lend(t, p)
		hasty(c)
		for range 2 {
			text := panicText(func() { c.Release() })
			require.Contains(t, text, "its loan ended before, here:")
			require.Contains(t, text, "pool.hasty")
			require.Contains(t, text, "TestConnectionPoolTheSecondReleaseNamesThePlaceOfTheFirst", "the whole stack")
		}
		gone := lend(t, p)
		gone.Discard(ReasonBroken)
		require.Contains(t, panicText(func() { gone.Take() }), "TestConnectionPoolTheSecondReleaseNamesThePlaceOfTheFirst")
	})
}

// Without LeakAfter one line is known, where the machine has a cheap way to it.
func TestConnectionPoolTheSecondReleaseNamesTheLineOfTheFirstAlsoWithoutLeakAfter(t *testing.T) {
	if callersPlace() == 0 {
		t.Skip("this machine has no cheap look at the caller")
	}
	for _, cfg := range []Config{{}, {MaxIdle: 1}, {MaxUses: 1}} { // under a shard's lock, under the pool's, and at its end
		inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
			ends := map[string]func(Conn) string{
				"Release":    func(c Conn) string { c.Release(); return line(0) },
				"ReleaseAt":  func(c Conn) string { c.ReleaseAt(now(p)); return line(0) },
				"ReleaseAll": func(c Conn) string { ReleaseAll([]Conn{c}); return line(0) },
				"Discard":    func(c Conn) string { c.Discard(ReasonBroken); return line(0) },
				"Take":       func(c Conn) string { _ = c.Take().Close(); return line(0) },
				"deferred":   func(c Conn) string { defer c.Release(); return line(0) },
			}
			for name, end := range ends {
				c := lend(t, p)
				where := end(c)
				text := panicText(func() { c.Discard(ReasonBroken) })
				require.Contains(t, text, "its loan ended before, here:\n", name)
				require.Contains(t, text, where, name)
			}
			c := lend(t, p)
			hasty(c)
			require.Contains(t, panicText(func() { c.ReleaseAt(now(p)) }), "pool.hasty\n\t")
		})
	}
}

// The place of a later loan's end is never shown for that of an earlier one.
func TestConnectionPoolAPlaceIsNotTakenForThatOfAnEarlierLoan(t *testing.T) {
	for _, cfg := range []Config{{}, {LeakAfter: time.Hour}} {
		inBubble(t, cfg, func(t *testing.T, p *Pool, f *fakeNet) {
			c := lend(t, p)
			c.Release()
			later := lend(t, p)
			text := panicText(func() { c.Release() })
			require.NotContains(t, text, "overwritten", "the later loan has not ended")
			hasty(later)
			text = panicText(func() { c.Release() })
			require.Contains(t, text, "its loan ended before (the place where has been overwritten by a later loan's)")
			require.NotContains(t, text, "hasty")
			require.Contains(t, panicText(func() { Conn{}.Release() }), "zero Conn")
		})
	}
}

func TestConnectionPoolNoPlaceReadsAsNothing(t *testing.T) {
	require.Empty(t, place(0).String())
}
