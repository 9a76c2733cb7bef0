//go:build !(linux && (amd64 || arm64))

package socket

import "syscall"

// direct says that this build leaves all system calls to the net package, and splices that it cannot splice.
const (
	direct  = false
	splices = false
)

func receive(uintptr, []byte) (int, syscall.Errno) {
	panic("socket: receive without a system call of ours")
}

func send(uintptr, []byte) (int, syscall.Errno) { panic("socket: send without a system call of ours") }

func splice(uintptr, uintptr, int) (int, syscall.Errno) { panic("socket: splice where there is none") }

func newPipe() (*pipe, syscall.Errno) { panic("socket: newPipe where there is no splice") }

func (p *pipe) destroy() {}
