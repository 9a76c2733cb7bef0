package proxy_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// memory is a connection over memory that was allocated beforehand. Deadlines do not end its reads.
type memory struct {
	in, out *memoryPipe
}

type memoryPipe struct {
	mu     sync.Mutex
	cond   sync.Cond
	buf    [64 << 10]byte
	n      int
	closed bool
}

func newMemoryPipe() *memoryPipe {
	p := &memoryPipe{}
	p.cond.L = &p.mu
	return p
}

func (p *memoryPipe) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cond.Broadcast()
}

func memoryPair() (a, b *memory) {
	up, down := newMemoryPipe(), newMemoryPipe()
	return &memory{in: down, out: up}, &memory{in: up, out: down}
}

func (m *memory) Read(b []byte) (int, error) {
	p := m.in
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.n == 0 && !p.closed {
		p.cond.Wait()
	}
	if p.n == 0 {
		return 0, os.ErrClosed
	}
	n := copy(b, p.buf[:p.n])
	p.n = copy(p.buf[:], p.buf[n:p.n])
	return n, nil
}

// WaitReadable waits as a socket's poller would.
func (m *memory) WaitReadable() error {
	p := m.in
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.n == 0 && !p.closed {
		p.cond.Wait()
	}
	return nil
}

func (m *memory) Write(b []byte) (int, error) {
	p := m.out
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(b) > len(p.buf)-p.n {
		return 0, os.ErrClosed
	}
	p.n += copy(p.buf[p.n:], b)
	p.cond.Broadcast()
	return len(b), nil
}

func (m *memory) Close() error {
	m.in.close()
	m.out.close()
	return nil
}

func (m *memory) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (m *memory) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }
func (m *memory) SetDeadline(time.Time) error      { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

// memoryNet is a dialer and a listener for one connection each.
type memoryNet struct {
	accept chan net.Conn
	dialed chan *memory
	once   sync.Once
}

func (n *memoryNet) Accept() (net.Conn, error) {
	nc, ok := <-n.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (n *memoryNet) Close() error {
	n.once.Do(func() { close(n.accept) })
	return nil
}

func (n *memoryNet) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (n *memoryNet) DialContext(context.Context, string, string) (net.Conn, error) {
	near, far := memoryPair()
	n.dialed <- far
	return near, nil
}

func TestASteadyKeepAliveGETAllocatesNothing(t *testing.T) {
	for name, tune := range map[string]func(*config.Config){
		"as it is by default": func(*config.Config) {},
		"with the access log": logs,
		"with the access log in text, few fields": func(s *config.Config) {
			s.AccessLog = &config.AccessLog{Path: "access.log", Format: config.LogText, Fields: []string{"time", "status"}}
		},
		"with all that a listener may do to a head": func(s *config.Config) {
			l := &s.Listeners[0]
			l.Forwarded, l.RequestID, l.TrustedProxies = config.ForwardedBoth, "X-Request-ID", []string{"10.0.0.0/8", "::/0"}
			l.MaxConnectionsPerSource, l.MaxRequestsPerConnection = 10, 1_000_000
			s.Upstreams[0].Host = config.HostBackend
		},
	} {
		t.Run(name, func(t *testing.T) {
			if raceEnabled {
				t.Skip("the race detector allocates")
			}
			require.Zero(t, steadyAllocs(t, tune))
		})
	}
}

// steadyAllocs is how many objects a small GET costs on connections that have served a few.
func steadyAllocs(t *testing.T, tune func(*config.Config)) float64 {
	mem := &memoryNet{accept: make(chan net.Conn, 1), dialed: make(chan *memory, 8)}
	settings := talkSettings("127.0.0.1:0", []string{"127.0.0.1:1"})
	settings.Upstreams[0].Pool.MaxConnections = 1
	tune(settings)
	server, err := proxy.New(proxy.Config{Settings: settings, Dialer: mem,
		OpenLog: func(string) (io.WriteCloser, error) { return os.OpenFile(os.DevNull, os.O_WRONLY, 0) },
		Listen:  func(context.Context, string, string) (net.Listener, error) { return mem, nil }})
	require.NoError(t, err)
	require.NoError(t, server.Start(context.Background()))
	client, front := memoryPair()
	mem.accept <- front
	request := []byte("GET /path?query HTTP/1.1\r\nHost: a.test\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world")
	var backend *memory
	buf := make([]byte, 8<<10)
	exchange := func() {
		if _, err := client.Write(request); err != nil {
			panic(err)
		}
		if backend == nil {
			backend = <-mem.dialed
		}
		if _, err := backend.Read(buf); err != nil {
			panic(err)
		}
		if _, err := backend.Write(answer); err != nil {
			panic(err)
		}
		if _, err := client.Read(buf); err != nil {
			panic(err)
		}
	}
	for range 100 {
		exchange()
	}
	allocs := testing.AllocsPerRun(2000, exchange)
	_ = client.Close()
	server.Close()
	require.Equal(t, uint64(2101), server.Stats().Answered)
	return allocs
}
