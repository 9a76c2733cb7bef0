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
	"math/big"
	"net/http"
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

// tlsLoad is an ordinary HTTP/2 program over TLS: net/http's server and client, several workers on the streams of
// one connection, bodies both ways, and timeouts that cancel streams.
func tlsLoad(s *Sim, workers, requests int) {
	clk := s.Clock()
	cert, roots := certificate("server")
	server, client := s.Host("server", "10.0.0.1"), s.Host("client", "10.0.0.2")
	l, err := server.Listen(context.Background(), "tcp", ":443")
	if err != nil {
		panic(err)
	}
	srv := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			rnd := s.Rand(r.URL.Path)
			clk.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Millisecond))))
			s.Note("server"+r.URL.Path, "got", fmt.Sprint(len(body), " ", err))
			_, _ = w.Write(make([]byte, rnd.IntN(30_000)))
		})}
	var serving, wg sync.WaitGroup
	serving.Go(func() { _ = srv.ServeTLS(EagerListener(l, 0), "", "") })
	tr := &http.Transport{DialContext: EagerDial(client.DialContext, 0), ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: roots}}
	tlsWorker(s, tr, "first", 1) // alone: when many wait for the first connection, net/http dials one for each
	for i := range workers {
		wg.Add(1)
		clk.AfterFunc(0, func() {
			defer wg.Done()
			tlsWorker(s, tr, fmt.Sprint("worker", i), requests)
		})
	}
	wg.Wait()
	tr.CloseIdleConnections()
	clk.Sleep(time.Second) // not in one instant with the server's end
	_ = srv.Close()
	serving.Wait()
	clk.Sleep(10 * time.Second)
}

func tlsWorker(s *Sim, tr *http.Transport, name string, requests int) {
	clk, rnd := s.Clock(), s.Rand(name)
	for n := range requests {
		clk.Sleep(time.Duration(rnd.Int64N(int64(10 * time.Millisecond))))
		ctx, cancel := clk.WithTimeout(context.Background(), 16*time.Millisecond)
		body := bytes.NewReader(make([]byte, rnd.IntN(30_000)))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://server/%s-%03d", name, n), body)
		if err != nil {
			panic(err)
		}
		s.Note(name, "answer", answerOf(tr.RoundTrip(req)))
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
