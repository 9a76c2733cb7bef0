package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// keepsAlive answers each request of a connection with the next text, and leaves when there is none.
func keepsAlive(text func(request int) string) func(net.Conn) {
	return func(conn net.Conn) {
		for n := 1; ; n++ {
			if _, err := readRequest(conn); err != nil {
				return
			}
			s := text(n)
			if _, err := io.WriteString(conn, s); err != nil || s == "" {
				return
			}
		}
	}
}

func kept() Schedule {
	return Schedule{Spread: -1, Interval: time.Second, Timeout: time.Second, Reuse: true}
}

func TestEveryFourthCheckIsMadeOnAFreshConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: keepsAlive(func(int) string { return sized("ok") })}
		notes := runFor(t, 11500*time.Millisecond, kept(), mustHTTP(t, network, HTTPConfig{}))
		require.Len(t, notes, 12)
		for _, n := range notes {
			require.NoError(t, n.err)
		}
		require.EqualValues(t, 3, network.dialed.Load())
		network.settle(t)
	})
}

func TestWithoutReuseEachCheckHasAConnectionOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: keepsAlive(func(int) string { return sized("ok") })}
		s := kept()
		s.Reuse = false
		require.Len(t, runFor(t, 5500*time.Millisecond, s, mustHTTP(t, network, HTTPConfig{})), 6)
		require.EqualValues(t, 6, network.dialed.Load())
		network.settle(t)
	})
}

// A kept connection that has died, or of which nothing is heard any more, is no evidence against the backend.
func TestADeadKeptConnectionIsFollowedByAFreshOneAtOnce(t *testing.T) {
	silence := func(conn net.Conn) {
		if _, err := readRequest(conn); err == nil {
			_, _ = io.WriteString(conn, sized("ok"))
			_, _ = io.Copy(io.Discard, conn)
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		after time.Duration // that a check takes on a dead connection
	}{
		"closed after each answer": {keepsAlive(func(n int) string { return []string{"", sized("ok"), ""}[n] }), 0},
		"silent after one":         {silence, time.Second},
		"malformed after one": {keepsAlive(func(n int) string {
			if n == 1 {
				return sized("ok")
			}
			return "nonsense\r\n\r\n"
		}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: c.serve}
				s := kept()
				s.Interval = 5 * time.Second
				notes := runFor(t, 18*time.Second, s, mustHTTP(t, network, HTTPConfig{}))
				require.Equal(t, []note{{0, nil}, {5*time.Second + c.after, nil}, {10*time.Second + c.after, nil},
					{15*time.Second + c.after, nil}}, notes)
				require.EqualValues(t, 4, network.dialed.Load(), "each check has found the kept one dead")
				network.settle(t)
			})
		})
	}
}

func TestAnAnswerOnAKeptConnectionCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: keepsAlive(func(n int) string {
			if n == 2 {
				return "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
			}
			return sized("ok")
		})}
		notes := runFor(t, 3500*time.Millisecond, kept(), mustHTTP(t, network, HTTPConfig{}))
		require.Len(t, notes, 4)
		requireKind(t, BadStatus, notes[1].err)
		require.NoError(t, notes[2].err)
		require.EqualValues(t, 1, network.dialed.Load())
		network.settle(t)
	})
}

func TestAConnectionIsKeptOnlyBehindAWholeAnswer(t *testing.T) {
	for name, answer := range map[string]string{
		"that asks to close":      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		"with bytes behind it":    sized("ok") + "x",
		"of the old protocol":     "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"that is upgraded":        "HTTP/1.1 200 OK\r\n\r\n",
		"whose body is very long": sized(string(make([]byte, MaxHTTPBody+1))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: func(conn net.Conn) {
					if _, err := readRequest(conn); err == nil {
						_, _ = io.WriteString(conn, answer)
					}
				}}
				notes := runFor(t, 3500*time.Millisecond, kept(), mustHTTP(t, network, HTTPConfig{}))
				require.Len(t, notes, 4)
				for _, n := range notes {
					require.NoError(t, n.err)
				}
				require.EqualValues(t, 4, network.dialed.Load())
				network.settle(t)
			})
		})
	}
}

func TestABackendThatRefusesConnectionsIsFoundByTheFourthCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: keepsAlive(func(int) string { return sized("ok") })}
		refuses := false
		d := dialFunc(func(ctx context.Context) (net.Conn, error) {
			if refuses {
				return nil, errors.New("refused")
			}
			refuses = true
			return network.DialContext(ctx, "tcp", address)
		})
		notes := runFor(t, 4500*time.Millisecond, kept(), mustHTTP(t, d, HTTPConfig{}))
		require.Len(t, notes, 5)
		for _, n := range notes[:4] {
			require.NoError(t, n.err)
		}
		requireKind(t, Connect, notes[4].err)
		network.settle(t)
	})
}

