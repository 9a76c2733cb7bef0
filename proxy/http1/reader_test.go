package http1

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReaderTellsACleanEndFromATornHead(t *testing.T) {
	for input, want := range map[string]error{
		"":                                io.EOF,
		"\r\n":                            io.EOF,
		"\r":                              io.ErrUnexpectedEOF,
		"G":                               io.ErrUnexpectedEOF,
		"GET / HTTP/1.1\r\nHost: h\r\n":   io.ErrUnexpectedEOF,
		"GET / HTTP/1.1\r\nHost: h\r\n\r": io.ErrUnexpectedEOF,
	} {
		for _, eager := range []bool{false, true} {
			src := source(input)
			src.eager = eager
			r := &Reader{}
			r.Reset(src)
			var req Request
			require.Equal(t, want, r.ReadRequest(&req, nil), "%q", input)
			require.Equal(t, strings.Trim(input, "\r\n") != "", r.Started(), "%q", input)
			if want == io.EOF {
				require.Nil(t, r.buf, "a clean end must leave no buffer borrowed")
			}
			r.Reset(nil)
		}
	}
}

// RFC 9112 section 2.2: one empty line before a request line is ignored, by servers only.
func TestOneLeadingCRLFIsSkippedAndASecondRefused(t *testing.T) {
	get := lines("GET / HTTP/1.1", "Host: h")
	for _, cut := range []int{1, 2, 1000} {
		var req Request
		r := newReader("\r\n"+get+"\r\n"+get+"\r\n\r\n"+get, cut)
		require.NoError(t, r.ReadRequest(&req, nil))
		require.NoError(t, r.ReadRequest(&req, nil), "the permission is per request")
		require.Equal(t, ErrBadRequestLine, r.ReadRequest(&req, nil))
		r.Reset(source("\n"+get, cut))
		require.Equal(t, ErrBareLF, r.ReadRequest(&req, nil))
		r.Reset(source("\r"+get, cut))
		require.Equal(t, ErrBareCR, r.ReadRequest(&req, nil))
		var resp Response
		r.Reset(source("\r\n"+lines("HTTP/1.1 200 OK"), cut))
		require.Equal(t, ErrBadStatusLine, r.ReadResponse(&resp, nil, nil))
		r.Reset(nil)
	}
}

func TestGarbageIsRefusedAtItsFirstByteWithoutWaitingForALine(t *testing.T) {
	for first, want := range map[string]error{"\x16": ErrBadMethod, " ": ErrBadMethod, "\x00": ErrBadMethod,
		"\n": ErrBareLF} {
		src := source(first)
		src.err = errors.New("must not be read again")
		r := &Reader{}
		r.Reset(src)
		var req Request
		require.Equal(t, want, r.ReadRequest(&req, nil))
		require.True(t, r.Started())
		r.Reset(source(first))
		require.Error(t, r.ReadResponse(&Response{}, nil, nil))
		r.Reset(nil)
	}
}

// A timeout leaves the partial head where it is, so that a caller may wait on without losing anything.
func TestReadRequestGoesOnAfterATimeout(t *testing.T) {
	head := lines("GET /x HTTP/1.1", "Host: h", "A: b")
	for cut := range len(head) {
		src := &cutSource{data: []byte(head[:cut]), err: os.ErrDeadlineExceeded}
		r := &Reader{}
		r.Reset(src)
		var req Request
		require.Equal(t, os.ErrDeadlineExceeded, r.ReadRequest(&req, nil))
		require.Equal(t, cut > 0, r.Started())
		require.Equal(t, cut, r.Buffered())
		src.data = []byte(head[cut:])
		require.NoError(t, r.ReadRequest(&req, nil))
		require.Equal(t, "/x", string(req.Path))
		r.Reset(nil)
	}
}

func TestErrorThatCameWithBytesIsToldOnceTheBytesAreUsed(t *testing.T) {
	boom := errors.New("boom")
	src := &cutSource{data: []byte(lines("GET / HTTP/1.1", "Host: h")), eager: true, err: boom}
	r := &Reader{}
	r.Reset(src)
	var req Request
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Equal(t, boom, r.ReadRequest(&req, nil))
	require.False(t, r.Started())
	require.Equal(t, 1, src.reads)
	r.Reset(nil)
}

type stuckSource struct{}

func (stuckSource) Read([]byte) (int, error) { return 0, nil }

type lyingSource struct{}

