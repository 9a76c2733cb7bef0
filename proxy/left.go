package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"os"
	"time"

	"github.com/wavepool/wavepool/pool"
)

// lookAfter is for how long a request waits for its backend before it looks whether its client is still there, and then
// again. The wait has a deadline anyway; it is only met earlier, by those few that wait so long.
const lookAfter = 5 * time.Second

// nextLook is the end of a wait until then, or the next look at the client if that is sooner. The zero instant is never.
func (c *httpConn) nextLook(then, now time.Time) time.Time {
	if look := now.Add(lookAfter); then.IsZero() || look.Before(then) {
		return look
	}
	return then
}

// hasLeft says whether the client has left. A reset says so. The end of its stream alone does not: it may have closed the
// half on which it has no more to say, and wait for its answer, as HTTP permits; nginx, Envoy and net/http nevertheless
// take it for gone at once. Here it counts where the answer has stopped in its middle, when fin says so: who closes there
// has had enough of it.
func (c *httpConn) hasLeft(fin bool) bool {
	nc := c.nc
	if over, ok := nc.(*tls.Conn); ok { // which cannot be looked at; what lies below tells at least of a reset
		nc = over.NetConn()
	}
	switch err := pool.Peek(nc); err {
	case nil, pool.ErrUnexpectedData: // the next request
		return false
	case io.EOF:
		return fin
	}
	return true
}

// waitsOn says whether the wait for an answer's body goes on after an error: a deadline that was there for a look. It
// replaces the error where the client has left.
func (c *httpConn) waitsOn(b *backend, err *error) bool {
	if c.sender != nil || !errors.Is(*err, os.ErrDeadlineExceeded) || c.cutOff() {
		return false
	}
	now := c.s.now()
	if !now.Before(c.stallBy) {
		return false
	}
	if c.hasLeft(true) {
		*err = errClientGone
		return false
	}
	b.setRead(c.nextLook(c.stallBy, now))
	return !c.cutOff()
}
