package proxy

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A dumb model: a list of the connections that are open.
func TestSourcesAreCountedWithoutLeak(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s sources
		var open []netip.Addr
		told := map[netip.Addr]bool{}
		count := func(a netip.Addr) (n int) {
			for _, x := range open {
				if x == a {
					n++
				}
			}
			return n
		}
		addr := rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::"})
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				from := sourceOf(netip.MustParseAddr(addr.Draw(t, "address")))
				limit := rapid.IntRange(1, 3).Draw(t, "limit") // which a reload may change
				ok, news := s.enter(from, limit)
				require.Equal(t, count(from) < limit, ok)
				require.Equal(t, !ok && !told[from], news)
				told[from] = !ok
				if ok {
					open = append(open, from)
				}
			},
			"leave": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nobody is here")
				}
				i := rapid.IntRange(0, len(open)-1).Draw(t, "who")
				from := open[i]
				open = append(open[:i], open[i+1:]...)
				told[from] = false
				s.leave(from)
			},
			"": func(t *rapid.T) {
				sum := 0
				for from, c := range s.open {
					require.Equal(t, count(from), c.n)
					require.Positive(t, c.n, "an empty entry is a leak")
					sum += c.n
				}
				require.Equal(t, len(open), sum)
			},
		})
	})
}

func TestASourceIsAnIPv4AddressOrAnIPv6SubscribersNetwork(t *testing.T) {
	for a, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.0.2.2": "192.0.2.2", "2001:db8:0:1::1": "2001:db8:0:1::",
		"2001:db8:0:1:ffff:ffff:ffff:ffff": "2001:db8:0:1::", "2001:db8:0:2::1": "2001:db8:0:2::",
	} {
		require.Equal(t, want, sourceOf(netip.MustParseAddr(a)).String())
	}
}

func TestReplacingWithinAHeadKeepsWhatIsAround(t *testing.T) {
	for _, s := range []string{"", "x", "old", "longer", "much longer than the rest of all of it together is"} {
		for _, room := range []int{0, 100} {
			b := append(make([]byte, 0, 12+room), "before<old>a"...)
			require.Equal(t, "before<"+s+">a", string(replaceAt(b, 7, 3, s)))
		}
	}
}
