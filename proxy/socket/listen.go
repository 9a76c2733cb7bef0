package socket

import (
	"context"
	"net"
	"syscall"
	"time"
)

// The keep-alive of accepted connections, which are the net package's own defaults: a probe after 15 s of silence and
// every 15 s from then on, and nine without an answer end the connection.
const (
	keepAliveIdle     = 15 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 9
)

// Listen opens a listener. Its connections have TCP keep-alive as those of a *net.ListenConfig, but from the listening
// socket itself where the kernel lets them inherit it, instead of by four system calls for each.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	cfg := net.ListenConfig{} // real: this is the default of a listen function's door
	if inherits {
		cfg.KeepAlive, cfg.Control = -1, keepAlive
	}
	return cfg.Listen(ctx, network, address)
}

// keepAlive switches keep-alive on at a socket that is about to listen.
func keepAlive(network, _ string, raw syscall.RawConn) error {
	if len(network) < 3 || network[:3] != "tcp" {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) { failed = setKeepAlive(int(fd)) })
	if err != nil {
		return err
	}
	return failed
}
