//go:build !linux

package pool

import (
	"net"
	"time"
)

// setUserTimeout does nothing: other systems have no such setting, or call it differently. Config.UserTimeout says so.
func setUserTimeout(net.Conn, time.Duration) error { return nil }
