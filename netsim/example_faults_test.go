package netsim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/wavepool/wavepool/netsim"
)

// A service hangs for a while without closing anything: the kernel goes on, and the answer comes when the
// fault has ended.
func ExampleSim_Stall() {
	res := netsim.Run(netsim.Config{Seed: 1, Latency: time.Millisecond}, func(s *netsim.Sim) {
		ctx, server, client := context.Background(), s.Host("server", ""), s.Host("client", "")
		server.Go("service", func(ctx context.Context) {
			l, _ := server.Listen(ctx, "tcp", ":80")
			for {
				c, err := l.Accept()
				if err != nil {
					return // the host is down, or the simulation is over
				}
				_, _ = c.Write([]byte("hello"))
				_ = c.Close()
			}
		})
		s.Clock().Sleep(time.Second)

		hangs := s.Stall("server")
		s.Clock().AfterFunc(10*time.Second, hangs.Stop)
		c, err := client.DialContext(ctx, "tcp", "server:80")
		fmt.Println("dialled", err)
		b := make([]byte, 5)
		_, err = c.Read(b)
		fmt.Println(string(b), err, s.Elapsed().Round(time.Second))
		_ = c.Close()
	})
	fmt.Println(res.Err)
	// Output:
	// dialled <nil>
	// hello <nil> 11s
	// <nil>
}

// A name has two addresses, then its server fails, then it is silent.
func ExampleHost_Resolver() {
	res := netsim.Run(netsim.Config{}, func(s *netsim.Sim) {
		s.SetDNS("web.example", "10.0.0.1", "10.0.0.2")
		s.SetDNSLatency(20 * time.Millisecond)
		r := s.Host("client", "").Resolver()
		look := func() {
			start := s.Elapsed()
			addrs, err := r.LookupHost(context.Background(), "web.example")
			var dns *net.DNSError
			fmt.Println(addrs, err, errors.As(err, &dns) && dns.IsTimeout, (s.Elapsed() - start).Round(time.Millisecond))
		}
		look()
		fails := s.FailDNS("web.example")
		look()
		fails.Stop()
		s.TimeoutDNS("*")
		look()
	})
	fmt.Println(res.Err)
	// Output:
	// [10.0.0.1 10.0.0.2] <nil> false 20ms
	// [] lookup web.example: server misbehaving false 20ms
	// [] lookup web.example: i/o timeout true 10s
	// <nil>
}
