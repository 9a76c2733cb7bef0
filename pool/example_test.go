package pool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/wavepool/wavepool/pool"
)

// A pool in front of a line server: the second exchange reuses the first one's connection.
func Example() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for in := bufio.NewScanner(c); in.Scan(); {
			fmt.Fprintf(c, "you said %s\n", in.Text())
		}
	}()

	p, err := pool.New(pool.Config{Address: l.Addr().String(), MaxConnections: 10})
	if err != nil {
		panic(err)
	}
	defer p.Close()

	for _, word := range []string{"hello", "again"} {
		c, err := p.Lend(context.Background())
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(c.NetConn(), word)
		answer, err := bufio.NewReader(c.NetConn()).ReadString('\n')
		if err != nil {
			c.Discard(pool.ReasonBroken)
			panic(err)
		}
		fmt.Print(answer)
		c.Release()
	}
	s := p.Stats()
	fmt.Println("dialled", s.Dialled, "lent", s.Lends, "reused", s.Reuses)
	// Output:
	// you said hello
	// you said again
	// dialled 1 lent 2 reused 1
}

// Durations are counted in fixed buckets, and a quantile is at most an eighth too much.
func ExampleHistogram() {
	var h pool.Histogram
	for i := range 100 {
		h.Observe(time.Duration(i+1) * time.Millisecond)
	}
	s := h.Snapshot()
	fmt.Println(s.Count, s.Mean(), s.Quantile(0.99).Round(time.Millisecond))
	// Output: 100 50.5ms 101ms
}

// pipes is a dialer whose connections lead nowhere.
type pipes struct{}

func (pipes) DialContext(context.Context, string, string) (net.Conn, error) {
	near, _ := net.Pipe()
	return near, nil
}

// Three connections together or none, and an orderly end.
func ExamplePool_GetN() {
	p, err := pool.New(pool.Config{Address: "nowhere", Dialer: pipes{}, MaxConnections: 3})
	if err != nil {
		panic(err)
	}
	conns, err := p.GetN(context.Background(), 0, 3)
	fmt.Println(len(conns), err)
	_, err = p.GetN(context.Background(), 0, 4)
	fmt.Println(err)
	fmt.Println(len(p.Holders()), "lent")
	pool.ReleaseAll(conns)
	fmt.Println(p.Drain(context.Background()))
	// Output:
	// 3 <nil>
	// pool: more connections are asked for than the pool may have
	// 3 lent
	// <nil>
}

// While the backend is down callers fail at once, and learn what is known. The pool itself finds out when it is back.
func ExampleDownError() {
	p, err := pool.New(pool.Config{Name: "db", Address: "127.0.0.1:1", RetryMin: time.Minute, RetryMax: time.Hour})
	if err != nil {
		panic(err)
	}
	defer p.Close()

	for range 2 {
		_, err = p.Lend(context.Background())
		var down *pool.DownError
		if errors.As(err, &down) {
			fmt.Println("down, failed dials:", down.Failures, "next try within a minute:", down.RetryIn <= time.Minute)
		} else {
			fmt.Println("the dial failed:", errors.Is(err, syscall.ECONNREFUSED))
		}
	}
	// Output:
	// the dial failed: true
	// down, failed dials: 1 next try within a minute: true
}
