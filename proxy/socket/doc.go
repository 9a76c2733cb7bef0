// Package socket moves the bytes of one connection with as little around each system call as can be.
//
// A [Conn] stands beside a net.Conn and never around it: whoever needs the connection itself (to splice, to look at it
// without reading, to set a deadline) uses that. Where the connection is a TCP or Unix socket of the kernel, Read, Write
// and Await make their non-blocking system calls themselves, through syscall.RawConn: deadlines, Close and the waiting
// for readiness are the net package's own as ever, and so are the errors. Any other connection, a simulated one above
// all, is used by its own methods.
//
// What is saved, on Linux with amd64 and arm64:
//
//   - The call does not tell Go's scheduler that it may block, since it cannot. Telling costs a little each time, and much
//     when the machine is busy: the kernel carries a packet over loopback within the sender's call, which may then take
//     longer than the 20 us after which the scheduler gives the caller's place to another thread.
//   - recvfrom and sendto take a shorter way in the kernel than read and write.
//   - Await waits for bytes without holding a buffer, and reads them in the call that finds them: one system call less
//     than looking first and reading then. SendAwait sends a request and waits for its answer in the same manner.
//
// A Conn has no lock. One goroutine may read (Read, Await) while another one writes.
package socket
