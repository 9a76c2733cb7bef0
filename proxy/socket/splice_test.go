package socket

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chain is a sender, whose bytes reach src, and dst, whose bytes reach a receiver.
func chain(t testing.TB) (from net.Conn, src, dst *Conn, to net.Conn) {
	t.Helper()
	if !splices {
		t.Skip("this build does not splice")
	}
	from, b := pair(t, "tcp")
	c, to := pair(t, "tcp")
	src, dst = new(Conn), new(Conn)
	src.Init(b)
	dst.Init(c)
	require.True(t, CanSplice(dst, src))
	return from, src, dst, to
}

func TestSpliceMovesEveryByteInOrderAndSaysWhenTheStreamEnds(t *testing.T) {
	from, src, dst, to := chain(t)
	want := bytes.Repeat([]byte("0123456789abcdefg"), 200_000)
	got := make(chan []byte, 1)
	go func() {
		_, _ = from.Write(want)
		_ = from.(*net.TCPConn).CloseWrite()
	}()
	go func() {
		all, _ := io.ReadAll(to)
		got <- all
	}()
	var sum int64
	for {
		n, srcErr, dstErr := Splice(dst, src, 100_000)
		require.NoError(t, dstErr)
		require.LessOrEqual(t, n, int64(SpliceMax))
		sum += n
		if srcErr != nil {
			require.Equal(t, io.EOF, srcErr)
			break
		}
		require.Positive(t, n)
	}
	require.Equal(t, int64(len(want)), sum)
	require.NoError(t, dst.NetConn().Close())
	require.True(t, bytes.Equal(want, <-got))
}

func TestSpliceNeverTakesMoreThanItsLimit(t *testing.T) {
	from, src, dst, to := chain(t)
	_, err := from.Write([]byte("hello, world"))
	require.NoError(t, err)
	n, srcErr, dstErr := Splice(dst, src, 5)
	require.NoError(t, srcErr)
	require.NoError(t, dstErr)
	require.Equal(t, int64(5), n)
	p := make([]byte, 20)
	k, err := to.Read(p)
	require.NoError(t, err)
	require.Equal(t, "hello", string(p[:k]))
	k, err = src.Read(p)
	require.NoError(t, err)
	require.Equal(t, ", world", string(p[:k]))
}

func TestASpliceThatWaitsForBytesHoldsNoPipe(t *testing.T) {
	_, src, dst, _ := chain(t)
	free := func() int {
		pipes.Lock()
		defer pipes.Unlock()
		return len(pipes.free)
	}
	before := free()
	require.NoError(t, src.NetConn().SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, srcErr, dstErr := Splice(dst, src, SpliceMax)
	require.ErrorIs(t, srcErr, os.ErrDeadlineExceeded)
	require.NoError(t, dstErr)
	require.Nil(t, src.take.pipe)
	require.Equal(t, max(before, 1), free(), "the pipe is back")
}

func TestASpliceIntoAPeerThatDoesNotReadMeetsItsDeadline(t *testing.T) {
	from, src, dst, _ := chain(t)
	go func() {
		for {
			if _, err := from.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	require.NoError(t, dst.NetConn().SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	for {
		_, srcErr, dstErr := Splice(dst, src, SpliceMax)
		require.NoError(t, srcErr)
		if dstErr != nil {
			require.ErrorIs(t, dstErr, os.ErrDeadlineExceeded)
			break
		}
	}
	require.NoError(t, from.Close())
}

func TestSpliceTellsWhichSideFailed(t *testing.T) {
	from, src, dst, _ := chain(t)
	require.NoError(t, from.(*net.TCPConn).SetLinger(0))
	require.NoError(t, from.Close())
	_, srcErr, dstErr := Splice(dst, src, SpliceMax)
	require.ErrorIs(t, srcErr, syscall.ECONNRESET)
	require.NoError(t, dstErr)

	from, src, dst, to := chain(t)
	require.NoError(t, to.(*net.TCPConn).SetLinger(0))
	require.NoError(t, to.Close())
	for dstErr == nil {
		_, err := from.Write([]byte("x"))
		require.NoError(t, err)
		_, srcErr, dstErr = Splice(dst, src, SpliceMax)
		require.NoError(t, srcErr)
	}
	var opErr *net.OpError
	require.ErrorAs(t, dstErr, &opErr)
	require.Equal(t, "write", opErr.Op)
}

func TestOnlyTCPSocketsOfTheKernelAreSpliced(t *testing.T) {
	_, src, _, _ := chain(t)
	near, _ := pair(t, "unix")
	var other Conn
	other.Init(near)
	require.False(t, CanSplice(&other, src))
	require.False(t, CanSplice(src, &other))
	other.Init(plain{near})
	require.False(t, CanSplice(&other, src))
	_, err, _ := Splice(&other, src, 1)
	require.ErrorIs(t, err, errNotSpliced)
}

func TestASpliceAllocatesNothingOnceItHasAPipe(t *testing.T) {
	from, src, dst, to := chain(t)
	p := make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		if _, err := from.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, a, b := Splice(dst, src, SpliceMax); a != nil || b != nil {
			t.Fatal(a, b)
		}
		if _, err := to.Read(p); err != nil {
			t.Fatal(err)
		}
	}))
}
