package pool

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tunedConn offers the settings, as a simulated connection may.
type tunedConn struct {
	fakeConn
	keepAlive   net.KeepAliveConfig
	userTimeout time.Duration
	err         error
}

func (c *tunedConn) SetKeepAliveConfig(k net.KeepAliveConfig) error { c.keepAlive = k; return c.err }
func (c *tunedConn) SetUserTimeout(d time.Duration) error           { c.userTimeout = d; return c.err }

// wrapped is a connection that says what it wraps, as *tls.Conn does.
type wrapped struct {
	fakeConn
	inner net.Conn
}

func (w *wrapped) NetConn() net.Conn { return w.inner }

func TestConnectionPoolSetsTCPSettingsOnWhateverOffersThem(t *testing.T) {
	keep := net.KeepAliveConfig{Enable: true, Idle: time.Minute}
	c := new(tunedConn)
	require.NoError(t, tune(c, keep, time.Second))
	require.Equal(t, keep, c.keepAlive)
	require.Equal(t, time.Second, c.userTimeout)

	inner := new(tunedConn)
	require.NoError(t, tune(&wrapped{inner: inner}, keep, time.Second))
	require.Equal(t, keep, inner.keepAlive, "through a wrapper")

	c = &tunedConn{err: errRefused}
	require.NoError(t, tune(c, net.KeepAliveConfig{}, 0), "nothing is set that nobody asked for")
	require.Zero(t, c.keepAlive)
	require.NoError(t, tune(new(fakeConn), keep, time.Second), "it offers neither")
	require.NoError(t, tune(&wrapped{}, keep, time.Second))
}

func TestConnectionPoolSaysWhichTCPSettingWasRefused(t *testing.T) {
	c := &tunedConn{err: errors.New("no such option")}
	require.ErrorContains(t, tune(c, net.KeepAliveConfig{Enable: true}, 0), "setting keep-alive: no such option")
	require.ErrorContains(t, tune(c, net.KeepAliveConfig{}, time.Second), "setting the user timeout: no such option")
}
