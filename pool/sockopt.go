package pool

import (
	"fmt"
	"net"
	"time"
)

// keepAliver and userTimeouter are what a connection offers whose keep-alive and user timeout can be set.
// *net.TCPConn is the first; a simulated one may be both.
type (
	keepAliver interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}
	userTimeouter interface{ SetUserTimeout(time.Duration) error }
)

// tune sets the TCP settings on a connection straight from its dial. Connections that do not offer a setting are left
// alone; one whose kernel refuses it is no connection that the user asked for. A wrapper such as *tls.Conn says through
// NetConn what it wraps.
func tune(nc net.Conn, keepAlive net.KeepAliveConfig, userTimeout time.Duration) error {
	if keepAlive == (net.KeepAliveConfig{}) && userTimeout <= 0 {
		return nil
	}
	if w, ok := nc.(interface{ NetConn() net.Conn }); ok {
		if inner := w.NetConn(); inner != nil {
			nc = inner
		}
	}
	if k, ok := nc.(keepAliver); ok && keepAlive != (net.KeepAliveConfig{}) {
		if err := k.SetKeepAliveConfig(keepAlive); err != nil {
			return fmt.Errorf("setting keep-alive: %w", err)
		}
	}
	if userTimeout <= 0 {
		return nil
	}
	var err error
	if u, ok := nc.(userTimeouter); ok {
		err = u.SetUserTimeout(userTimeout)
	} else {
		err = setUserTimeout(nc, userTimeout)
	}
	if err != nil {
		return fmt.Errorf("setting the user timeout: %w", err)
	}
	return nil
}
