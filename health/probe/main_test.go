package probe

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// beABackend is the variable of the environment that makes the test binary a backend of some tests, which serves until its
// standard input ends.
const beABackend = "WAVEPOOL_PROBE_BACKEND"

func TestMain(m *testing.M) {
	if os.Getenv(beABackend) != "" {
		backendMain()
	}
	goleak.VerifyTestMain(m)
}

// backendMain serves HTTP, and PING to those who say that, on loopback, and tells its address on standard output.
func backendMain() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	_, _ = io.WriteString(os.Stdout, ln.Addr().String()+"\n")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		conn, err := ln.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() {
			defer conn.Close()
			r := bufio.NewReader(conn)
			if first, err := r.Peek(4); err == nil && string(first) == "PING" {
				_, _ = io.WriteString(conn, "+PONG\r\n")
			} else if _, err := http.ReadRequest(r); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}()
	}
}
