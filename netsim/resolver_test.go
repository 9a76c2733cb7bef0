package netsim

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lookups is what code takes that resolves names; a *net.Resolver fits.
type lookups interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupIP(ctx context.Context, network, host string) ([]net.IP, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var (
	_ lookups = (*net.Resolver)(nil)
	_ lookups = (*Resolver)(nil)
)

var background = context.Background()

func TestTheResolverKnowsHostsRecordsAndAddresses(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		r := x.client.Resolver()
		x.SetDNS("web.example", "10.0.0.9", "10.0.0.2", "fd00::1")
		x.took(0, func() {
			for name, want := range map[string][]string{
				"server":       {"10.0.0.2"},
				"web.example":  {"10.0.0.9", "10.0.0.2", "fd00::1"},
				"WEB.example.": {"10.0.0.9", "10.0.0.2", "fd00::1"},
				"192.0.2.7":    {"192.0.2.7"},
				"localhost":    {"127.0.0.1"},
			} {
				got, err := r.LookupHost(background, name)
				require.NoError(t, err)
				require.Equal(t, want, got)
				ips, err := r.LookupIPAddr(background, name)
				require.NoError(t, err)
				require.Equal(t, want[0], ips[0].String())
				require.Len(t, ips, len(want))
			}
		})
		six, err := r.LookupNetIP(background, "ip6", "web.example")
		require.NoError(t, err)
		require.Equal(t, []netip.Addr{netip.MustParseAddr("fd00::1")}, six)
		four, err := r.LookupIP(background, "ip4", "web.example")
		require.NoError(t, err)
		require.Len(t, four, 2)
		_, err = r.LookupNetIP(background, "tcp", "server")
		require.Equal(t, net.UnknownNetworkError("tcp"), err)
		_, err = r.LookupIP(background, "ip6", "server")
		require.Equal(t, &net.AddrError{Err: "no suitable address found", Addr: "server"}, err)

		x.SetDNS("server", "10.0.0.77")
		got, err := r.LookupHost(background, "server")
		require.NoError(t, err)
		require.Equal(t, []string{"10.0.0.77"}, got, "a record goes before a host")
		x.SetDNS("server")
		got, err = r.LookupHost(background, "server")
		require.NoError(t, err)
		require.Equal(t, []string{"10.0.0.2"}, got)

		require.Panics(t, func() { x.SetDNS("", "10.0.0.1") })
		require.Panics(t, func() { x.SetDNS("10.0.0.1", "10.0.0.1") })
		require.Panics(t, func() { x.SetDNS("web", "not an address") })
		require.Panics(t, func() { x.SetDNSLatency(-1) })
		require.Panics(t, func() { x.ChangeDNS("web") })
	})
}

func TestTheResolversErrorsForBadNamesAreThoseOfTheNetPackage(t *testing.T) {
	var real net.Resolver
	inLab(t, Config{}, func(x *lab) {
		for _, name := range []string{"192.0.2.7", ""} { // what the real one decides without a name server
			got, err := x.client.Resolver().LookupHost(background, name)
			want, wantErr := real.LookupHost(background, name)
			require.Equal(t, want, got)
			require.Equal(t, wantErr, err)
			for _, network := range []string{"ip", "ip4", "ip6", "ip7"} {
				got, err := x.client.Resolver().LookupNetIP(background, network, name)
				want, wantErr := real.LookupNetIP(background, network, name)
				require.Equal(t, want, got)
				if network == "ip7" {
					require.ErrorAs(t, wantErr, new(net.UnknownNetworkError))
					require.ErrorAs(t, err, new(net.UnknownNetworkError))
					continue
				}
				require.Equal(t, wantErr, err, "%s %q", network, name)
			}
		}
		_, err := x.client.Resolver().LookupHost(background, "nobody.example")
		require.Equal(t, &net.DNSError{Err: "no such host", Name: "nobody.example", IsNotFound: true}, err)
	})
}

