package http2

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/netsim"
)

// What net/http has to say to it waits behind an answer that the client does not take.
func TestAFloodedClientThatNeverReadsIsGoneInSeconds(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 1, Latency: time.Millisecond}, func(s *netsim.Sim) {
		clk := s.Clock()
		flooded, ended := make(chan time.Duration, 1), make(chan time.Duration, 1)
		f := NewFront(FrontConfig{Clock: clk, Flooded: func(string, any) { flooded <- s.Elapsed() }, Serve: func(stream net.Conn, _ any) {
			_, _ = io.WriteString(stream, "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n"+strings.Repeat("a", 8<<20))
			_ = stream.Close()
		}})
		ln, err := s.Host("server", "").Listen(context.Background(), "tcp", ":80")
		require.NoError(t, err)
		clk.AfterFunc(0, func() {
			nc, err := ln.Accept()
			if err == nil {
				f.ServeConn(nc, nil)
				ended <- s.Elapsed()
			}
		})
		nc, err := s.Host("client", "").DialContext(context.Background(), "tcp", "server:80")
		require.NoError(t, err)
		fr := http2.NewFramer(nc, nil)
		_, err = io.WriteString(nc, http2.ClientPreface)
		require.NoError(t, err)
		require.NoError(t, fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow}))
		require.NoError(t, fr.WriteWindowUpdate(0, 1<<30))
		var block strings.Builder
		enc := hpack.NewEncoder(&block)
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}} {
			require.NoError(t, enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
		}
		require.NoError(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndStream: true, EndHeaders: true}))
		clk.Sleep(time.Second)
		for range 2 * noiseMost {
			if fr.WritePing(false, [8]byte{}) != nil {
				break
			}
		}
		clk.Sleep(2 * time.Minute)
		require.InDelta(t, 4, (<-ended - <-flooded).Seconds(), 0.1, "the time, and a second of net/http's")
		_, _ = nc.Close(), ln.Close()
		f.Close()
		clk.Sleep(time.Minute)
	})
}

// Both ends of TLS without a buffer between them: who is not read waits.
func tlsPair(t *testing.T) (server *tls.Conn, client net.Conn) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.test"},
		NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.NewChaCha8([32]byte{}), template, template, key.Public(), key)
	require.NoError(t, err)
	ours, theirs := net.Pipe()
	server = tls.Server(ours, &tls.Config{SessionTicketsDisabled: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	made := make(chan error)
	go func() { made <- tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	require.NoError(t, server.Handshake())
	require.NoError(t, <-made)
	return server, theirs
}

func TestTheEndOfTLSWaitsNoLongerThanASecondForAClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := tlsPair(t)
		g := newGuarded(server, clock.New(), nil, nil)
		began := time.Now()
		_ = g.Close()
		require.Equal(t, goodbyeTime, time.Since(began))
		g.work.Wait()
		_ = client.Close()

		server, client = tlsPair(t)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		g = newGuarded(server, clock.New(), nil, nil)
		began = time.Now()
		require.NoError(t, g.Close())
		require.Zero(t, time.Since(began), "one that reads")
		g.judge("too late")
		g.work.Wait()
		_ = client.Close()
	})
}
