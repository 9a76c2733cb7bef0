package netsim_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/wavepool/wavepool/netsim"
)

// Two clients share the cable of one server, whose queue holds at most 200 kB. Together they get its bandwidth.
func ExampleSim_SetLink() {
	res := netsim.Run(netsim.Config{}, func(s *netsim.Sim) {
		server := s.Host("server", "10.0.0.1")
		l, _ := server.Listen(context.Background(), "tcp", ":80")
		s.SetLink("*", "server", netsim.Link{
			Latency:   time.Millisecond,
			Bandwidth: 1_000_000,
			Sharing:   netsim.ShareByLink,
			Queue:     200_000,
		})
		for _, name := range []string{"a", "b"} {
			c, _ := s.Host(name, "").DialContext(context.Background(), "tcp", "server:80")
			s.Clock().AfterFunc(0, func() {
				_, _ = c.Write(make([]byte, 500_000))
				_ = c.Close()
			})
		}
		start := s.Elapsed()
		var total int64
		for range 2 {
			d, _ := l.Accept()
			n, _ := io.Copy(io.Discard, d)
			total += n
		}
		fmt.Println(total, "bytes in", (s.Elapsed() - start).Round(10*time.Millisecond))
	})
	fmt.Println(res.Err)
	// Output:
	// 1000000 bytes in 1s
	// <nil>
}

// A path whose way back is slower than the way there, and less even.
func ExampleSim_SetLinkOneWay() {
	res := netsim.Run(netsim.Config{}, func(s *netsim.Sim) {
		a, b := s.Host("a", "10.0.0.1"), s.Host("b", "10.0.0.2")
		s.SetLinkOneWay("a", "b", netsim.Link{Latency: 5 * time.Millisecond})
		s.SetLinkOneWay("b", "a", netsim.Link{Delay: netsim.UniformDelay(20*time.Millisecond, 30*time.Millisecond)})
		_, _ = b.Listen(context.Background(), "tcp", ":80")
		start := s.Elapsed()
		_, err := a.DialContext(context.Background(), "tcp", "b:80")
		took := s.Elapsed() - start
		fmt.Println(took >= 25*time.Millisecond, took <= 36*time.Millisecond, err)
	})
	fmt.Println(res.Err)
	// Output:
	// true true <nil>
	// <nil>
}