func TestALookupTakesItsLatencyAndEndsWithItsContext(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetDNSLatency(30 * ms)
		r := x.client.Resolver()
		x.took(30*ms, func() {
			_, err := r.LookupHost(background, "server")
			require.NoError(t, err)
		})
		x.took(32*ms, func() {
			_, err := x.dial()
			require.NoError(t, err)
		})
		ctx, cancel := x.Clock().WithTimeout(background, 10*ms)
		defer cancel()
		x.took(10*ms, func() {
			_, err := r.LookupHost(ctx, "server")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			want := &net.DNSError{Err: "i/o timeout", Name: "server", IsTimeout: true, IsTemporary: true,
				UnwrapErr: dialTimeout{}}
			require.Equal(t, want, err)
		})
		gone, stop := context.WithCancel(background)
		stop()
		_, err := r.LookupHost(gone, "server")
		require.Equal(t, &net.DNSError{Err: "operation was canceled", Name: "server", UnwrapErr: canceled{}}, err)
		_, err = x.client.DialContext(gone, "tcp", "server:80")
		wantOp(t, err, "dial", context.Canceled)

		x.Clock().AfterFunc(10*ms, x.client.Crash)
		x.took(10*ms, func() {
			_, err := r.LookupHost(background, "server")
			require.ErrorIs(t, err, net.ErrClosed)
		})
		_, err = r.LookupHost(background, "server")
		require.ErrorIs(t, err, ErrHostDown)
	})
}

func TestDNSFaultsAreErrorsAsTheNetPackageMakesThem(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetDNSLatency(ms)
		for _, c := range []struct {
			fault func() *Fault
			want  *net.DNSError
			took  time.Duration
		}{
			{func() *Fault { return x.FailDNS("server") },
				&net.DNSError{Err: "server misbehaving", IsTemporary: true}, ms},
			{func() *Fault { return x.NoSuchHost("SERVER.") },
				&net.DNSError{Err: "no such host", IsNotFound: true}, ms},
			{func() *Fault { return x.TimeoutDNS("*") },
				&net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}, 10 * time.Second},
		} {
			fault := c.fault()
			c.want.Name = "server"
			x.took(c.took, func() {
				_, err := x.client.Resolver().LookupHost(background, "server")
				require.Equal(t, c.want, err)
			})
			_, err := x.dial()
			require.Equal(t, &net.OpError{Op: "dial", Net: "tcp", Err: c.want}, err)
			x.write(x.a, "open connections do not mind")
			x.read(x.b, "open connections do not mind")
			fault.Stop()
			fault.Stop()
		}
		_, err := x.dial()
		require.NoError(t, err)
	})
}

func TestADNSServerThatComesBackAnswersTheSecondTry(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		fault := x.TimeoutDNS("server")
		x.Clock().AfterFunc(3*time.Second, fault.Stop)
		x.took(5*time.Second, func() {
			_, err := x.client.Resolver().LookupHost(background, "server")
			require.NoError(t, err)
		})
	})
}

func TestDNSAnswersChangeAndComeBack(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		other := x.Host("other", "10.0.0.3")
		x.SetDNS("web", "10.0.0.2")
		r := x.client.Resolver()
		require.Equal(t, []string{"10.0.0.2"}, must(r.LookupHost(background, "web")))
		fault := x.ChangeDNS("web", other.Addr(), "10.0.0.2")
		require.Equal(t, []string{"10.0.0.3", "10.0.0.2"}, must(r.LookupHost(background, "web")))
		fault.Stop()
		require.Equal(t, []string{"10.0.0.2"}, must(r.LookupHost(background, "web")))
		x.SetDNS("web", "10.0.0.3")
		require.Equal(t, []string{"10.0.0.3"}, must(r.LookupHost(background, "web")))
		require.Equal(t, "fault1:change-dns(web,10.0.0.3,10.0.0.2)", fault.Name())
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestADialByNameTriesTheAddressesInOrder(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.Host("down", "10.0.0.3")
		x.SetDNS("web", "10.0.0.3", "10.0.0.2")
		dial := func(ctx context.Context, network string) (net.Conn, error) {
			return x.client.DialContext(ctx, network, "web:80")
		}
		x.took(4*ms, func() { // refused by the first
			c, err := dial(background, "tcp")
			require.NoError(t, err)
			require.Equal(t, "10.0.0.2:80", c.RemoteAddr().String())
		})
		require.NoError(t, x.l.Close())
		_, err := dial(background, "tcp")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, "dial tcp 10.0.0.3:80: connect: connection refused", err.Error(), "the first error counts")
		_, err = dial(background, "tcp6")
		require.Equal(t, &net.OpError{Op: "dial", Net: "tcp6",
			Err: &net.AddrError{Err: "no suitable address found", Addr: "web"}}, err)
	})
}

