//go:build !linux

package pool

import (
	"net"
	"syscall"
	"time"
)

// setUserTimeout does nothing: other systems have no such setting, or call it differently. Config.UserTimeout says so.
func setUserTimeout(net.Conn, time.Duration) error { return nil }

// endedBehindData knows nothing: the end of such a connection shows when its bytes have been read.
func endedBehindData(syscall.RawConn) bool { return false }
