package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/config"
)

// speaksHTTP2 are settings for backends that speak HTTP/2 in clear text.
func speaksHTTP2(s *config.Config) {
	s.Upstreams[0].Protocol = config.UpstreamHTTP2
	s.Upstreams[0].Pool.MaxConnections = 2 // one may be on its way out
}

// serve lets a backend of net/http's serve HTTP/2, in clear text.
func (o *origin) serve(h http.HandlerFunc, tune ...func(*http.Server)) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: h, Protocols: protocols}
	for _, f := range tune {
		f(srv)
	}
	ln := o.ln
	if o.c.sim != nil {
		ln = netsim.EagerListener(ln, 0)
	}
	o.c.serving(srv, func() error { return srv.Serve(ln) })
}

// serving runs a server until the proxy has been drained.
func (c *talk) serving(srv *http.Server, serve func() error) {
	ended := make(chan struct{})
	c.clk.AfterFunc(0, func() {
		defer close(ended)
		_ = serve()
	})
	c.after = append(c.after, func() {
		_ = srv.Close()
		<-ended
	})
}

// framed is a backend that writes frames itself.
type framed struct {
	*wire
	fr    *http2.Framer
	begun map[uint32]*http2.MetaHeadersFrame // streams whose end has not come yet: those of two requests may be mixed
}

// acceptFrames waits for the proxy's next connection, and for its preface.
func (o *origin) acceptFrames(settings ...http2.Setting) *framed {
	p := o.accept()
	var first [len(http2.ClientPreface)]byte
	_, err := io.ReadFull(p.nc, first[:])
	require.NoError(o.c.t, err)
	require.Equal(o.c.t, http2.ClientPreface, string(first[:]))
	w := &wire{c: o.c, nc: p.nc, fr: http2.NewFramer(p.nc, p.nc)}
	w.enc = hpack.NewEncoder(&w.buf)
	w.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(o.c.t, w.fr.WriteSettings(settings...))
	return &framed{w, w.fr, map[uint32]*http2.MetaHeadersFrame{}}
}

// stream waits for the next request, to its end.
func (f *framed) stream() *http2.MetaHeadersFrame {
	for {
		fr, err := f.fr.ReadFrame()
		require.NoError(f.c.t, err)
		ended := false
		switch fr := fr.(type) {
		case *http2.MetaHeadersFrame:
			if f.begun[fr.StreamID] == nil { // else they are trailers
				f.begun[fr.StreamID] = fr
			}
			ended = fr.StreamEnded()
		case *http2.DataFrame:
			ended = fr.StreamEnded()
		}
		if ended {
			return f.begun[fr.Header().StreamID]
		}
	}
}

// head waits for the head of the next request.
func (f *framed) head() uint32 {
	for {
		fr, err := f.fr.ReadFrame()
		require.NoError(f.c.t, err)
		if h, ok := fr.(*http2.MetaHeadersFrame); ok {
			return h.StreamID
		}
	}
}

// body waits for the body of a request, to its end.
func (f *framed) body() string {
	var text strings.Builder
	for {
		fr, err := f.fr.ReadFrame()
		require.NoError(f.c.t, err)
		if d, ok := fr.(*http2.DataFrame); ok {
			text.Write(d.Data())
			if d.StreamEnded() {
				return text.String()
			}
		}
	}
}

// okay answers a stream.
func (f *framed) okay(id uint32) {
	f.open(id, false, ":status", "200")
	require.NoError(f.c.t, f.fr.WriteData(id, true, []byte("ok")))
}

// drain reads what else may come, so that nothing stands still.
func (f *framed) drain() { _, _ = io.Copy(io.Discard, f.nc) }

// posting is a client of HTTP/1.1 that has sent a POST with its body.
func (c *talk) posting() *peer {
	return c.client().send("POST /x HTTP/1.1\r\n", host, "Content-Length: 4\r\n\r\nbody")
}

// blockOf is a head's fields as HPACK writes them.
func blockOf(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// bidi is a request whose body the script feeds.
func (c *talk) bidi(client *http.Client, path string) (*http.Response, *io.PipeWriter) {
	up, feed := io.Pipe()
	req := request("POST", "http://a.test"+path, up)
	req.Header.Set("Te", "trailers")
	resp, err := client.Do(req)
	require.NoError(c.t, err)
	return resp, feed
}

// eagerDialer is a dialer whose connections have eager writes.
type eagerDialer struct{ dial netsim.DialFunc }

// DialContext implements upstream.Dialer.
func (d eagerDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dial(ctx, network, address)
}

// echo is what most backends here do: it tells what came, and the trailers say that it is whole.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Trailer", "X-End")
	w.Header().Set("X-Seen", strings.Join([]string{r.Proto, r.Method, r.Host, r.RequestURI, r.Header.Get("Te")}, " "))
	_, _ = w.Write(body)
	for name := range r.Trailer {
		w.Header().Set("X-End", name+"="+r.Trailer.Get(name))
	}
}

// within is a handler's wait for something that must happen.
func within(r *http.Request, ch <-chan struct{}) {
	select {
	case <-ch:
	case <-r.Context().Done():
	}
}

// serveTLS lets a backend of net/http's serve one protocol over TLS.
func (o *origin) serveTLS(p *paper, protocol string, h http.HandlerFunc) {
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
	srv.Protocols.SetHTTP1(protocol != "h2")
	srv.Protocols.SetHTTP2(protocol == "h2")
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{p.served}, Time: o.c.clk.Now}
	ln := o.ln
	if o.c.sim != nil {
		ln = netsim.EagerListener(ln, 0)
	}
	o.c.serving(srv, func() error { return srv.ServeTLS(ln, "", "") })
}