func TestEachAddressOfADialGetsItsPartOfTheTime(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		x.SetDNS("web", "192.0.2.1", "192.0.2.2", "10.0.0.2")
		dial := func(d time.Duration) error {
			ctx, cancel := x.Clock().WithTimeout(background, d)
			defer cancel()
			_, err := x.client.DialContext(ctx, "tcp", "web:80")
			return err
		}
		x.took(8*time.Second+2*ms, func() { require.NoError(t, dial(12*time.Second)) }) // 12/3, then 8/2
		x.took(4*time.Second+2*ms, func() { require.NoError(t, dial(5*time.Second)) })  // never less than 2 s
		x.took(1*time.Second, func() { require.ErrorIs(t, dial(time.Second), context.DeadlineExceeded) })
	})
}

func TestLookupsRepeatExactlyAndWithoutLatencyLeaveNoTrace(t *testing.T) {
	run := func(latency time.Duration) Result {
		return Run(Config{Seed: 9, KeepTrace: true}, func(s *Sim) {
			s.SetDNSLatency(latency)
			h := s.Host("h", "")
			for i := range 50 {
				name := string(rune('a' + i%26))
				s.SetDNS(name, "10.0.0.1")
				s.Clock().AfterFunc(0, func() {
					_ = must(h.Resolver().LookupHost(background, name))
				})
			}
			s.Clock().Sleep(time.Second)
		})
	}
	require.Zero(t, run(0).Events)
	first := run(5 * ms)
	require.NoError(t, first.Err)
	require.EqualValues(t, 50, first.Events)
	require.True(t, slices.ContainsFunc(first.Trace.Events, func(e Event) bool { return e.Actor == "h?z" }))
	require.Equal(t, first.Hash, run(5*ms).Hash)
}

func TestACrashEndsLookupsOneByOneInTheOrderOfTheirAnswers(t *testing.T) {
	inLab(t, Config{KeepTrace: true}, func(x *lab) {
		for _, name := range []string{"c", "a", "b"} {
			x.SetDNS(name, "10.0.0.2")
			x.SetDNSLatency(time.Minute - x.Elapsed()/2)
			x.later(func() {
				_, err := x.client.Resolver().LookupHost(background, name)
				require.Equal(t, &net.DNSError{Err: net.ErrClosed.Error(), Name: name, UnwrapErr: net.ErrClosed}, err)
				x.Note(name, "ended", "")
			})
		}
		x.client.Crash()
		x.sleep(ms)
		order, last := "", int64(0)
		for _, e := range x.Trace().Events {
			if e.Kind == "ended" {
				require.Greater(t, e.At, last)
				order, last = order+e.Actor, e.At
			}
		}
		require.Equal(t, "cab", order)
	})
}

func TestOfSeveralDNSFaultsTheLastOneCountsButSilenceComesFirst(t *testing.T) {
	inLab(t, Config{}, func(x *lab) {
		look := func() string {
			_, err := x.client.Resolver().LookupHost(background, "server")
			if err != nil {
				return err.(*net.DNSError).Err
			}
			return ""
		}
		silent := x.TimeoutDNS("server")
		fails := x.FailDNS("*")
		none := x.NoSuchHost("server")
		changed := x.ChangeDNS("server", "10.0.0.9")
		require.Equal(t, "i/o timeout", look())
		silent.Stop()
		require.Empty(t, look())
		changed.Stop()
		require.Equal(t, "no such host", look())
		none.Stop()
		require.Equal(t, "server misbehaving", look())
		fails.Stop()
		require.Empty(t, look())
	})
}
