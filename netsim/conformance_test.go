package netsim

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// realPair makes two joined connections on the real clock.
func realPair(cfg Config) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		s := New(cfg)
		l, err := s.Host("server", "10.0.0.1").Listen(context.Background(), "tcp", ":80")
		if err != nil {
			return nil, nil, nil, err
		}
		if c1, err = s.Host("client", "10.0.0.2").DialContext(context.Background(), "tcp", "server:80"); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, s.Close, nil
	}
}

func TestConnPassesNettestOnTheRealClock(t *testing.T) {
	nettest.TestConn(t, realPair(Config{}))
}

func TestConnPassesNettestOverASlowLink(t *testing.T) {
	nettest.TestConn(t, realPair(Config{Latency: 100 * time.Microsecond, Jitter: 100 * time.Microsecond}))
}
