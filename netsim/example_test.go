package netsim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/wavepool/wavepool/netsim"
)

// An ordinary net/http program over a simulated network: the server is killed after a minute, in no time at
// all.
func Example() {
	res := netsim.Run(netsim.Config{Seed: 1, Latency: 10 * time.Millisecond}, func(s *netsim.Sim) {
		clk := s.Clock()
		server, client := s.Host("server", "10.0.0.1"), s.Host("client", "10.0.0.2")
		l, err := server.Listen(context.Background(), "tcp", ":80")
		if err != nil {
			panic(err)
		}
		hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
		go http.Serve(l, hello) // it ends when the server is killed
		web := http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
		for range 2 {
			start := s.Elapsed()
			if res, err := web.Get("http://server/"); err != nil {
				fmt.Println(err)
			} else {
				body, _ := io.ReadAll(res.Body)
				fmt.Println(string(body), (s.Elapsed() - start).Round(time.Millisecond))
			}
			clk.Sleep(time.Minute)
			server.Kill()
			clk.Sleep(time.Second)
		}
	})
	fmt.Println(res.Virtual.Round(time.Second), res.Err)
	// Output:
	// hello 40ms
	// Get "http://server/": dial tcp 10.0.0.1:80: connect: connection refused
	// 2m2s <nil>
}

// Faults are rules that hold until they are stopped. Bytes sent into a partition arrive at the first
// retransmission after its end.
func ExampleSim_Partition() {
	res := netsim.Run(netsim.Config{Latency: time.Millisecond}, func(s *netsim.Sim) {
		a, b := s.Host("a", "10.0.0.1"), s.Host("b", "10.0.0.2")
		l, _ := b.Listen(context.Background(), "tcp", ":7")
		c, _ := a.DialContext(context.Background(), "tcp", "b:7")
		d, _ := l.Accept()

		fault := s.Partition("a", "b")
		s.Clock().AfterFunc(time.Second, fault.Stop)
		start := s.Elapsed()
		_, _ = c.Write([]byte("x"))
		_, _ = d.Read(make([]byte, 1))
		fmt.Println((s.Elapsed() - start).Round(time.Millisecond))
	})
	fmt.Println(res.Err)
	// Output:
	// 1.401s
	// <nil>
}

// Every run of one seed gives one trace.
func ExampleRun() {
	program := func(s *netsim.Sim) {
		s.Clock().Sleep(time.Hour)
		s.Note("program", "woke", "")
	}
	a := netsim.Run(netsim.Config{Seed: 7}, program)
	b := netsim.Run(netsim.Config{Seed: 7}, program)
	c := netsim.Run(netsim.Config{Seed: 8}, program)
	fmt.Println(a.Hash == b.Hash, a.Hash == c.Hash, a.Virtual.Round(time.Second))
	// Output: true false 1h0m0s
}

// A trace can be drawn: what WriteSequence prints is a diagram in a block marked mermaid.
func ExampleTrace_WriteSequence() {
	res := netsim.Run(netsim.Config{Latency: time.Millisecond, KeepTrace: true}, func(s *netsim.Sim) {
		l, _ := s.Host("b", "10.0.0.2").Listen(context.Background(), "tcp", ":7")
		c, _ := s.Host("a", "10.0.0.1").DialContext(context.Background(), "tcp", "b:7")
		_, _ = c.Write([]byte("hello"))
		d, _ := l.Accept()
		_, _ = d.Read(make([]byte, 5))
	})
	_ = res.Trace.WriteSequence(os.Stdout, netsim.SequenceOptions{})
	// Output:
	// sequenceDiagram
	//     participant h0 as a
	//     participant h1 as b
	//     h0->>h1: 0s dial b:7, +2ms
	//     h0->>h1: 2.000139ms data 5, +1ms
	//     h0-->>h1: 3.000289ms open
}
