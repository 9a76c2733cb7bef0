package proxy_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
)

// strictOrigin is a backend that answers what is well formed and remembers what is not.
type strictOrigin struct {
	ln    net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	wrong []string
	heads int
}

func (o *strictOrigin) run(s *netsim.Sim) {
	clk := s.Clock()
	o.wg.Add(1)
	clk.AfterFunc(0, func() {
		defer o.wg.Done()
		for {
			nc, err := o.ln.Accept()
			if err != nil {
				return
			}
			o.wg.Add(1)
			clk.AfterFunc(0, func() {
				defer o.wg.Done()
				defer nc.Close()
				o.serve(nc)
			})
		}
	})
}

func (o *strictOrigin) serve(nc net.Conn) {
	var r http1.Reader
	r.Reset(nc)
	defer r.Reset(nil)
	var req http1.Request
	var body http1.Body
	for {
		if err := r.ReadRequest(&req, nil); err != nil {
			if err != io.EOF {
				o.note("head", err)
			}
			return
		}
		o.mu.Lock()
		o.heads++
		o.mu.Unlock()
		if string(req.Get("Via")) == "" || req.Get("X-Forwarded-For") == nil || req.Get("X-Evil_Name") != nil {
			o.note("fields", nil)
		}
		body.Start(&r, req.Framing, req.ContentLength, nil)
		for {
			_, err := body.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				o.note("body", err)
				return
			}
		}
		answer := okay
		if string(req.Method) == "HEAD" {
			answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
		}
		if _, err := nc.Write([]byte(answer)); err != nil {
			return
		}
	}
}

// note remembers what was ill formed. A request that breaks off is none of that: its client broke off.
func (o *strictOrigin) note(where string, err error) {
	if _, refused := err.(*http1.ParseError); !refused && err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrong = append(o.wrong, where)
}

func FuzzConversation(f *testing.F) {
	for _, seed := range []string{
		get, get + get, post, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get, expecting + "body",
		"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n" + get,
		"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz",
		"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n" + get, websocket,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get,
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "\r\n\r\n", "\x16\x03\x01",
	} {
		f.Add([]byte(seed), uint16(len(seed)/2), false)
	}
	f.Fuzz(func(t *testing.T, bytes []byte, cut uint16, leaves bool) {
		if len(bytes) > 1<<16 {
			t.Skip("longer than any limit that could matter")
		}
		synctest.Test(t, func(t *testing.T) {
			s := netsim.New(netsim.Config{Seed: 1, Latency: time.Millisecond})
			defer s.Close()
			fuzzConversation(t, s, bytes, int(cut)%(len(bytes)+1), leaves)
		})
	})
}

// fuzzConversation sends the bytes in two pieces and looks at everybody afterwards.
func fuzzConversation(t *testing.T, s *netsim.Sim, bytes []byte, cut int, leaves bool) {
	clk, host, client := s.Clock(), s.Host("proxy", proxyAddr), s.Host("client", "10.0.0.200")
	ln, err := s.Host("backend", backendAddr(0)).Listen(context.Background(), "tcp", ":80")
	require.NoError(t, err)
	o := &strictOrigin{ln: ln}
	o.run(s)
	settings := talkSettings(frontPort, []string{backendAddr(0) + ":80"})
	settings.Listeners[0].MaxRequestBody = 20000
	settings.Upstreams[0].Pool.IdleTimeout = config.Off
	server, err := proxy.New(proxy.Config{Settings: settings, Dialer: host, Listen: host.Listen, Clock: clk, Rand: s.Rand})
	require.NoError(t, err)
	require.NoError(t, server.Start(context.Background()))

	nc, err := client.DialContext(context.Background(), "tcp", proxyAddr+frontPort)
	require.NoError(t, err)
	// Every limit of the proxy has long been reached by then.
	require.NoError(t, nc.SetDeadline(clk.Now().Add(time.Hour)))
	wrote := make(chan struct{})
	clk.AfterFunc(0, func() {
		defer close(wrote)
		if _, err := nc.Write(bytes[:cut]); err != nil {
			return
		}
		clk.Sleep(5 * time.Millisecond)
		if !leaves {
			_, _ = nc.Write(bytes[cut:])
		} else if half, ok := nc.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	_, err = io.Copy(io.Discard, nc)
	var ne net.Error
	require.False(t, err != nil && asTimeout(err, &ne), "the proxy does not end the connection")
	<-wrote
	_ = nc.Close()
	require.NoError(t, server.Drain(context.Background()))
	_ = ln.Close()
	o.wg.Wait()
	st := server.Stats()
	require.Equal(t, st.Requests, st.Answered+st.FailedTotal())
	require.Empty(t, o.wrong, "the backend got what is not well formed")
	require.LessOrEqual(t, int(st.Answered), o.heads)
}

func asTimeout(err error, ne *net.Error) bool {
	n, ok := err.(net.Error)
	*ne = n
	return ok && n.Timeout()
}
