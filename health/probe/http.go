package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	// Method is the request method. Default GET (when ""). The request has no body.
	Method string

	// Path is the request target: an absolute path, with a query if wanted. Default "/" (when "").
	Path string

	// Host is the value of the Host field. Default (when "") the address of the backend.
	Host string

	// ExpectStatus is the range of statuses of a healthy answer. Default 200 to 399 (when zero).
	ExpectStatus StatusRange
}

// StatusRange is a range of HTTP statuses, both ends included.
type StatusRange struct{ Min, Max int }

// HTTP returns a prober that sends one HTTP/1.1 request over a fresh connection and judges the status of the
// answer (RFC 9110 section 15). Interim answers (1xx) are passed over. The head of the answer may have 16
// KiB; the body is not read, and the connection is closed as soon as the head is there.
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
	if !strings.HasPrefix(cfg.Path, "/") {
		return nil, fmt.Errorf("probe: Path is %q; it must begin with a slash", cfg.Path)
	}
	p := &httpProber{dialer: orReal(d), cfg: cfg}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("probe: Method %q, Path %q, Host %q: %w", cfg.Method, cfg.Path, cfg.Host, err)
	}
	return p, nil
}

// errMore is the refusal of a config whose words hold more than one word each.
var errMore = errors.New("this is more than a method, a path and a host")

// check parses a request as a server would and compares what came out with what was meant: a line break in a
// word could otherwise add a field.
func (p *httpProber) check() error {
	var req http1.Request
	head := p.request("host")
	if err := req.Parse(head, nil); err != nil {
		return err
	}
	if string(req.Method) != p.cfg.Method || string(req.Target) != p.cfg.Path || len(req.Fields) != fields {
		return errMore
	}
	return nil
}

type httpProber struct {
	dialer Dialer
	cfg    HTTPConfig
}

// fields is the number of fields in the request.
const fields = 4

// request returns the head that is sent to that address.
func (p *httpProber) request(address string) []byte {
	host := p.cfg.Host
	if host == "" {
		host = address
	}
	return []byte(p.cfg.Method + " " + p.cfg.Path + " HTTP/1.1\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: wavepool-probe\r\n" +
		"Accept: */*\r\n" +
		"Connection: close\r\n\r\n")
}

// Probe implements Prober.
func (p *httpProber) Probe(ctx context.Context, address string) error {
	conn, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(ctx, Connect, err)
	}
	defer guard(ctx, conn)()
	if _, err := conn.Write(p.request(address)); err != nil {
		return failure(ctx, BadAnswer, fmt.Errorf("sending the request: %w", err))
	}
	status, err := p.answer(conn)
	if err != nil {
		return failure(ctx, BadAnswer, fmt.Errorf("reading the answer: %w", err))
	}
	if e := p.cfg.ExpectStatus; status < e.Min || status > e.Max {
		return &Error{Kind: BadStatus, Err: fmt.Errorf("status %d is not in %d to %d", status, e.Min, e.Max)}
	}
	return nil
}

// errInterim is the refusal of a backend that never comes to the point.
var errInterim = errors.New("more interim answers (1xx) than the limit")

// answer reads heads up to the first final one and returns its status. A 101 is final: it ends HTTP.
func (p *httpProber) answer(conn net.Conn) (status int, err error) {
	var r http1.Reader
	r.Reset(conn)
	defer r.Reset(nil) // gives back the borrowed buffer, whatever is left in it
	var resp http1.Response
	method := []byte(p.cfg.Method)
	limits := http1.Limits{MaxHeadBytes: maxHeadBytes}
	for range maxInterim + 1 {
		if err := r.ReadResponse(&resp, method, &limits); err != nil {
			return 0, err
		}
		if resp.Status >= 200 || resp.Status == 101 {
			return resp.Status, nil
		}
	}
	return 0, errInterim
}
