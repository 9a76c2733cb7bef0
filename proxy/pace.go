package proxy

import (
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/socket"
)

// pace holds a client that sends a body to the listener's body_timeout and min_body_rate. Only the time counts in which
// the client is waited for: a backend that takes the body slowly makes nobody late. It needs no timer of its own; the
// limit of each wait is a read deadline.
type pace struct {
	idle   time.Duration // the longest wait for a byte
	rate   int64         // bytes a second; 0: any will do
	got    int64         // bytes of the body so far
	waited time.Duration
	since  time.Time // the beginning of the present wait
	until  time.Time // and its end
	polite bool      // the client waits for the backend's word before it sends: until it has, the time is not its own
}

// maxCredit bounds the time that bytes which have come pay for, so that it can be reckoned with.
const maxCredit = 365 * 24 * time.Hour

// newPace is for a body of which some has come with the head; polite is for a client that expects a 100 first.
func newPace(l *config.Listener, got int64, polite bool) pace {
	return pace{idle: l.BodyTimeout, rate: int64(max(l.MinBodyRate, 0)), got: got, polite: polite && got == 0}
}

// begin begins a wait, and returns the instant at which it is over.
func (p *pace) begin(now time.Time) time.Time {
	p.since = now
	limit := p.idle
	if p.rate > 0 && !p.polite {
		// For what has come, as long as it may have taken; and the grace.
		paid := maxCredit
		if seconds := p.got / p.rate; seconds < int64(maxCredit/time.Second) {
			paid = time.Duration(seconds)*time.Second + time.Duration(p.got%p.rate)*time.Second/time.Duration(p.rate)
		}
		limit = max(min(limit, config.BodyGrace+paid-p.waited), 0)
	}
	p.until = now.Add(limit)
	return p.until
}

// excuse asks for no rate any more.
func (p *pace) excuse() { p.rate = 0 }

// end ends it, with so many bytes.
func (p *pace) end(now time.Time, n int) {
	if p.polite {
		p.polite, p.since = false, now
	}
	p.waited += max(now.Sub(p.since), 0)
	p.got += int64(n)
}

// spliced ends a wait of a splice, in which the backend has been waited for as well. That only tells for the client when
// little has come of it: if the backend was the slow one, more of the body was there.
func (p *pace) spliced(now time.Time, n int) {
	if n >= socket.SpliceMax/4 {
		p.since = now
	}
	p.end(now, n)
}
