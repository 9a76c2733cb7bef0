//go:build linux && (amd64 || arm64)

package socket

import "syscall"

// Yield lets other threads of the machine run that have waited for this processor (sched_yield(2)). The goroutine keeps its
// place: Go's scheduler is not asked, and nothing of a simulation depends on it.
func Yield() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
}
