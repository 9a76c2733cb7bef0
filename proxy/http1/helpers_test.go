package http1

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lines joins head lines with CRLF and adds the blank line.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

// cutSource yields data in pieces of the sizes in cuts, in turn and over again; without cuts all at once.
// With eager, the last piece comes together with the error.
type cutSource struct {
	data  []byte
	cuts  []int
	n     int
	eager bool
	err   error // instead of io.EOF
	reads int
}

func (c *cutSource) end() error {
	if c.err != nil {
		return c.err
	}
	return io.EOF
}

func (c *cutSource) Read(p []byte) (int, error) {
	c.reads++
	if len(c.data) == 0 {
		return 0, c.end()
	}
	n := min(len(p), len(c.data))
	if len(c.cuts) > 0 {
		n = min(n, max(1, c.cuts[c.n%len(c.cuts)]))
		c.n++
	}
	copy(p, c.data[:n])
	c.data = c.data[n:]
	if c.eager && len(c.data) == 0 {
		return n, c.end()
	}
	return n, nil
}

func source(s string, cuts ...int) *cutSource { return &cutSource{data: []byte(s), cuts: cuts} }

func newReader(s string, cuts ...int) *Reader {
	r := &Reader{}
	r.Reset(source(s, cuts...))
	return r
}

// requestError parses one head in place and through a Reader that gets it whole and byte by byte, demands
// that all three agree, and returns the verdict.
func requestError(t *testing.T, head string, lim *Limits) error {
	t.Helper()
	var a, b, c Request
	parsed := a.Parse([]byte(head), lim)
	whole := newReader(head)
	defer whole.Reset(nil)
	require.Equal(t, parsed, whole.ReadRequest(&b, lim), "read whole: %q", head)
	bytewise := newReader(head, 1)
	defer bytewise.Reset(nil)
	require.Equal(t, parsed, bytewise.ReadRequest(&c, lim), "read byte by byte: %q", head)
	return parsed
}

func responseError(t *testing.T, head, method string) error {
	t.Helper()
	var a, b Response
	parsed := a.Parse([]byte(head), []byte(method), nil)
	r := newReader(head, 1)
	defer r.Reset(nil)
	require.Equal(t, parsed, r.ReadResponse(&b, []byte(method), nil), "read byte by byte: %q", head)
	return parsed
}

func mustParse(t *testing.T, head string) *Request {
	t.Helper()
	req := &Request{}
	require.NoError(t, req.Parse([]byte(head), nil), "%q", head)
	return req
}

func mustParseResponse(t *testing.T, head, method string) *Response {
	t.Helper()
	resp := &Response{}
	require.NoError(t, resp.Parse([]byte(head), []byte(method), nil), "%q", head)
	return resp
}

// readBody reads a whole body from a reader of s, cut as told.
func readBody(s string, f Framing, length int64, lim *Limits, cuts ...int) (payload string, b *Body,
	r *Reader, err error) {
	r = newReader(s, cuts...)
	b = &Body{}
	b.Start(r, f, length, lim)
	var out strings.Builder
	for {
		run, err := b.Next()
		out.Write(run)
		if errors.Is(err, io.EOF) {
			return out.String(), b, r, nil
		}
		if err != nil {
			return out.String(), b, r, err
		}
	}
}

func fieldStrings(fields []Field) []string {
	out := []string{}
	for _, f := range fields {
		out = append(out, string(f.Name)+": "+string(f.Value))
	}
	return out
}
