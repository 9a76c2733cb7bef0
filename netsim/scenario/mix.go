package scenario

import (
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/proxy/config/form"
	"github.com/wavepool/wavepool/proxy/http1"
)

// Request is one kind of request of a client's mix.
type Request struct {
	// Weight is its share beside the others of the mix. Key weight, default 1, from 1 to 1000.
	Weight int
	// Method and Path make the request line. Defaults GET and /.
	Method, Path string
	// Body is the length of the request's body. Key body_bytes, default 0.
	Body Sizes
}

// Sizes is a number of bytes, drawn evenly from Min to Max, both included. A file gives one size, or a range:
// {uniform: {min: 1KiB, max: 100KiB}}. From 0 to 16MiB.
type Sizes struct{ Min, Max int }

func defaultRequest() Request { return Request{Weight: 1, Method: "GET", Path: "/"} }

func (q *Request) form() form.Form {
	return form.Form{
		{Key: "weight", Value: form.Int(&q.Weight, 1, 1000)},
		{Key: "method", Value: form.String(&q.Method, valid(http1.ValidMethod, "an HTTP method"))},
		{Key: "path", Value: form.String(&q.Path, valid(http1.ValidPath, "a path such as /index.html"))},
		{Key: "body_bytes", Value: q.Body.form()},
	}
}

func (s *Sizes) form() form.Value {
	var kind string
	return orScalar{
		plain: sizeValue{form.Size(&s.Max, 0, maxBody), s},
		Value: oneOf{kind: &kind, kinds: form.Form{{Key: Uniform, Value: form.Form{
			{Key: "min", Value: form.Size(&s.Min, 0, maxBody)}, {Key: "max", Value: form.Size(&s.Max, 0, maxBody)}}}}},
	}
}

func (s *Sizes) check(r *form.Report, path string) {
	low := form.Join(form.Join(path, Uniform), "min")
	if min(s.Min, s.Max) < 0 || max(s.Min, s.Max) > maxBody {
		r.Fail(path, "must be between 0 and 16MiB")
		return
	}
	if s.Min > s.Max && !r.Failed(low, form.Join(form.Join(path, Uniform), "max")) {
		r.Fail(low, "is more than max (%d > %d)", s.Min, s.Max)
	}
}

// draw takes one size. A fixed one takes nothing from the stream.
func (s *Sizes) draw(rnd *rand.Rand) int {
	if s.Min == s.Max {
		return s.Max
	}
	return s.Min + rnd.IntN(s.Max-s.Min+1)
}

// mix is what a client asks for, with the weights summed up.
type mix struct {
	kinds []Request
	total int
}

func (c *Client) mix() mix {
	m := mix{kinds: c.Requests}
	if len(m.kinds) == 0 {
		m.kinds = []Request{{Weight: 1, Method: c.Method, Path: c.Path, Body: Sizes{c.BodyBytes, c.BodyBytes}}}
	}
	for i := range m.kinds {
		m.total += m.kinds[i].Weight
	}
	return m
}

// largest is the longest body there may be.
func (m *mix) largest() int {
	n := 0
	for i := range m.kinds {
		n = max(n, m.kinds[i].Body.Max)
	}
	return n
}

// ask is one request: its number, and what was drawn for it.
type ask struct {
	n    int
	kind *Request
	size int
}

// draw chooses a kind of request and the size of its body.
func (m *mix) draw(rnd *rand.Rand) (*Request, int) {
	i := 0
	if len(m.kinds) > 1 {
		for x := rnd.IntN(m.total); x >= m.kinds[i].Weight; i++ {
			x -= m.kinds[i].Weight
		}
	}
	return &m.kinds[i], m.kinds[i].Body.draw(rnd)
}

// checkMix tells what the keys of a client's requests do to each other.
func (c *Client) checkMix(r *form.Report, path string) {
	for _, key := range []string{"method", "path", "body_bytes"} {
		if at := form.Join(path, key); len(c.Requests) > 0 && r.Given(at) {
			r.Fail(at, "stands beside requests; give it to each of them")
		}
	}
	refuse := func(at, method string) {
		if method == "HEAD" || method == "CONNECT" {
			r.Fail(form.Join(at, "method"), "%s is not simulated", method)
		}
	}
	refuse(path, c.Method)
	for i := range c.Requests {
		at := form.Index(form.Join(path, "requests"), i)
		refuse(at, c.Requests[i].Method)
		c.Requests[i].Body.check(r, form.Join(at, "body_bytes"))
	}
	backoff := form.Join(path, "backoff")
	if c.Retries == 0 && r.Given(backoff) {
		r.Fail(backoff, "means nothing without retries")
	}
	if budget := form.Join(path, "retry_budget"); c.Retries == 0 && r.Given(budget) {
		r.Fail(budget, "means nothing without retries")
	}
	c.Backoff.check(r, backoff)
}

// again says whether a client that repeats its requests would repeat one that ended so: whatever may go better next time.
func again(failure string) bool {
	return failure != "" && failure != FailWrongNonce && !strings.HasPrefix(failure, FailStatus+"4")
}

// backoff is how long a client waits before it makes a request for that further time, from 1 on: twice as long each time.
func (c *Client) backoff(rnd *rand.Rand, try int) time.Duration {
	return min(c.Backoff.draw(rnd)<<(try-1), maxDraw)
}

// maxPurse is how many retries a budget may save up.
const maxPurse = 10

// mayRetry takes a retry out of the purse of the budget, if there is one in it.
func (g *generator) mayRetry() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cfg.RetryBudget == 0 {
		return true
	}
	if g.purse < 1 {
		return false
	}
	g.purse--
	return true
}

// slowConn reads no faster than at a rate: a client at the end of a thin line, or one that does something with each piece.
// What it has not read waits in the buffers of the kernels between, and then at the sender.
type slowConn struct {
	net.Conn
	clk  clock.Clock
	rate int // bytes per second
}

// Read takes a tenth of a second's bytes at most, and the time that they take.
func (c *slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), max(c.rate/10, 1))])
	if n > 0 {
		c.clk.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate))
	}
	return n, err
}
