package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	"github.com/wavepool/wavepool/proxy/http1"
)

// maxHeadBytes bounds the head of an answer to a check. A page about one's health has no business to be
// longer.
const maxHeadBytes = 16 << 10

// maxInterim bounds the interim answers (1xx) that may come before the real one.
const maxInterim = 8

// HTTPConfig says what an HTTP check asks and what it expects. The zero value asks GET / and expects 200 to
// 399.
type HTTPConfig struct {
	// Method is the request method. Default GET (when ""); not CONNECT. The request has no body: POST, PUT and PATCH say
	// that it is empty (RFC 9110 section 8.6).
	Method string

	// Path is the request target: an absolute path, with a query if wanted. Default "/" (when "").
	Path string

	// Host is the value of the Host field. Default (when "") the address of the backend.
	Host string

	// ExpectStatus is the range of statuses of a healthy answer. Default 200 to 399 (when zero).
	ExpectStatus StatusRange

	// Contains is what the body of a healthy answer holds somewhere in its first MaxBody bytes. Default (when empty) anything;
	// at most MaxBody bytes.
	Contains []byte
	// Match is a pattern that matches somewhere in the first MaxBody bytes of the body of a healthy answer. It is tried once,
	// when these are there or the body has ended. Default (when nil) anything. Not together with Contains.
	Match *regexp.Regexp
	// MaxBody is how much of a body is looked at, in bytes of payload. Default 16 KiB (when 0), or the length of Contains if that
	// is more; at most MaxHTTPBody.
	MaxBody int
}

// StatusRange is a range of HTTP statuses, both ends included.
type StatusRange struct{ Min, Max int }

// MaxHTTPBody is the most of a body that a check may look at.
const MaxHTTPBody = 64 << 10

// defaultHTTPBody is how much of a body a check looks at when its config says nothing.
const defaultHTTPBody = 16 << 10

// HTTP returns a prober that sends one HTTP/1.1 request and judges the status of the answer (RFC 9110 section 15), and
// its body if that is asked for. Interim answers (1xx) are passed over. The head of the answer may have 16 KiB. Of the body
// no more is read than it takes to know, and that is nothing where only the status counts; the connection is then closed. Where a
// [Schedule] has Reuse, the connection is kept instead, if the body ends within MaxHTTPBody bytes.
//
// A nil dialer is the real network. The error is that of a config which is not a request that an HTTP/1.1
// server would take, judged by the parser that the proxy itself uses; nothing in it can smuggle in a second
// request.
func HTTP(d Dialer, cfg HTTPConfig) (Prober, error) {
	if cfg.Method == "" {
		cfg.Method = "GET"
	}
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	if cfg.ExpectStatus == (StatusRange{}) {
		cfg.ExpectStatus = StatusRange{200, 399}
	}
	if e := cfg.ExpectStatus; e.Min < 100 || e.Max > 999 || e.Min > e.Max {
		return nil, fmt.Errorf("probe: ExpectStatus is %d to %d; a range within 100 to 999", e.Min, e.Max)
	}
	if err := cfg.fillBody(); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(cfg.Path, "/") {
		return nil, fmt.Errorf("probe: Path is %q; it must begin with a slash", cfg.Path)
	}
	p := &httpProber{dialer: orReal(d), cfg: cfg}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("probe: Method %q, Path %q, Host %q: %w", cfg.Method, cfg.Path, cfg.Host, err)
	}
	return p, nil
}

// fillBody checks what is asked of the body, and gives MaxBody its default.
func (c *HTTPConfig) fillBody() error {
	if c.MaxBody == 0 {
		c.MaxBody = max(defaultHTTPBody, len(c.Contains))
	}
	switch {
	case c.MaxBody < 0 || c.MaxBody > MaxHTTPBody:
		return fmt.Errorf("probe: MaxBody is %d; from 1 to %d", c.MaxBody, MaxHTTPBody)
	case len(c.Contains) > c.MaxBody:
		return fmt.Errorf("probe: Contains has %d bytes, but MaxBody is %d", len(c.Contains), c.MaxBody)
	case len(c.Contains) > 0 && c.Match != nil:
		return errors.New("probe: Contains and Match are both given")
	case c.wantsBody() && c.Method == "HEAD":
		return errors.New("probe: the answer to HEAD has no body that could be looked at (RFC 9110 section 9.3.2)")
	}
	return nil
}

// wantsBody says whether a good status alone is not enough.
func (c *HTTPConfig) wantsBody() bool { return len(c.Contains) > 0 || c.Match != nil }

// errMore is the refusal of a config whose words hold more than one word each.
var errMore = errors.New("this is more than a method, a path and a host")

// check parses a request as a server would and compares what came out with what was meant: a line break in a
// word could otherwise add a field.
func (p *httpProber) check() error {
	var req http1.Request
	head := p.request("host", false)
	if err := req.Parse(head, nil); err != nil {
		return err
	}
	if string(req.Method) != p.cfg.Method || string(req.Target) != p.cfg.Path || len(req.Fields) != p.fields() {
		return errMore
	}
	return nil
}

type httpProber struct {
	dialer Dialer
	cfg    HTTPConfig
}

// fields is the number of fields in the request of a connection that is not kept.
func (p *httpProber) fields() int { return 4 + strings.Count(p.more(), "\r\n") }