func TestReuseChangesNothingForOtherKindsOfChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }}
		require.Len(t, runFor(t, 2500*time.Millisecond, kept(), TCP(network)), 3)
		require.EqualValues(t, 3, network.dialed.Load())
		network.settle(t)
	})
}

// renewed counts how often a connection was made ready again.
type renewed struct {
	net.Conn
	times *int
	err   error
}

func (r renewed) Renew() error { *r.times++; return r.err }

func TestAConnectionThatStandsForOneExchangeIsMadeReadyForEach(t *testing.T) {
	for _, err := range []error{nil, errors.New("no more")} {
		synctest.Test(t, func(t *testing.T) {
			network := &fakeNet{serve: keepsAlive(func(int) string { return sized("ok") })}
			times := 0
			d := dialFunc(func(ctx context.Context) (net.Conn, error) {
				conn, _ := network.DialContext(ctx, "tcp", address)
				return renewed{conn, &times, err}, nil
			})
			require.Len(t, runFor(t, 3500*time.Millisecond, kept(), mustHTTP(t, d, HTTPConfig{})), 4)
			require.Equal(t, 3, times)
			want := 1
			if err != nil {
				want = 4
			}
			require.EqualValues(t, want, network.dialed.Load())
			network.settle(t)
		})
	}
}

// RFC 9110 section 15.5.9: who closes a connection because nothing came may say so by a 408, which is no answer to the next request.
func TestA408OnAKeptConnectionIsTheEndOfThatAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: func(conn net.Conn) {
			if _, err := readRequest(conn); err == nil {
				_, _ = io.WriteString(conn, sized("ok"))
				time.Sleep(100 * time.Millisecond)
				go func() { _, _ = io.Copy(io.Discard, conn) }() // a pipe has no buffer, a socket has
				_, _ = io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			}
		}}
		notes := runFor(t, 3500*time.Millisecond, kept(), mustHTTP(t, network, HTTPConfig{}))
		require.Len(t, notes, 4)
		for _, n := range notes {
			require.NoError(t, n.err)
		}
		network.settle(t)
	})
}

func TestA408OnAFreshConnectionCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: answering("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")}
		for _, n := range runFor(t, 2500*time.Millisecond, kept(), mustHTTP(t, network, HTTPConfig{})) {
			requireKind(t, BadStatus, n.err)
		}
		network.settle(t)
	})
}

// peeked is a connection that says by itself what waits on it.
type peeked struct {
	net.Conn
	n   int
	err error
}

func (p peeked) Peek([]byte) (int, error) { return p.n, p.err }

func TestAKeptConnectionIsLookedAtBeforeItIsUsedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		n     int
		err   error
		dials int // of six checks
	}{
		"nothing": {0, nil, 2},
		"bytes":   {1, nil, 6},
		"the end": {0, io.EOF, 6},
		"broken":  {0, errors.New("reset"), 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: keepsAlive(func(int) string { return sized("ok") })}
				d := dialFunc(func(ctx context.Context) (net.Conn, error) {
					conn, err := network.DialContext(ctx, "tcp", address)
					return peeked{conn, c.n, c.err}, err
				})
				for _, n := range runFor(t, 5500*time.Millisecond, kept(), mustHTTP(t, d, HTTPConfig{})) {
					require.NoError(t, n.err)
				}
				require.EqualValues(t, c.dials, network.dialed.Load())
				network.settle(t)
			})
		})
	}
}

func TestABackendThatEndsKeptConnectionsAndTakesNoNewOnesIsFoundByTheNextCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: keepsAlive(func(int) string { return sized("ok") })}
		refuses := false
		d := dialFunc(func(ctx context.Context) (net.Conn, error) {
			if refuses {
				return nil, errors.New("refused")
			}
			refuses = true
			conn, err := network.DialContext(ctx, "tcp", address)
			return peeked{conn, 0, io.EOF}, err
		})
		notes := runFor(t, 1500*time.Millisecond, kept(), mustHTTP(t, d, HTTPConfig{}))
		require.Len(t, notes, 2)
		require.NoError(t, notes[0].err)
		requireKind(t, Connect, notes[1].err)
		network.settle(t)
	})
}
