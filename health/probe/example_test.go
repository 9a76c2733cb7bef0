package probe_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
)

// backend is a network with one backend in it, which answers every request with the same status line.
type backend struct{ statusLine string }

func (b backend) DialContext(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
			_, _ = io.WriteString(server, "HTTP/1.1 "+b.statusLine+"\r\n\r\n")
		}
	}()
	return client, nil
}

func ExampleHTTP() {
	for _, statusLine := range []string{"200 OK", "503 Service Unavailable"} {
		prober, err := probe.HTTP(backend{statusLine}, probe.HTTPConfig{Path: "/healthz"})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(prober.Probe(context.Background(), "10.0.0.1:80"))
	}
	// Output:
	// <nil>
	// probe: bad_status: status 503 is not in 200 to 399
}

func ExampleTCP() {
	prober := probe.TCP(backend{})
	fmt.Println(prober.Probe(context.Background(), "10.0.0.1:80"))
	// Output:
	// <nil>
}

// The results of the checks of one backend go to the group that judges it.
func ExampleRun() {
	group, err := health.New(health.Config{Active: true}, 1, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	prober, err := probe.HTTP(backend{"500 Internal Server Error"}, probe.HTTPConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	schedule := probe.Schedule{
		Interval: time.Microsecond, // rather some seconds, outside of an example
		Rand:     rand.New(rand.NewPCG(1, 2)),
	}
	err = probe.Run(ctx, schedule, prober, "10.0.0.1:80", func(now time.Time, err error) {
		if change, ok := group.Check(now, 0, err == nil); ok {
			fmt.Println(change)
			stop()
		}
	})
	fmt.Println(err)
	// Output:
	// 0 down: check_failed (3 of 3)
	// <nil>
}
