// Package tunnel carries bytes both ways between two connections until both have ended: for TCP listeners, and for
// HTTP connections that switched to another protocol.
//
// [Run] copies in both directions at once. When one side ends its stream (FIN), the other side's write half is closed
// and the opposite direction goes on: half-closed protocols work. An error on either side ends both directions. So
// does an idle time in which no byte went either way.
//
// The first 64 KiB of a direction pass through a buffer, which is held only while there is something in it; between two
// TCP sockets of the kernel the rest is spliced, a pipe at a time, and a direction in which nothing comes holds none. So a
// quiet tunnel costs its two goroutines and nothing else.
//
// Before the idle time ends a tunnel, the kernel is asked whether data has moved on either connection that no call of ours
// has told of yet. A peer that takes bytes slowly is not idle, unless it takes less than a pipe's 64 KiB in that time.
//
// Run neither opens nor closes the connections; whoever called it closes both afterwards. To end a tunnel from
// outside, let Config.Stop say so and then set a deadline in the past on both connections, or close them. Without Stop
// the tunnel, which sets deadlines of its own, would take such a deadline for its own.
package tunnel
