package http2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wavepool/wavepool/proxy/http1"
)

// forwarded are the limits of a request that is carried. It has been through narrower ones.
var forwarded = http1.Limits{MaxHeadBytes: 8 << 20, MaxFields: 100_000, MaxTargetBytes: 4 << 20}

// carry is the goroutine of a stream: it reads the request, has net/http carry it, and writes the answer.
func (s *Stream) carry() {
	defer func() {
		s.of.over(s)
		rouse(s.of.clk, s.done)
	}()
	if err := s.exchange(); err != nil {
		if cause := s.cause.Load(); cause != nil && errors.Is(err, context.Canceled) {
			err = *cause
		}
		s.near.fail(err)
	}
}

func (s *Stream) exchange() error {
	body := &requestBody{near: s.near}
	body.reader.Reset(s.near)
	var req http1.Request
	if err := body.reader.ReadRequest(&req, &forwarded); err != nil {
		body.reader.Reset(nil)
		return err
	}
	r := s.request(&req, body)
	if r.Body == nil {
		body.reader.Reset(nil)
	}
	resp, err := s.of.cc.RoundTrip(r)
	if err != nil {
		return reasonOf(err)
	}
	return s.answer(resp, r.Method)
}

// request is the request as net/http has it. Nothing of it aliases the head that was read.
func (s *Stream) request(req *http1.Request, body *requestBody) *http.Request {
	authority := string(req.Authority)
	r := &http.Request{
		Method: string(req.Method), Host: authority, URL: target(string(req.Target)), Header: make(http.Header, len(req.Fields)),
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}
	r.URL.Host, r.URL.Scheme = authority, "http"
	if s.of.back.cfg.Secure {
		r.URL.Scheme = "https"
	}
	for _, f := range req.Fields {
		name := textproto.CanonicalMIMEHeaderKey(string(f.Name))
		switch {
		case slices.Contains(hopByHop, name), name == "Host", name == "Content-Length":
		default:
			r.Header[name] = append(r.Header[name], string(f.Value))
		}
	}
	if r.Header["User-Agent"] == nil {
		r.Header["User-Agent"] = []string{""} // net/http would add its own
	}
	switch req.Framing {
	case http1.ContentLength:
		if r.ContentLength = req.ContentLength; r.ContentLength > 0 {
			r.Body = body
		}
	case http1.Chunked:
		// A map, though nothing is announced: whatever comes behind the body is then passed on.
		r.ContentLength, r.Body, r.Trailer = -1, body, http.Header{}
		body.trailer = r.Trailer
	}
	if r.Body != nil {
		body.body.Start(&body.reader, req.Framing, req.ContentLength, &forwarded)
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: s.interim}
	if s.of.nc.single {
		trace.WroteHeaders = s.begun
	}
	return r.WithContext(httptrace.WithClientTrace(s.ctx, trace))
}

// begun is called when the head has been written, before anybody else can write one.
func (s *Stream) begun() { s.id.Store(s.of.nc.opened) }

// target is a request's target as it stands. Only one that begins with two slashes must be taken apart: net/http would
// write it as a host.
func target(raw string) *url.URL {
	if strings.HasPrefix(raw, "//") {
		path, query, asked := strings.Cut(raw, "?")
		u := &url.URL{Path: path, RawPath: path, RawQuery: query, ForceQuery: asked && query == ""}
		if plain, err := url.PathUnescape(path); err == nil {
			u.Path = plain
		}
		return u
	}
	return &url.URL{Opaque: raw}
}

var errTooManyInterim = errors.New("http2: nobody reads the interim answers")

// interim passes a 1xx answer on. It is called by the goroutine that reads for all streams, and must not wait.
func (s *Stream) interim(status int, fields textproto.MIMEHeader) error {
	if status == http.StatusSwitchingProtocols {
		return errMalformed // RFC 9113 section 8.6
	}
	extra, err := answerFields(http.Header(fields))
	if err != nil {
		return err
	}
	if !s.near.offer(http1.AppendServerResponse(nil, &http1.ServerResponse{Status: status, Extra: extra})) {
		return errTooManyInterim
	}
	return nil
}

// answerFields are the fields of an answer that have a place in HTTP/1.1, without those that frame it.
func answerFields(h http.Header) ([]http1.Field, error) {
	out := make([]http1.Field, 0, len(h))
	for _, f := range fieldsOf(h) {
		name, value := string(f.Name), strings.Trim(string(f.Value), " \t")
		switch {
		case forbidden(name), strings.EqualFold(name, "Content-Length"):
			continue
		case !http1.ValidFieldName(name), !http1.ValidFieldValue(value):
			return nil, errMalformed
		}
		out = append(out, http1.Field{Name: f.Name, Value: []byte(value)})
	}
	return out, nil
}

var runs = sync.Pool{New: func() any { return new([runSize]byte) }}

