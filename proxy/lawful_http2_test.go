package proxy_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// lawful is a proxy on real sockets, before one backend of net/http, whose clients keep to the rules.
type lawful struct {
	t       *testing.T
	server  *proxy.Server
	address string
	dials   atomic.Int64
	client  *http.Client
}

func beLawful(t *testing.T, tune func(*config.Config), serve http.HandlerFunc) *lawful {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	backend := &http.Server{Handler: serve, Protocols: new(http.Protocols)}
	backend.Protocols.SetHTTP1(true)
	backend.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = backend.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = backend.Close()
		<-served
	})
	s := talkSettings("127.0.0.1:0", []string{ln.Addr().String()})
	s.Upstreams[0].Pool.MaxConnections = 200
	if tune != nil {
		tune(s)
	}
	l := &lawful{t: t}
	l.server, err = proxy.New(proxy.Config{Settings: s})
	require.NoError(t, err)
	require.NoError(t, l.server.Start(context.Background()))
	t.Cleanup(l.server.Close)
	l.address = l.server.Addrs()[0].String()
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		l.dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	l.client = &http.Client{Transport: tr, Timeout: hung}
	return l
}

func (l *lawful) calm() { require.Zero(l.t, l.server.Stats().Floods) }

// piecemeal reads to the end by pieces of 4 KiB, as line readers and decoders do. net/http then opens two windows with each.
func piecemeal(r io.Reader) (n int, err error) {
	buf := make([]byte, 4<<10)
	for {
		got, err := r.Read(buf)
		n += got
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func TestALongAnswerMayBeReadInSmallPieces(t *testing.T) {
	body := make([]byte, 64<<20)
	l := beLawful(t, nil, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	resp, err := l.client.Get("http://" + l.address + "/")
	require.NoError(t, err)
	defer resp.Body.Close()
	n, err := piecemeal(resp.Body)
	require.NoError(t, err)
	require.Equal(t, len(body), n)
	l.calm()
}

func TestABackendMayReadALongRequestInSmallPieces(t *testing.T) {
	l := beLawful(t, speaksHTTP2, func(w http.ResponseWriter, r *http.Request) {
		if n, err := piecemeal(r.Body); n != 64<<20 || err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	resp, err := l.client.Post("http://"+l.address+"/", "", bytes.NewReader(make([]byte, 64<<20)))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	require.Len(t, l.server.Stats().Upstreams, 1)
	require.EqualValues(t, 1, l.server.Stats().Upstreams[0].Backends[0].Pool.Dialled)
}

// What is under way when the answer comes early meets a stream that has gone (RFC 9113 section 5.1), frame by frame.
func TestAnUploadThatIsAnsweredEarlyCostsNotTheConnection(t *testing.T) {
	l := beLawful(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // else net/http waits for more of the body first
		w.WriteHeader(http.StatusForbidden)
	})
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.address)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(hung)))
	_, err = io.WriteString(nc, http2.ClientPreface)
	require.NoError(t, err)
	fr := http2.NewFramer(nc, nc)
	require.NoError(t, fr.WriteSettings())
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"}} {
		require.NoError(t, enc.WriteField(f))
	}
	require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndHeaders: true}))
	for gone := false; !gone; {
		f, err := fr.ReadFrame()
		require.NoError(t, err)
		_, gone = f.(*http2.RSTStreamFrame)
	}
	var under bytes.Buffer
	late := http2.NewFramer(&under, nil)
	for range 640 {
		require.NoError(t, late.WriteData(1, false, make([]byte, 100)))
	}
	require.NoError(t, late.WritePing(false, [8]byte{7}))
	_, err = nc.Write(under.Bytes())
	require.NoError(t, err)
	for {
		f, err := fr.ReadFrame()
		require.NoError(t, err)
		require.NotEqual(t, http2.FrameGoAway, f.Header().Type)
		if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
			break
		}
	}
	l.calm()
}

func manyStreams(s *config.Config) {
	s.Listeners[0].MaxStreams = 250
	s.Upstreams[0].Pool.MaxConnections = 300
}

func TestManyStreamsAtOnceMayCarryOneLongField(t *testing.T) {
	var there sync.WaitGroup
	there.Add(250)
	l := beLawful(t, manyStreams, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		there.Done()
		there.Wait()
	})
	send := func(path string) int {
		req := request("GET", "http://"+l.address+path, nil)
		req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", 3900))
		resp, err := l.client.Do(req)
		if err != nil {
			t.Log(err)
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, 200, send("/"))
	var refused atomic.Int64
	var all sync.WaitGroup
	for range 250 {
		all.Go(func() {
			if send("/many") != 200 {
				refused.Add(1)
				there.Done()
			}
		})
	}
	all.Wait()
	require.Zero(t, refused.Load())
	l.calm()
}

// carryTokens makes a thousand requests with a token, one after the other, and says on how many connections.
func (l *lawful) carryTokens(size int) int64 {
	for range 1000 {
		req := request("GET", "http://"+l.address+"/", nil)
		req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", size))
		resp, err := l.client.Do(req)
		require.NoError(l.t, err)
		_ = resp.Body.Close()
		require.Equal(l.t, 200, resp.StatusCode)
	}
	l.calm()
	return l.dials.Load()
}

func TestAConnectionWhoseRequestsCarryATokenLasts(t *testing.T) {
	l := beLawful(t, nil, func(http.ResponseWriter, *http.Request) {})
	require.EqualValues(t, 1, l.carryTokens(700))
	require.Zero(t, l.server.Stats().WornOut)
}

// A client like this one, whose heads have 16 bytes but for the token, opens a connection after each seventy requests or so.
func TestAConnectionWhoseRequestsAreHardlyMoreThanALongTokenEndsInOrder(t *testing.T) {
	l := beLawful(t, nil, func(http.ResponseWriter, *http.Request) {})
	dials := l.carryTokens(3900)
	require.Greater(t, dials, int64(7))
	require.Less(t, dials, int64(20))
	require.EqualValues(t, dials-1, l.server.Stats().WornOut)
}
