package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
	"github.com/wavepool/wavepool/proxy/http1"
)

func TestFailuresAreToldByReason(t *testing.T) {
	t.Parallel()
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	say := func(text string) func(*net.TCPConn, func() bool) {
		return func(nc *net.TCPConn, next func() bool) {
			for next() {
				_, _ = io.WriteString(nc, text)
			}
		}
	}
	sayAndClose := func(text string) func(*net.TCPConn, func() bool) {
		return func(nc *net.TCPConn, next func() bool) {
			next()
			_, _ = io.WriteString(nc, text)
		}
	}
	for _, tc := range []struct {
		name  string
		want  reason
		serve func(*net.TCPConn, func() bool)
	}{
		{"stall", reasonTimeout, say("")},
		{"stall within the body", reasonTimeout, say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")},
		{"garbage", reasonBadAnswer, say("220 mail.example.org ESMTP\r\n\r\n")},
		{"two lengths", reasonBadAnswer, say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")},
		{"bad chunk", reasonBadAnswer, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")},
		{"protocol switched", reasonBadAnswer, say("HTTP/1.1 101 Switching Protocols\r\n\r\n")},
		{"never a final answer", reasonBadAnswer, say(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+2))},
		{"closed without an answer", reasonClosed, sayAndClose("")},
		{"closed within the body", reasonClosed, sayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")},
		{"reset", reasonReset, func(nc *net.TCPConn, next func() bool) {
			next()
			_ = nc.SetLinger(0)
		}},
		{"error of the server", reasonStatus5xx, say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")},
		{"error of ours", reasonStatus4xx, say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			timeout := "1m" // which a busy machine does not reach on the way to another reason
			if tc.want == reasonTimeout {
				timeout = "500ms"
			}
			r, code := loaded(t, nil, "-server", rawServer(t, tc.serve), "-clients", "1", "-requests", "2", "-timeout", timeout)
			require.Equal(t, exitFailed, code)
			require.EqualValues(t, 2, r.Errors[tc.want.String()], "%v %v", r.Errors, r.FirstErrors)
			require.EqualValues(t, 2, r.Failed)
			require.Equal(t, tc.want < reasonStatus4xx, r.FirstErrors[tc.want.String()] != "", "an error has a text")
		})
	}
	t.Run("stale", func(t *testing.T) {
		t.Parallel()
		address := rawServer(t, func(nc *net.TCPConn, next func() bool) {
			if next() {
				_, _ = io.WriteString(nc, good)
				next() // and the second one is not answered
			}
		})
		r, code := loaded(t, nil, "-server", address, "-clients", "1", "-requests", "6", "-reuse")
		require.Equal(t, exitFailed, code)
		require.EqualValues(t, 3, r.Succeeded)
		require.EqualValues(t, 3, r.Errors["stale"], "%v", r.Errors)
	})
}

func TestInterimAnswersAreSkipped(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		hello(w, r)
	})
	r, code := loaded(t, nil, "-server", o.URL, "-clients", "1", "-requests", "3", "-reuse")
	require.Equal(t, exitOK, code)
	require.Equal(t, map[string]uint64{"200": 3}, r.Status)
	require.EqualValues(t, 1, o.connections.Load())
}

func TestBytesBehindAnAnswerEndTheConnection(t *testing.T) {
	t.Parallel()
	address := rawServer(t, func(nc *net.TCPConn, next func() bool) {
		for next() {
			_, _ = io.WriteString(nc, "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Injected\r\n\r\n")
		}
	})
	r, code := loaded(t, nil, "-server", address, "-clients", "1", "-requests", "4", "-reuse")
	require.Equal(t, exitOK, code)
	require.Equal(t, map[string]uint64{"204": 4}, r.Status)
	require.EqualValues(t, 4, r.Connections.Dialled)
}

func TestTheReasonOfALendIsTheMachinesOwnOrTheServers(t *testing.T) {
	op := func(err error) error {
		return &pool.DialError{Pool: "p", Address: "a", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}}
	}
	for err, want := range map[error]reason{
		op(syscall.ECONNREFUSED):                     reasonConnect,
		op(syscall.EHOSTUNREACH):                     reasonConnect,
		op(syscall.ETIMEDOUT):                        reasonConnectTimeout,
		op(syscall.EADDRNOTAVAIL):                    reasonLocal,
		op(syscall.EMFILE):                           reasonLocal,
		context.DeadlineExceeded:                     reasonConnectTimeout,
		fmt.Errorf("x: %w", io.EOF):                  reasonConnect,
		&pool.LimitError{Pool: "p"}:                  reasonConnect,
		&pool.DialError{Err: io.EOF}:                 reasonConnect,
		&pool.DialError{Err: os.ErrDeadlineExceeded}: reasonConnectTimeout,
	} {
		require.Equal(t, want, reasonOfLend(err), "%v", err)
	}
}

func TestTheReasonOfAnExchangeKnowsTheKeepAliveRace(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	pipe := &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}
	for _, tc := range []struct {
		err           error
		begun, reused bool
		want          reason
	}{
		{io.EOF, false, true, reasonStale},
		{reset, false, true, reasonStale},
		{pipe, false, true, reasonStale},
		{io.EOF, false, false, reasonClosed},
		{reset, false, false, reasonReset},
		{pipe, false, false, reasonReset},
		{io.ErrUnexpectedEOF, true, true, reasonClosed},
		{reset, true, true, reasonReset},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, false, true, reasonTimeout},
		{http1.ErrBadStatusLine, true, true, reasonBadAnswer},
		{errNotFinal, true, false, reasonBadAnswer},
		{net.ErrClosed, false, true, reasonIO},
	} {
		require.Equal(t, tc.want, reasonOfExchange(tc.err, tc.begun, tc.reused), "%+v", tc)
	}
}

func TestReasonsHaveDistinctWords(t *testing.T) {
	seen := map[string]bool{}
	for why := range reason(numReasons) {
		require.NotEmpty(t, why.String())
		require.False(t, seen[why.String()], why.String())
		seen[why.String()] = true
	}
}