// runSize is how much of a body is carried at a time.
const runSize = 16 << 10

// answer writes the answer, as it comes.
func (s *Stream) answer(resp *http.Response, method string) error {
	defer resp.Body.Close()
	extra, err := answerFields(resp.Header)
	lengths := resp.Header["Content-Length"]
	switch {
	case err != nil:
		return err
	case resp.StatusCode < 200 || resp.StatusCode > 999, len(lengths) > 1:
		return errMalformed
	case len(lengths) == 1 && lengths[0] != strconv.FormatInt(resp.ContentLength, 10):
		return errMalformed
	}
	head := http1.ServerResponse{Status: resp.StatusCode, Extra: extra}
	bodyless := method == http.MethodHead || resp.StatusCode == 204 || resp.StatusCode == 304
	switch {
	case bodyless && len(lengths) == 1 && resp.StatusCode != 204:
		head.Extra = append(head.Extra, http1.Field{Name: []byte("Content-Length"), Value: []byte(lengths[0])})
	case bodyless:
	case resp.ContentLength == 0, resp.ContentLength > 0 && !mayTrail(resp):
		head.Framing, head.ContentLength = http1.ContentLength, resp.ContentLength
	default:
		head.Framing = http1.Chunked
	}
	if _, err := s.near.Write(http1.AppendServerResponse(make([]byte, 0, 512), &head)); err != nil || bodyless {
		return nil // to whoever has gone nothing needs to be told
	}
	return s.carryBody(resp, head.Framing == http1.Chunked)
}

// mayTrail says whether an answer that tells its length may have trailers nevertheless.
func mayTrail(resp *http.Response) bool {
	return resp.Trailer != nil || strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc")
}

// carryBody writes the body. It holds the last byte back until the stream has ended: who has read all of an answer
// knows that nothing of it is left.
func (s *Stream) carryBody(resp *http.Response, chunked bool) error {
	buf := runs.Get().(*[runSize]byte)
	defer runs.Put(buf)
	var out []byte
	left := resp.ContentLength
	for {
		n, err := resp.Body.Read(buf[:])
		if n > 0 && !chunked {
			if left -= int64(n); left == 0 && err == nil {
				var more [1]byte
				_, err = resp.Body.Read(more[:])
			}
		}
		if err != nil && err != io.EOF {
			return reasonOf(err)
		}
		run := buf[:n]
		if chunked {
			out = appendEnd(out[:0], run, resp, err == io.EOF)
			run = out
		}
		if len(run) > 0 {
			if _, err := s.near.Write(run); err != nil {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// appendEnd appends a chunk, and the end of the body if it is there.
func appendEnd(dst, run []byte, resp *http.Response, end bool) []byte {
	if len(run) > 0 {
		dst = http1.AppendChunkHead(dst, len(run))
		dst = append(append(dst, run...), http1.ChunkEnd...)
	}
	if !end {
		return dst
	}
	var trailers []http1.Field
	for _, f := range fieldsOf(resp.Trailer) {
		if value := strings.Trim(string(f.Value), " \t"); http1.ValidFieldName(string(f.Name)) && http1.ValidFieldValue(value) {
			trailers = append(trailers, http1.Field{Name: f.Name, Value: []byte(value)})
		}
	}
	return http1.AppendLastChunk(dst, trailers)
}

// requestBody is the body of a request, for net/http to read. Read and Close may be called at the same time.
type requestBody struct {
	near    *pipeConn
	reader  http1.Reader
	body    http1.Body
	trailer http.Header // nil: none may follow
	run     []byte
	state   atomic.Int32
}

// The states of a requestBody. Whoever makes the last step lets go of the memory.
const (
	bodyIdle = iota
	bodyReading
	bodyClosed
)

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(bodyIdle, bodyReading) {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.read(p)
	if !b.state.CompareAndSwap(bodyReading, bodyIdle) {
		b.reader.Reset(nil)
	}
	return n, err
}

func (b *requestBody) read(p []byte) (int, error) {
	if len(b.run) == 0 {
		run, err := b.body.Next()
		if err == io.EOF && b.trailer != nil {
			for _, t := range b.body.Trailers() {
				if http1.TrailerAllowed(t.Name) {
					b.trailer.Add(string(t.Name), string(t.Value))
				}
			}
		}
		if err != nil {
			return 0, err
		}
		b.run = run
	}
	n := copy(p, b.run)
	b.run = b.run[n:]
	if len(b.run) == 0 && b.body.Done() && b.trailer == nil {
		return n, io.EOF // which saves an empty frame
	}
	return n, nil
}

// Close implements io.Closer: net/http wants no more of it.
func (b *requestBody) Close() error {
	b.near.refuse()
	if b.state.Swap(bodyClosed) == bodyIdle {
		b.reader.Reset(nil)
	}
	return nil
}
