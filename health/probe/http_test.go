package probe

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/http1"
)

const address = "10.0.0.1:80"

// within gives a context that ends after a second, by the clock of the bubble.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestHTTPJudgesTheFirstFinalAnswer(t *testing.T) {
	const well = Reason(255) // stands for no error
	interim := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", maxInterim)
	cases := []struct {
		name   string
		expect StatusRange
		answer []string
		want   Reason
	}{
		{"200", StatusRange{}, []string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, well},
		{"200 with a body that is never read", StatusRange{},
			[]string{"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", strings.Repeat("x", 100)}, well},
		{"200 byte by byte", StatusRange{},
			strings.Split("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""), well},
		{"HTTP/1.0", StatusRange{}, []string{"HTTP/1.0 204 No Content\r\n\r\n"}, well},
		{"lowest by default", StatusRange{}, []string{"HTTP/1.1 199 ?\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}, well},
		{"highest by default", StatusRange{}, []string{"HTTP/1.1 399 ?\r\n\r\n"}, well},
		{"400", StatusRange{}, []string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, BadStatus},
		{"503", StatusRange{}, []string{"HTTP/1.1 503 Service Unavailable\r\n\r\n"}, BadStatus},
		{"503 expected", StatusRange{503, 503}, []string{"HTTP/1.1 503 Service Unavailable\r\n\r\n"}, well},
		{"just below the range", StatusRange{201, 203}, []string{"HTTP/1.1 200 OK\r\n\r\n"}, BadStatus},
		{"just above the range", StatusRange{201, 203}, []string{"HTTP/1.1 204 OK\r\n\r\n"}, BadStatus},
		{"101 is final", StatusRange{}, []string{"HTTP/1.1 101 Switching Protocols\r\n\r\n"}, BadStatus},
		{"interim answers", StatusRange{}, []string{interim, "HTTP/1.1 200 OK\r\n\r\n"}, well},
		{"one interim answer too many", StatusRange{},
			[]string{interim, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"}, BadAnswer},
		{"closed without a word", StatusRange{}, nil, BadAnswer},
		{"closed in the head", StatusRange{}, []string{"HTTP/1.1 200 OK\r\nContent-"}, BadAnswer},
		{"closed after an interim answer", StatusRange{}, []string{"HTTP/1.1 100 Continue\r\n\r\n"}, BadAnswer},
		{"not HTTP", StatusRange{}, []string{"220 mail.example ESMTP\r\n\r\n"}, BadAnswer},
		{"bare LF", StatusRange{}, []string{"HTTP/1.1 200 OK\n\n"}, BadAnswer},
		{"length and chunked", StatusRange{},
			[]string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}, BadAnswer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: answering(c.answer...)}
				err := mustHTTP(t, network, HTTPConfig{ExpectStatus: c.expect}).Probe(within(t), address)
				if c.want == well {
					require.NoError(t, err)
				} else {
					requireKind(t, c.want, err)
				}
				network.settle(t)
			})
		})
	}
}

func TestHTTPSendsOneRequestAndAsksToClose(t *testing.T) {
	cases := []struct {
		cfg  HTTPConfig
		want string
	}{
		{HTTPConfig{}, "GET / HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"},
		{HTTPConfig{Method: "HEAD", Path: "/healthz?deep=1", Host: "shop.example"},
			"HEAD /healthz?deep=1 HTTP/1.1\r\nHost: shop.example\r\n"},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			var got string
			network := &fakeNet{serve: func(conn net.Conn) {
				buf := make([]byte, 4096)
				n, _ := conn.Read(buf)
				got = string(buf[:n])
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
			}}
			require.NoError(t, mustHTTP(t, network, c.cfg).Probe(within(t), address))
			network.settle(t)
			require.Equal(t, c.want+"User-Agent: wavepool-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n", got)
		})
	}
}

func TestHTTPEndsWithItsContextWhateverTheBackendDoes(t *testing.T) {
	backends := map[string]func(net.Conn){
		"accepts and never answers": silent,
		"accepts and never reads":   func(net.Conn) { time.Sleep(time.Minute) },
		"answers a byte at a time":  slowly("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		"sends interim answers only": func(conn net.Conn) {
			_, _ = readRequest(conn)
			for range maxInterim {
				_, _ = io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\n")
				time.Sleep(200 * time.Millisecond)
			}
		},
	}
	for name, serve := range backends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: serve}
				begun := time.Now()
				err := mustHTTP(t, network, HTTPConfig{}).Probe(within(t), address)
				require.Equal(t, time.Second, time.Since(begun), "not when its time was up")
				requireKind(t, Timeout, err)
				network.settle(t)
			})
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: serve}
				ctx, cancel := context.WithCancel(t.Context()) // without a deadline
				begun := time.Now()
				time.AfterFunc(300*time.Millisecond, cancel)
				err := mustHTTP(t, network, HTTPConfig{}).Probe(ctx, address)
				require.Equal(t, 300*time.Millisecond, time.Since(begun), "not when it was given up")
				requireKind(t, Canceled, err)
				network.settle(t)
			})
		})
	}
}

// slowly serves one request with one byte of the text every 100 ms.
func slowly(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = readRequest(conn)
		for i := range text {
			time.Sleep(100 * time.Millisecond)
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
		}
	}
}

func TestHTTPReadsABoundedPartOfAnEndlessHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		network := &fakeNet{serve: func(conn net.Conn) {
			_, _ = readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for range 10_000 {
				n, err := io.WriteString(conn, "X-Padding: "+strings.Repeat("x", 1000)+"\r\n")
				sent += n
				if err != nil {
					return
				}
			}
		}}
		err := mustHTTP(t, network, HTTPConfig{}).Probe(within(t), address)
		requireKind(t, BadAnswer, err)
		require.ErrorIs(t, err, http1.ErrHeaderTooLarge)
		network.settle(t)
		require.Less(t, sent, 2*maxHeadBytes)
	})
}

func TestHTTPRefusesAConfigThatIsNotOneRequest(t *testing.T) {
	bad := []HTTPConfig{
		{Path: "healthz"},
		{Path: "*"},
		{Path: "/a b"},
		{Path: "/a#b"},
		{Path: "/%zz"},
		{Path: "/\x00"},
		{Path: "/ HTTP/1.1\r\nX: y\r\nZ:"},
		{Path: "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /b"},
		{Method: "G T"},
		{Method: "CONNECT"},
		{Method: "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"},
		{Method: "GET /x HTTP/1.1\r\nA: b\r\nC:", Path: "/"},
		{Host: "a b"},
		{Host: "user@example"},
		{Host: "example\r\nX: y"},
		{Host: "example\r\n\r\nGET / HTTP/1.1\r\nHost: b"},
		{ExpectStatus: StatusRange{Min: 99, Max: 200}},
		{ExpectStatus: StatusRange{Min: 200, Max: 1000}},
		{ExpectStatus: StatusRange{Min: 300, Max: 200}},
		{ExpectStatus: StatusRange{Min: 200}},
	}
	for _, cfg := range bad {
		_, err := HTTP(nil, cfg)
		require.ErrorContains(t, err, "probe: ", "%+v", cfg)
	}
	good := []HTTPConfig{{}, {Method: "OPTIONS", Path: "/x%20y?z"}, {Host: "[::1]:8080"}}
	for _, cfg := range good {
		_, err := HTTP(nil, cfg)
		require.NoError(t, err, "%+v", cfg)
	}
}
