package proxy

import (
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/certs"
)

// Without a buffer between the two, an alert waits for its reader.
func TestAClientThatDoesNotReadTheEndOfTLSHoldsItsConnectionForASecond(t *testing.T) {
	for _, reads := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cert, key := certs.NewAuthority("ours", rand.New(rand.NewPCG(1, 1)), time.Now()).Issue(time.Hour, "a.test")
			pair, err := tls.X509KeyPair(cert, key)
			require.NoError(t, err)
			ours, theirs := net.Pipe()
			tc := tls.Server(ours, &tls.Config{Certificates: []tls.Certificate{pair}, SessionTicketsDisabled: true})
			made := make(chan error)
			go func() { made <- tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
			require.NoError(t, tc.Handshake())
			require.NoError(t, <-made)
			if reads {
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
			}
			c := &client{s: &Server{clk: clock.New()}, nc: tc}
			began := time.Now()
			c.hangUp()
			require.Equal(t, map[bool]time.Duration{true: 0, false: goodbyeTime}[reads], time.Since(began))
			c.s.serving.Wait()
			_ = theirs.Close()
		})
	}
}
