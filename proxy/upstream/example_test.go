package upstream_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// serve answers every line with the same line, and its own name before it, until the listener is closed.
func serve(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for in := bufio.NewScanner(c); in.Scan(); {
				fmt.Fprintln(c, name, in.Text())
			}
		}()
	}
}

func Example() {
	var backends []upstream.Backend
	for _, name := range []string{"one", "two"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		defer l.Close()
		go serve(l, name)
		backends = append(backends, upstream.Backend{Address: l.Addr().String()})
	}
	u, err := upstream.New(upstream.Config{Name: "echo", Backends: backends})
	if err != nil {
		panic(err)
	}
	defer u.Close()
	u.Start()

	ask := func(line string) {
		var a upstream.Attempt
		if err := u.Begin(context.Background(), &a); err != nil {
			fmt.Println(err)
			return
		}
		nc := a.Conn.NetConn()
		fmt.Fprintln(nc, line)
		answer, err := bufio.NewReader(nc).ReadString('\n')
		if err != nil {
			u.Finish(&a, time.Now(), upstream.OutcomeReset, false, pool.ReasonBroken)
			return
		}
		fmt.Print(answer)
		u.Finish(&a, time.Now(), upstream.OutcomeAnswered, true, 0)
	}
	for _, line := range []string{"hello", "hello", "goodbye", "goodbye"} {
		ask(line)
	}
	s := u.Stats()
	fmt.Println(s.Begun, "attempts,", s.Backends[0].Pool.Reuses+s.Backends[1].Pool.Reuses, "on a used connection")
	// Output:
	// one hello
	// two hello
	// one goodbye
	// two goodbye
	// 4 attempts, 2 on a used connection
}
