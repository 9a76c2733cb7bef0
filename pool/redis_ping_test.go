package pool_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

// askPing is a Config.Ping.
func askPing(_ context.Context, nc net.Conn) error {
	text, err := (&redis{nc, bufio.NewReader(nc)}).do("PING")
	if err == nil && text != "PONG" {
		err = fmt.Errorf("PING was answered %q", text)
	}
	return err
}

func TestConnectionPoolPingsARealRedis(t *testing.T) {
	cfg := pool.Config{Network: "unix", Address: startRedis(t), MaxConnections: 2, Setup: logIn,
		Ping: askPing, PingAfter: 1, PingTimeout: time.Minute}
	p, err := pool.New(cfg)
	require.NoError(t, err)
	defer p.Close()
	for range 50 {
		_, err = command(t.Context(), p, "INCR", "n")
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, p.Stats().Begun)
	stats, err := command(t.Context(), p, "INFO", "commandstats")
	require.NoError(t, err)
	require.Contains(t, stats, "cmdstat_ping:calls=50,", "one before each loan of an idle connection")

	// A connection that is open and of no use: no look finds that. The user may do nothing any more but end.
	_, err = command(t.Context(), p, "ACL", "SETUSER", "default", "-ping")
	require.NoError(t, err)
	n, err := command(t.Context(), p, "INCR", "n")
	require.NoError(t, err)
	require.Equal(t, "51", n)
	require.EqualValues(t, 1, p.Stats().Retired[pool.ReasonPingFailed])
}
