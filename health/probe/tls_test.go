package probe

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/certs"
)

// shaker is what the two sides of a handshake need.
type shaker struct {
	server tls.Certificate
	trust  *x509.CertPool
}

func newShaker(t *testing.T, valid time.Duration, names ...string) *shaker {
	root := certs.NewAuthority("root", rand.New(rand.NewPCG(1, 2)), time.Now())
	cert, key := root.Issue(valid, names...)
	s := &shaker{trust: x509.NewCertPool()}
	require.True(t, s.trust.AppendCertsFromPEM(root.PEM()))
	var err error
	s.server, err = tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	return s
}

func (s *shaker) client(nc net.Conn, _ string) *tls.Conn {
	return tls.Client(nc, &tls.Config{RootCAs: s.trust, ServerName: "backend.test", Time: time.Now})
}

// serve shakes hands, and then reads until the peer goes away.
func (s *shaker) serve(conn net.Conn) {
	tc := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.server}, Time: time.Now})
	if tc.Handshake() == nil {
		silent(tc)
	}
}

func TestTLSIsContentWithAHandshakeAndClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShaker(t, 365*24*time.Hour, "backend.test")
		network := &fakeNet{serve: s.serve}
		require.NoError(t, TLS(network, s.client).Probe(within(t), address))
		network.settle(t)
	})
}

func TestABackendThatDoesNotShakeHandsIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShaker(t, 365*24*time.Hour, "backend.test")
		for name, c := range map[string]struct {
			serve func(net.Conn)
			want  Reason
			says  string
		}{
			"the certificate of another name": {newShaker(t, 365*24*time.Hour, "other.test").serve, BadAnswer, "certificate"},
			"a certificate that has expired":  {newShaker(t, time.Hour, "backend.test").serve, BadAnswer, "certificate"},
			"clear text": {func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}, BadAnswer, "handshake"},
			"closed at once":               {func(net.Conn) {}, BadAnswer, "handshake"},
			"silence":                      {silent, Timeout, ""},
			"nothing is read of the hello": {func(net.Conn) { time.Sleep(time.Minute) }, Timeout, ""},
		} {
			network := &fakeNet{serve: c.serve}
			begun := time.Now()
			err := TLS(network, s.client).Probe(within(t), address)
			requireKind(t, c.want, err)
			require.ErrorContains(t, err, c.says, name)
			if c.want == Timeout {
				require.Equal(t, time.Second, time.Since(begun), name)
			}
			network.settle(t)
		}
	})
}
