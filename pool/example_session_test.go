package pool_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/wavepool/wavepool/pool"
)

// shouting is a server of one line for each line, in capitals, behind a dialer in memory.
type shouting struct{}

func (shouting) DialContext(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for in := bufio.NewScanner(far); in.Scan(); {
			fmt.Fprintln(far, strings.ToUpper(in.Text()))
		}
	}()
	return near, nil
}

// duplex is a session of three loans: a line that is sent gets its answer in its turn.
type duplex struct {
	nc   net.Conn
	turn sync.Mutex
	in   *bufio.Scanner
}

func (d *duplex) Available() int { return 3 }
func (d *duplex) Err() error     { return d.in.Err() }
func (d *duplex) Close() error   { return d.nc.Close() }

func (d *duplex) ask(line string) string {
	d.turn.Lock()
	defer d.turn.Unlock()
	fmt.Fprintln(d.nc, line)
	d.in.Scan()
	return d.in.Text()
}

// Config.Setup makes a connection ready before its first loan, and may return a Session, which carries several loans at a
// time: here three borrowers share one connection.
func ExampleSession() {
	p, err := pool.New(pool.Config{
		Address: "memory", Dialer: shouting{}, MaxConnections: 1,
		Setup: func(_ context.Context, nc net.Conn) (pool.Session, error) {
			d := &duplex{nc: nc, in: bufio.NewScanner(nc)}
			fmt.Println("greeted:", d.ask("hello"))
			return d, nil
		},
	})
	if err != nil {
		panic(err)
	}
	defer p.Close()

	var lent []pool.Conn
	for range 3 {
		c, err := p.Lend(context.Background())
		if err != nil {
			panic(err)
		}
		lent = append(lent, c)
	}
	for i, c := range lent {
		fmt.Println(c.Session().(*duplex).ask(fmt.Sprint("loan ", i)), "on connection", c.ID())
	}
	s := p.Stats()
	fmt.Println(s.Lent, "connection,", s.Loans, "loans")
	pool.ReleaseAll(lent)
	// Output:
	// greeted: HELLO
	// LOAN 0 on connection 1
	// LOAN 1 on connection 1
	// LOAN 2 on connection 1
	// 1 connection, 3 loans
}

// A caller that may use any of several pools keeps the queue itself: TryLend never waits, Want asks for dials, and
// OnReady says that something became free.
func ExamplePool_TryLend() {
	ready := make(chan struct{}, 1)
	p, err := pool.New(pool.Config{Address: "memory", Dialer: shouting{}, OnReady: func() {
		select {
		case ready <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		panic(err)
	}
	defer p.Close()

	now := p.Now()
	if _, ok := p.TryLend(now, 0); !ok {
		fmt.Println("nothing idle,", p.Want(1), "dial begun")
	}
	<-ready
	c, ok := p.TryLend(now, 0)
	fmt.Println(ok, c.Reused())
	c.ReleaseAt(now)
	// Output:
	// nothing idle, 1 dial begun
	// true false
}
