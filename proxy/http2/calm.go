package http2

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/benbjohnson/clock"
)

// What a peer may do that costs this side more than it costs the peer, and brings neither any further. Frames of HTTP/2 are
// cheap to send by the thousand; net/http answers or drops each of them as it comes, without end (RFC 9113 section 10.5 leaves it to
// us). What is useful pays for what is not: data and heads that are sent allow more, and so does time.
const (
	// noiseMost is how many frames without use a peer may send at once: SETTINGS, PING, PRIORITY, GOAWAY, empty DATA,
	// CONTINUATION, WINDOW_UPDATE, and those that nobody knows. noiseRate is how many more each second allows, noisePaid
	// how many each frame of DATA or HEADERS that goes to the peer: it may answer one by two WINDOW_UPDATE and a PING.
	noiseMost, noiseRate, noisePaid = 1000, 100, 4
	// windowLeast is the least by which a WINDOW_UPDATE that gives back what the peer was sent is of use, in bytes. Those are not
	// counted by frames: who reads a long body by pieces of 4 KiB, as net/http does for whoever reads so, sends two for each piece
	// of a frame that may have 16 KiB and more, and may do so for all that lay in its windows at once.
	windowLeast = 256
	// resetMost is how many streams may end at once without an answer because the client resets them (CVE-2023-44487) or
	// makes the server do so (CVE-2025-8671): each has cost a backend something. resetRate is how many more each second
	// allows; each answer that was sent whole allows one. A stream that has lived for patience is none of these, but a frame
	// like others: the number of streams that there may be bounds how often that comes, and when a backend hangs, clients whose
	// patience is at its end reset all that they have asked it.
	resetMost, resetRate, resetPaid = 500, 100, 1
	patience                        = 500 * time.Millisecond
)

// allowance is an account of what may be done.
type allowance struct {
	most, rate int
	left       int
	at         time.Time // when it was last filled up by time
}

// spend takes one, and says whether there was one. The clock is read only when the account is empty.
func (a *allowance) spend(clk clock.Clock) bool {
	if a.left == 0 {
		now := clk.Now()
		if by := int(min(now.Sub(a.at).Seconds()*float64(a.rate), float64(a.most))); by > 0 {
			a.left, a.at = by, now
		}
	}
	if a.left == 0 {
		return false
	}
	a.left--
	return true
}

func (a *allowance) add(n int) { a.left = min(a.left+n, a.most) }

// calm judges how a peer behaves by the heads of its frames, and of those that it is sent. It is safe for concurrent use.
type calm struct {
	clk clock.Clock

	mu     sync.Mutex // never held over a wait
	noise  allowance
	resets allowance
	owed   int64    // bytes of windows that the peer may give back, twice for each byte of DATA: a stream's and the connection's
	over   []uint32 // the streams that we have reset last, up to keepOver of them; the next one takes the place at oldest
	oldest int
	newest opening    // the stream that was opened last
	marks  [4]opening // some before it, at least half of patience apart, in a ring; the next one takes the place at mark
	mark   int
}

// opening is when a stream was opened. Those of lower numbers were opened before.
type opening struct {
	id uint32
	at time.Time
}

// keepOver is how many streams that we have reset are remembered.
const keepOver = 256

func newCalm(clk clock.Clock) *calm {
	now := clk.Now()
	return &calm{
		clk:    clk,
		noise:  allowance{most: noiseMost, rate: noiseRate, left: noiseMost, at: now},
		resets: allowance{most: resetMost, rate: resetRate, left: resetMost, at: now},
	}
}

// Why a connection is given up.
const (
	floodNoise  = "too many frames without use"
	floodResets = "too many streams were reset"
)

// heard notes a frame of the peer's, and says why the connection must end; "" where it need not.
func (c *calm) heard(f *frames) string {
	switch f.kind() {
	case frameData:
		if f.size > 0 || f.flags()&flagEndStream != 0 {
			return ""
		}
	case frameHeaders:
		c.opens(f.id())
		return ""
	case frameSettings, framePing:
		if f.flags()&flagAck != 0 { // of what we have sent; net/http takes no other
			return ""
		}
	case frameReset:
		return c.wasReset(f.id())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.kind() == frameWindow && len(f.keep) == 4 {
		if by := int64(binary.BigEndian.Uint32(f.keep) & maxWindow); by >= windowLeast && by <= c.owed {
			c.owed -= by
			return ""
		}
	}
	if !c.noise.spend(c.clk) {
		return floodNoise
	}
	return ""
}

// hasReset notes that we have reset a stream of the peer's, with a code of RFC 9113 section 7.
func (c *calm) hasReset(id, code uint32) string {
	if c.again(id) && code == codeClosed { // DATA that was under way when an early answer ended the stream (section 5.1)
		return ""
	}
	switch code {
	case 0, 2: // NO_ERROR: the answer was there before the body; INTERNAL_ERROR: it has broken off at the backend
		return ""
	case codeRefused: // before anything was done for it: more streams than there may be
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.noise.spend(c.clk) {
			return floodNoise
		}
		return ""
	}
	return c.wasReset(id)
}

// again notes a stream that we have reset, and says whether we had before.
func (c *calm) again(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case slices.Contains(c.over, id):
		return true
	case len(c.over) < keepOver:
		c.over = append(c.over, id)
	default:
		c.over[c.oldest] = id
		c.oldest = (c.oldest + 1) % keepOver
	}
	return false
}

// opens notes that a stream has been opened, unless its number is that of an older one, whose trailers these are.
func (c *calm) opens(id uint32) {
	now := c.clk.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if id <= c.newest.id {
		return
	}
	c.newest = opening{id, now}
	if last := c.marks[(c.mark+len(c.marks)-1)%len(c.marks)]; now.Sub(last.at) >= patience/2 {
		c.marks[c.mark] = c.newest
		c.mark = (c.mark + 1) % len(c.marks)
	}
}

// hasLived says whether a stream was opened patience ago, or earlier. It may say no for one that has lived for less than twice
// that, where others are opened all the time.
func (c *calm) hasLived(id uint32, now time.Time) bool {
	lived := func(o opening) bool { return o.id >= id && !o.at.IsZero() && now.Sub(o.at) >= patience }
	return id > 0 && (lived(c.newest) || slices.ContainsFunc(c.marks[:], lived))
}

func (c *calm) wasReset(id uint32) string {
	now := c.clk.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.hasLived(id, now):
		if !c.noise.spend(c.clk) {
			return floodNoise
		}
	case !c.resets.spend(c.clk):
		return floodResets
	}
	return ""
}

// sent notes a frame that goes to the peer.
func (c *calm) sent(f *frames) {
	if k := f.kind(); k != frameData && k != frameHeaders {
		return
	}
	c.mu.Lock()
	c.noise.add(noisePaid)
	if f.kind() == frameData {
		c.owed += 2 * int64(f.size)
	}
	if f.flags()&flagEndStream != 0 {
		c.resets.add(resetPaid)
	}
	c.mu.Unlock()
}
