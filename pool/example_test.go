package pool_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
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
		c, err := p.Lend(context.Background(), 0)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(c.NetConn(), word)
		answer, err := bufio.NewReader(c.NetConn()).ReadString('\n')
		if err != nil {
			c.Discard(time.Now(), pool.ReasonBroken)
			panic(err)
		}
		fmt.Print(answer)
		c.Release(time.Now())
	}
	s := p.Stats()
	fmt.Println("dialled", s.Dialled, "lent", s.Lends, "reused", s.Reuses)
	// Output:
	// you said hello
	// you said again
	// dialled 1 lent 2 reused 1
}
