package socket

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hold is a Buffer that knows whether it is borrowed.
type hold struct {
	mem      [16]byte
	n        int
	borrowed bool
}

func (h *hold) Room() []byte {
	h.borrowed = true
	return h.mem[h.n:]
}
func (h *hold) Filled(n int) { h.n += n }
func (h *hold) ReleaseBuffer() bool {
	h.borrowed = h.n > 0
	return !h.borrowed
}

// watchedReads tells of each read before it waits.
type watchedReads struct {
	net.Conn
	look func()
}

func (c *watchedReads) Read(p []byte) (int, error) {
	c.look()
	return c.Conn.Read(p)
}

// A connection that can only be read, as one of TLS: nothing is held until something has come, and nothing of it is lost.
func TestALongWaitHoldsNoBufferWhateverTheConnectionIs(t *testing.T) {
	for name, wait := range map[string]func(*Conn, *hold) error{
		"long":  func(c *Conn, h *hold) error { return c.AwaitLong(h) },
		"short": func(c *Conn, h *hold) error { return c.Await(h) },
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			defer far.Close()
			var c Conn
			var h hold
			c.Init(&watchedReads{near, func() { require.Equal(t, name == "short" && h.n == 0, h.borrowed && h.n == 0, "while it waits") }})
			require.NoError(t, near.SetReadDeadline(time.Now().Add(-time.Second)))
			require.ErrorIs(t, wait(&c, &h), os.ErrDeadlineExceeded)
			require.False(t, h.borrowed)
			require.NoError(t, near.SetReadDeadline(time.Time{}))
			go func() {

				_, _ = far.Write([]byte("hello"))
				_ = far.Close()
			}()
			require.NoError(t, wait(&c, &h))
			if name == "long" {
				require.Equal(t, "h", string(h.mem[:h.n]))
			}
			rest, err := io.ReadAll(&c)
			require.NoError(t, err)
			require.Equal(t, "hello", string(h.mem[:h.n])+string(rest))
			require.Error(t, wait(&c, &hold{}), "the end")
		})
	}
}
