package socket

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSendAwaitSendsAndReadsTheAnswerIntoTheBuffer(t *testing.T) {
	if !direct {
		t.Skip("this build leaves waiting to the net package")
	}
	bothWays(t, func(t *testing.T, c *Conn, far net.Conn) {
		if c.raw == nil {
			return // see the test of a connection that only writes
		}
		for range 20 {
			var s shelf
			done := make(chan struct{})
			go func() {
				defer close(done)
				p := make([]byte, 16)
				n, err := far.Read(p)
				if err == nil {
					_, err = far.Write([]byte("answer to " + string(p[:n])))
				}
				if err != nil {
					t.Error(err)
				}
			}()
			n, err := c.SendAwait([]byte("ask"), &s)
			<-done
			require.NoError(t, err)
			require.Equal(t, 3, n)
			require.Equal(t, "answer to ask", string(s.room[:s.holds]))
			require.Equal(t, 1, s.borrowed, "no buffer was held while it waited")
		}
	})
}

func TestSendAwaitOnAnyOtherConnectionOnlyWrites(t *testing.T) {
	near, far := pair(t, "tcp")
	var c Conn
	c.Init(plain{near})
	var s shelf
	n, err := c.SendAwait([]byte("ask"), &s)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	p := make([]byte, 8)
	n, err = far.Read(p)
	require.NoError(t, err)
	require.Equal(t, "ask", string(p[:n]))
	require.Zero(t, s.borrowed)
}

func TestSendAwaitLeavesADeadlineToTheNextRead(t *testing.T) {
	near, far := pair(t, "tcp")
	var c Conn
	c.Init(near)
	var s shelf
	p := make([]byte, 8)
	for _, limit := range []time.Duration{20 * time.Millisecond, -time.Second} { // met in the wait, and before it
		require.NoError(t, near.SetReadDeadline(time.Now().Add(limit)))
		n, err := c.SendAwait([]byte("ask"), &s)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		_, err = io.ReadFull(far, p[:3])
		require.NoError(t, err, "the request left, whatever the deadline for the answer")
		_, err = c.Read(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Nil(t, s.room)
	}
	require.NoError(t, near.SetReadDeadline(time.Time{}))
	_, err := far.Write([]byte("late"))
	require.NoError(t, err)
	n, err := c.Read(p)
	require.NoError(t, err)
	require.Equal(t, "late", string(p[:n]))
}

func TestSendAwaitTellsOfAPeerThatHasClosed(t *testing.T) {
	if !direct {
		t.Skip("this build leaves waiting to the net package")
	}
	t.Run("before", func(t *testing.T) {
		near, far := pair(t, "tcp")
		var c Conn
		c.Init(near)
		var s shelf
		require.NoError(t, near.SetReadDeadline(time.Now().Add(5*time.Second)))
		require.NoError(t, far.Close())
		n, err := c.SendAwait([]byte("ask"), &s)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		_, err = c.Read(make([]byte, 8))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Nil(t, s.room)
	})
	t.Run("in the wait", func(t *testing.T) {
		near, far := pair(t, "tcp")
		var c Conn
		c.Init(near)
		var s shelf
		go func() {
			_, _ = far.Read(make([]byte, 8))
			_ = far.Close()
		}()
		n, err := c.SendAwait([]byte("ask"), &s)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		_, err = c.Read(make([]byte, 8))
		require.Equal(t, io.EOF, err)
		require.Nil(t, s.room)
	})
}

func TestSendAwaitGoesOnWithAWriteThatTheBufferOfTheSocketDoesNotTake(t *testing.T) {
	near, far := pair(t, "tcp")
	require.NoError(t, near.(*net.TCPConn).SetWriteBuffer(4<<10))
	require.NoError(t, far.(*net.TCPConn).SetReadBuffer(16<<10))
	var c Conn
	c.Init(near)
	out := strings.Repeat("0123456789abcdef", maxDirect/16)
	got := make(chan string, 2)
	go func() {
		all := make([]byte, len(out))
		for range cap(got) {
			_, _ = io.ReadFull(far, all)
			got <- string(all)
			_, _ = far.Write([]byte("k"))
		}
	}()
	for range cap(got) {
		var s shelf
		n, err := c.SendAwait([]byte(out), &s)
		require.NoError(t, err)
		require.Equal(t, len(out), n)
		require.True(t, out == <-got)
		if s.holds == 0 { // the write had to wait, so the answer was left to a read
			_, err = c.Read(make([]byte, 8))
			require.NoError(t, err)
		}
	}
}
