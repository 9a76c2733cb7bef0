//go:build !(linux && (amd64 || arm64))

package socket

import "syscall"

// direct says that this build leaves all system calls to the net package.
const direct = false

func receive(uintptr, []byte) (int, syscall.Errno) {
	panic("socket: receive without a system call of ours")
}

func send(uintptr, []byte) (int, syscall.Errno) { panic("socket: send without a system call of ours") }