func (lyingSource) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestSourceThatReturnsNothingForEverIsGivenUp(t *testing.T) {
	r := &Reader{}
	r.Reset(stuckSource{})
	require.Equal(t, io.ErrNoProgress, r.ReadRequest(&Request{}, nil))
	r.Reset(lyingSource{})
	require.Panics(t, func() { _ = r.ReadRequest(&Request{}, nil) })
	r.Reset(nil)
}

// An idle connection holds no memory: the buffer is borrowed at the first read and goes back when nothing
// is left in it.
func TestBufferIsHeldOnlyWhileBytesAreBufferedOrAwaited(t *testing.T) {
	head := lines("GET / HTTP/1.1", "Host: h")
	r := newReader(head + head)
	require.Nil(t, r.buf)
	var req Request
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Equal(t, len(head), r.Buffered())
	require.False(t, r.ReleaseBuffer(), "bytes of the next request are buffered")
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Len(t, r.buf, BufferSize)
	require.True(t, r.ReleaseBuffer())
	require.True(t, r.ReleaseBuffer())
	require.Nil(t, r.buf)
	require.Empty(t, r.Peek())
	require.Equal(t, io.EOF, r.ReadRequest(&req, nil))
	require.Nil(t, r.buf)
}

func TestBufferGrowsForABigHeadAndShrinksForTheNext(t *testing.T) {
	big := lines("GET / HTTP/1.1", "Host: h", "A: "+strings.Repeat("a", 40_000))
	small := lines("GET / HTTP/1.1", "Host: h")
	r := newReader(big + small + small)
	defer r.Reset(nil)
	var req Request
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Len(t, r.buf, 64<<10)
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Len(t, r.buf, BufferSize)
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Equal(t, io.EOF, r.ReadRequest(&req, nil))
}

// The head's end is searched once: 60,000 single bytes cost little more reads than bytes, and no second
// look at any.
func TestTrickledHeadIsSearchedOnce(t *testing.T) {
	head := lines("GET / HTTP/1.1", "Host: h", "A: "+strings.Repeat("a", 60_000))
	r := newReader(head, 1)
	defer r.Reset(nil)
	looked := 0
	r.begin()
	for {
		from := r.scanned
		n, err := r.scanHead(DefaultMaxHeadBytes, DefaultMaxHeadBytes, true)
		require.NoError(t, err)
		looked += max(r.scanned, n) - from
		if n > 0 {
			break
		}
		require.NoError(t, r.fill())
	}
	require.Equal(t, len(head), looked)
}

func TestFillPeekAndDiscardServeSniffingAndTunnels(t *testing.T) {
	r := newReader("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest", 3, 100)
	require.NoError(t, r.Fill())
	require.Equal(t, "PRI", string(r.Peek()))
	require.NoError(t, r.Fill())
	require.Equal(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest", string(r.Peek()))
	r.Discard(24)
	require.Equal(t, "rest", string(r.Peek()))
	require.Panics(t, func() { r.Discard(5) })
	require.Panics(t, func() { r.Discard(-1) })
	r.Discard(4)
	require.Equal(t, io.EOF, r.Fill())
	require.Nil(t, r.buf)
}

// A tunnel reads on behind a 101 through the same Reader, while the heads are still needed for the log.
func TestFillBehindAHeadLeavesTheHeadAlone(t *testing.T) {
	r := newReader(lines("HTTP/1.1 101 X", "Upgrade: y", "Connection: upgrade")+strings.Repeat("frame",
		10_000), 5000)
	defer r.Reset(nil)
	var resp Response
	require.NoError(t, r.ReadResponse(&resp, nil, nil))
	n := 0
	for {
		n += r.Buffered()
		r.Discard(r.Buffered())
		if err := r.Fill(); err != nil {
			require.Equal(t, io.EOF, err)
			break
		}
	}
	require.Equal(t, 50_000, n)
	require.Equal(t, "y", string(resp.Upgrade))
}

func TestResetForgetsBytesErrorsAndProgressOfTheOldSource(t *testing.T) {
	src := &cutSource{data: []byte("\r\nGET / HT"), eager: true, err: io.ErrClosedPipe}
	r := &Reader{}
	r.Reset(src)
	require.Error(t, r.ReadRequest(&Request{}, nil))
	r.Reset(source("\r\n" + lines("GET /new HTTP/1.1", "Host: h")))
	require.False(t, r.Started())
	require.Zero(t, r.Buffered())
	var req Request
	require.NoError(t, r.ReadRequest(&req, nil))
	require.Equal(t, "/new", string(req.Path))
	r.Reset(nil)
	require.Equal(t, Reader{}, *r)
}
