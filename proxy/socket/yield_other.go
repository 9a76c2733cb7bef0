//go:build !linux || !(amd64 || arm64)

package socket

// Yield does nothing on this system.
func Yield() {}
