package netsim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

// certificate is an Ed25519 one, whose signatures have one length, and valid in the year 2000, in which bubbles
// begin.
func certificate(host string) (tls.Certificate, *x509.CertPool) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host},
		DNSNames: []string{host}, NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter: time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// tlsWorld is an ordinary HTTP/2 program over TLS: net/http's server and client on the streams of one connection.
type tlsWorld struct {
	s       *Sim
	server  *Host
	roots   *x509.CertPool
	srv     *http.Server
	tr      *http.Transport
	serving sync.WaitGroup
}

func newTLSWorld(s *Sim) *tlsWorld {
	w := &tlsWorld{s: s, server: s.Host("server", "10.0.0.1")}
	w.serve()
	w.tr = &http.Transport{DialContext: EagerDial(s.Host("client", "10.0.0.2").DialContext, 0), ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: w.roots}}
	return w
}

// serve starts the server, which gives a body of random length after a random while.
func (w *tlsWorld) serve() {
	l, err := w.server.Listen(context.Background(), "tcp", ":443")
	if err != nil {
		panic(err)
	}
	var cert tls.Certificate
	cert, w.roots = certificate("server")
	w.srv = &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: noLog,
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			rnd := w.s.Rand(r.URL.Path)
			w.s.Clock().Sleep(time.Duration(rnd.Int64N(int64(20 * time.Millisecond))))
			w.s.Note("server"+r.URL.Path, "got", fmt.Sprint(len(body), " ", err))
			if !strings.HasPrefix(r.URL.Path, "/drained") {
				_, _ = rw.Write(make([]byte, rnd.IntN(30_000)))
			}
		})}
	w.serving.Go(func() { _ = w.srv.ServeTLS(EagerListener(l, 0), "", "") })
}

// load has workers send requests with bodies and deadlines, some of which run out and cancel their streams. When
// all have sent their first, it calls midway.
func (w *tlsWorld) load(prefix string, workers, requests int, timeout time.Duration, midway func()) {
	// Alone at first: while many wait for a connection, net/http dials one for each of them.
	w.worker(prefix+"first", 1, time.Second)
	w.s.Clock().AfterFunc(12*time.Millisecond, midway)
	w.inParallel(workers, func(i int) { w.worker(fmt.Sprint(prefix, i), requests, timeout) })
}

// inParallel starts goroutines, each at an instant of its own, and waits for them.
func (w *tlsWorld) inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		w.s.Clock().AfterFunc(0, func() { defer wg.Done(); f(i) })
	}
	wg.Wait()
}

func (w *tlsWorld) worker(name string, requests int, timeout time.Duration) {
	clk, rnd := w.s.Clock(), w.s.Rand(name)
	for n := range requests {
		clk.Sleep(time.Duration(rnd.Int64N(int64(10 * time.Millisecond))))
		ctx, cancel := clk.WithTimeout(context.Background(), timeout)
		body := bytes.NewReader(make([]byte, rnd.IntN(30_000)))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://server/%s-%03d", name, n), body)
		if err != nil {
			panic(err)
		}
		w.s.Note(name, "answer", answerOf(w.tr.RoundTrip(req)))
		clk.Sleep(0) // in the answer's own instant net/http may take the cancellation for the stream's
		cancel()
	}
}

func answerOf(res *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	return fmt.Sprint(res.Proto, " ", res.StatusCode, " ", n, " ", err)
}

// tlsLoad is load with its deadlines, then the end of the server's process while 40 streams are open, then a drain
// of a new one. What is drained has answers without bodies: when the last stream of a connection ends, net/http
// closes it, and whether it says so by a TLS alert before depends on whether another of its goroutines writes a
// WINDOW_UPDATE in that instant.
func tlsLoad(s *Sim) {
	w, clk := newTLSWorld(s), s.Clock()
	w.load("worker", 6, 12, 16*time.Millisecond, func() {})
	w.load("killed", 40, 1, time.Second, w.server.Kill)
	w.tr.CloseIdleConnections()
	clk.Sleep(time.Second)
	w.serving.Wait()
	w.server.Restart()
	w.serve()
	w.load("drained", 20, 1, time.Second, func() { drain(w.srv) })
	clk.Sleep(time.Second)
	w.tr.CloseIdleConnections()
	clk.Sleep(time.Second)
	_ = w.srv.Close()
	w.serving.Wait()
	clk.Sleep(10 * time.Second)
}

// drain begins what Shutdown does and does not wait for the end of it, as Shutdown looks for that at times which
// it draws from a source without a seed.
func drain(srv *http.Server) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = srv.Shutdown(over)
}

var noLog = log.New(io.Discard, "", 0)