// more are the fields that some requests have and others do not. Where the body is looked at, it must not come compressed.
func (p *httpProber) more() string {
	more := ""
	if p.cfg.wantsBody() {
		more = "Accept-Encoding: identity\r\n"
	}
	switch p.cfg.Method {
	case "POST", "PUT", "PATCH":
		more += "Content-Length: 0\r\n"
	}
	return more
}

// request returns the head that is sent to that address.
func (p *httpProber) request(address string, keep bool) []byte {
	host := p.cfg.Host
	if host == "" {
		host = address
	}
	last := "Connection: close\r\n\r\n"
	if keep {
		last = "\r\n"
	}
	return []byte(p.cfg.Method + " " + p.cfg.Path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: wavepool-probe\r\n" +
		"Accept: */*\r\n" + p.more() + last)
}

// Probe implements Prober.
func (p *httpProber) Probe(ctx context.Context, address string) error { return fresh(ctx, p, address) }

func (p *httpProber) door() Dialer { return p.dialer }

// exchange implements exchanger.
func (p *httpProber) exchange(ctx context.Context, conn net.Conn, address string, keep bool) (again bool, err error) {
	if _, err := conn.Write(p.request(address, keep)); err != nil {
		return false, failure(ctx, BadAnswer, fmt.Errorf("sending the request: %w", err))
	}
	var r http1.Reader
	r.Reset(conn)
	defer r.Reset(nil) // gives back the borrowed buffer, whatever is left in it
	var resp http1.Response
	limits := http1.Limits{MaxHeadBytes: maxHeadBytes}
	if err := p.head(&r, &resp, &limits); err != nil {
		return false, failure(ctx, BadAnswer, fmt.Errorf("reading the answer: %w", err))
	}
	var bad error
	if e := p.cfg.ExpectStatus; resp.Status < e.Min || resp.Status > e.Max {
		bad = &Error{Kind: BadStatus, Err: fmt.Errorf("status %d is not in %d to %d", resp.Status, e.Min, e.Max)}
		if resp.Status == 408 {
			bad = &Error{Kind: BadStatus, Err: errIdle}
		}
	}
	if !keep && (bad != nil || !p.cfg.wantsBody()) {
		return false, bad
	}
	l := look{cfg: &p.cfg, all: keep}
	ended, err := l.read(&r, &resp, &limits)
	switch {
	case err != nil && p.cfg.wantsBody() && bad == nil && !l.good && !l.over:
		return false, failure(ctx, BadAnswer, fmt.Errorf("reading the body of the answer: %w", err))
	case bad == nil && p.cfg.wantsBody() && !l.good:
		bad = l.verdict()
	}
	return keep && err == nil && ended && resp.KeepAlive && r.Buffered() == 0, bad
}

// errInterim is the refusal of a backend that never comes to the point.
var errInterim = errors.New("more interim answers (1xx) than the limit")

// head reads heads up to the first final one. A 101 is final: it ends HTTP.
func (p *httpProber) head(r *http1.Reader, resp *http1.Response, limits *http1.Limits) error {
	method := []byte(p.cfg.Method)
	for range maxInterim + 1 {
		if err := r.ReadResponse(resp, method, limits); err != nil {
			return err
		}
		if resp.Status >= 200 || resp.Status == 101 {
			return nil
		}
	}
	return errInterim
}

// look reads a body and judges its beginning.
type look struct {
	cfg  *HTTPConfig
	all  bool   // it is read to its end, so that the connection can be used again
	got  []byte // the first MaxBody bytes, as far as they are there and wanted
	seen int    // how many of these were there at the last look
	good bool
	over bool // the last look was at all that is wanted
}

// read reads as much as is wanted, and reports whether that is all of the body.
func (l *look) read(r *http1.Reader, resp *http1.Response, limits *http1.Limits) (ended bool, err error) {
	var body http1.Body
	body.Start(r, resp.Framing, resp.ContentLength, limits)
	for size := 0; ; {
		run, err := body.Next()
		if err == io.EOF {
			l.judge(true)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if l.cfg.wantsBody() {
			l.seen = len(l.got)
			l.got = append(l.got, run[:min(len(run), l.cfg.MaxBody-len(l.got))]...)
			l.judge(len(l.got) == l.cfg.MaxBody)
		}
		size += len(run)
		if !l.all && (l.good || len(l.got) == l.cfg.MaxBody) || size > MaxHTTPBody {
			return false, nil
		}
	}
}

// judge looks at what has come. A pattern waits until that is all: its price is that of the whole each time.
func (l *look) judge(complete bool) {
	if l.good || l.over {
		return
	}
	l.over = complete
	switch {
	case len(l.cfg.Contains) > 0:
		l.good = bytes.Contains(l.got[max(0, l.seen-len(l.cfg.Contains)+1):], l.cfg.Contains)
	case l.cfg.Match != nil && complete:
		l.good = l.cfg.Match.Match(l.got)
	}
}

// verdict is the error of a body that is not as it should be.
func (l *look) verdict() error {
	wants := fmt.Sprintf("does not hold %q", beginning(l.cfg.Contains))
	if l.cfg.Match != nil {
		wants = fmt.Sprintf("does not match %q", beginning([]byte(l.cfg.Match.String())))
	}
	return &Error{Kind: BadBody, Err: fmt.Errorf("the body %s in its first %d bytes; it begins with %q", wants, len(l.got), beginning(l.got))}
}
