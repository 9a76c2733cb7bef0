package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTCPIsContentWithAConnectionAndClosesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: silent}
		require.NoError(t, TCP(network).Probe(within(t), address))
		network.settle(t)
		require.EqualValues(t, 1, network.dialed.Load())
	})
}

func TestAFailedDialIsTimeoutOrConnect(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	noAnswer := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}
	cases := []struct {
		name string
		dial dialFunc
		want Reason
		take time.Duration
	}{
		{"refused", func(context.Context) (net.Conn, error) { return nil, refused }, Connect, 0},
		{"no route, in other words", func(context.Context) (net.Conn, error) { return nil, io.EOF }, Connect, 0},
		{"the kernel gave up", func(context.Context) (net.Conn, error) { return nil, noAnswer }, Timeout, 0},
		{"no answer until the context ends", func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		}, Timeout, time.Second},
		{"a dialer that hides why it ended", func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, errors.New("operation was canceled")
		}, Timeout, time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, p := range []Prober{TCP(c.dial), mustHTTP(t, c.dial, HTTPConfig{})} {
					begun := time.Now()
					requireKind(t, c.want, p.Probe(within(t), address))
					require.Equal(t, c.take, time.Since(begun))
				}
			})
		})
	}
}

func TestAProbeGivenUpIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(within(t))
		cancel()
		network := &fakeNet{serve: silent}
		requireKind(t, Canceled, TCP(network).Probe(ctx, address))
		requireKind(t, Canceled, mustHTTP(t, network, HTTPConfig{}).Probe(ctx, address))
		require.Zero(t, network.dialed.Load())
	})
}

func TestReasonsHaveDifferentWordsAndNoMore(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		require.NotEmpty(t, r.String())
		require.False(t, seen[r.String()], "%s occurs twice", r)
		seen[r.String()] = true
	}
	require.Equal(t, "reason(6)", Reason(len(Reasons())).String())
}

// limited gives a context on the real clock. The limit is far off: it only keeps a broken test from hanging.
func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// nobody is an address where nobody listens. A port that was free a moment ago might be another program's by now.
const nobody = "127.0.0.1:1"

func TestProbersWorkOnRealSockets(t *testing.T) {
	var seen *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, strings.Repeat("a body that nobody reads ", 10_000))
	}))
	real := server.Listener.Addr().String()

	require.NoError(t, TCP(nil).Probe(limited(t), real))
	require.NoError(t, mustHTTP(t, nil, HTTPConfig{Path: "/healthz", Host: "shop.example"}).Probe(limited(t), real))
	err := mustHTTP(t, &net.Dialer{}, HTTPConfig{}).Probe(limited(t), real)
	requireKind(t, BadStatus, err)
	require.ErrorContains(t, err, "status 503 is not in 200 to 399")
	server.Close() // waits for the handlers
	require.Equal(t, real, seen.Host)
	require.True(t, seen.Close)

	requireKind(t, Connect, TCP(nil).Probe(limited(t), nobody))
	err = mustHTTP(t, nil, HTTPConfig{}).Probe(limited(t), nobody)
	requireKind(t, Connect, err)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestARealConnectionIsClosedWhenAProbeIsGivenUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	ctx, cancel := context.WithCancel(limited(t))
	closed := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			closed <- err
			return
		}
		defer conn.Close()
		_, _ = readRequest(conn)
		cancel() // the request is here, so the probe is waiting for the answer
		_, err = conn.Read(make([]byte, 1))
		closed <- err
	}()
	requireKind(t, Canceled, mustHTTP(t, nil, HTTPConfig{}).Probe(ctx, listener.Addr().String()))
	require.ErrorIs(t, <-closed, io.EOF)
}
