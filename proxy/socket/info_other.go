//go:build !(linux && (amd64 || arm64))

package socket

import "time"

// Moved knows nothing on this system: see the one for Linux.
func (c *Conn) Moved() (ago time.Duration, known bool) { return 0, false }
