package http2

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/proxy/http1"
)

// handle carries one stream: its request as HTTP/1.1 into a pipe, and the answer that comes back out of it.
func (f *Front) handle(w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(connKey{}).(*connection)
	if !ok || conn == nil || !conn.enter() {
		panic(http.ErrAbortHandler)
	}
	defer conn.leave(f.cfg.Clock)
	head, status := appendHead(make([]byte, 0, 1024), r)
	if status == 0 && !conn.nc.carries(len(head)) {
		status = http.StatusRequestHeaderFieldsTooLarge
	}
	if status != 0 {
		if f.cfg.Refused != nil {
			f.cfg.Refused(status, conn.tag)
		}
		w.WriteHeader(status)
		return
	}
	enough := f.wears(conn)
	near, far := pipe(f.cfg.Clock, remoteOf(r), remoteOf(r))
	var work sync.WaitGroup
	work.Add(2)
	launch(f.cfg.Clock, func() {
		defer work.Done()
		f.cfg.Serve(far, conn.tag)
		_ = far.Close()
	})
	// A client that resets its stream, or goes away, aborts the request.
	left := afterDone(r, near.reset)
	launch(f.cfg.Clock, func() {
		defer work.Done()
		sendBody(near, head, r, conn.nc.carriesTrailers)
	})
	err := f.answer(conn, w, r, near, enough)
	left()
	near.abort() // whatever is under way has no reader any more
	_ = r.Body.Close()
	work.Wait()
	if err != nil {
		panic(http.ErrAbortHandler) // the stream is reset: the answer was not whole
	}
}

// wears counts a request, and says whether it is the connection's last.
func (f *Front) wears(c *connection) (last bool) {
	if c.most <= 0 {
		return false
	}
	n, most := c.served.Add(1), int64(c.most)
	if most >= 100 && n >= most-most/10 {
		c.nc.warns.Store(true)
	}
	if n >= most {
		f.wornOut(c)
	}
	return n >= most
}

// wornOut tells, once, that a connection ends in order.
func (f *Front) wornOut(c *connection) {
	if c.worn.CompareAndSwap(false, true) && f.cfg.WornOut != nil {
		f.cfg.WornOut(c.tag)
	}
}

// sendBody writes the head and the body of a request, with those trailers that may go on.
func sendBody(near *pipeConn, head []byte, r *http.Request, mayCarry func([]http1.Field) bool) {
	if _, err := near.Write(head); err != nil || bodyless(r) {
		return
	}
	chunked := r.ContentLength < 0
	buf := make([]byte, 16<<10)
	out := make([]byte, 0, len(buf)+32)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			run := buf[:n]
			if chunked {
				out = http1.AppendChunkHead(out[:0], n)
				out = append(append(out, run...), "\r\n"...)
				run = out
			}
			if _, err := near.Write(run); err != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			if trailers := fieldsOf(r.Trailer); chunked && !mayCarry(trailers) {
				near.abort()
			} else if chunked {
				_, _ = near.Write(http1.AppendLastChunk(out[:0], trailers))
			}
			return
		case err != nil:
			near.abort() // the client has reset the stream, or sent another length than it had said
			return
		}
	}
}

// fieldsOf turns fields into the list of them, in the order of their names: a map has none.
func fieldsOf(h http.Header) []http1.Field {
	var out []http1.Field
	for _, name := range sortedNames(h) {
		for _, value := range h[name] {
			out = append(out, http1.Field{Name: []byte(name), Value: []byte(value)})
		}
	}
	return out
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h { // sorted below
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// hopByHop are the fields of an HTTP/1.1 answer that HTTP/2 has no place for (RFC 9113 section 8.2.2).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"}

var errCutOff = errors.New("http2: the answer was not whole")

// answerLimits leave room for what the proxy adds to the largest head that it passes on.
var answerLimits = http1.Limits{MaxHeadBytes: 2 * http1.DefaultMaxHeadBytes, MaxFields: 2 * http1.DefaultMaxFields}

// taker gives a client its time to take what is written to its stream. A client that opens no window would hold the stream,
// and what waits in it, for as long as it likes.
type taker struct {
	*http.ResponseController
	clk   clock.Clock
	limit time.Duration
	by    time.Time // the deadline that is set
}

// arm sees to it that the client has at least the limit from now on, and at most twice that.
func (t *taker) arm() {
	now := t.clk.Now()
	if t.limit <= 0 || t.by.Sub(now) >= t.limit {
		return
	}
	t.by = now.Add(2 * t.limit)
	_ = t.SetWriteDeadline(t.by) // on a stream that is gone it means nothing, and the next write tells
}

// rest takes the deadline away for as long as there is nothing to be taken: net/http resets a stream when it has passed, whether
// anything waits to be written or not.
func (t *taker) rest() {
	if !t.by.IsZero() {
		t.by = time.Time{}
		_ = t.SetWriteDeadline(t.by)
	}
}

// answer passes on what comes back, as it comes. After the last one the connection takes no more streams.
func (f *Front) answer(conn *connection, w http.ResponseWriter, r *http.Request, near *pipeConn, last bool) error {
	client := taker{ResponseController: http.NewResponseController(w), clk: f.cfg.Clock, limit: conn.takes}
	var reader http1.Reader
	var resp http1.Response
	reader.Reset(near)
	defer reader.Reset(nil)
	for {
		if err := reader.ReadResponse(&resp, []byte(r.Method), &answerLimits); err != nil {
			return err
		}
		if resp.Status >= 200 {
			break
		}
		if resp.Status == http.StatusContinue {
			continue // net/http sends it by itself when the body is read
		}
		h := w.Header()
		setFields(h, &resp)
		w.WriteHeader(resp.Status)
		clear(h)
	}
	setFields(w.Header(), &resp)
	if last {
		w.Header().Set("Connection", "close") // which makes net/http send a GOAWAY; it is no field of the answer
	}
	switch {
	case resp.Status == http.StatusNotModified: // it may have none, and net/http's client takes one for a body that is missing
		w.Header().Del("Content-Length")
	case resp.Framing == http1.NoBody && resp.ContentLength >= 0:
		w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	w.WriteHeader(resp.Status)
	var body http1.Body
	body.Start(&reader, resp.Framing, resp.ContentLength, nil)
	flusher, _ := w.(http.Flusher)
	for {
		if reader.Buffered() == 0 && !body.Done() {
			flusher.Flush() // nothing more is here: what waits may be what somebody waits for
			if near.quiet() {
				client.rest()
			}
		}
		run, err := body.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return errCutOff
		}
		client.arm()
		if _, err := w.Write(run); err != nil {
			return err
		}
	}
	client.arm() // net/http writes the end, when this has returned
	for _, t := range body.Trailers() {
		if http1.TrailerAllowed(t.Name) {
			w.Header().Add(http.TrailerPrefix+textproto.CanonicalMIMEHeaderKey(string(t.Name)), string(t.Value))
		}
	}
	return nil
}

// setFields puts an answer's fields into the header of the stream's.
func setFields(h http.Header, resp *http1.Response) {
	for _, f := range resp.Fields {
		name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
		if !slices.Contains(hopByHop, name) && !strings.EqualFold(name, "Trailer") {
			h.Add(name, string(f.Value))
		}
	}
	if h["Date"] == nil {
		h["Date"] = nil // net/http would add one of its own
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // and guess this
	}
}
