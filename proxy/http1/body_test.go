package http1

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var bodyCuts = []int{1, 2, 3, 5, 1000, 100_000}

func TestBodyYieldsThePayloadHoweverItIsCut(t *testing.T) {
	long := strings.Repeat("0123456789", 5000)
	for _, c := range []struct {
		name, wire string
		framing    Framing
		length     int64
		want, rest string
	}{
		{"none", "next", NoBody, -1, "", "next"},
		{"zero", "next", ContentLength, 0, "", "next"},
		{"length", "12345next", ContentLength, 5, "12345", "next"},
		{"long", long + "next", ContentLength, 50_000, long, "next"},
		{"close", long, UntilClose, -1, long, ""},
		{"empty close", "", UntilClose, -1, "", ""},
		{"chunked", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nnext", Chunked, -1, "abc0123456789", "next"},
		{"empty chunked", "0\r\n\r\nnext", Chunked, -1, "", "next"},
		{"zeros and extensions", "0003;a=b;c=\"d\"\r\nabc\r\n000;x\r\nA: b\r\n\r\nnext", Chunked, -1, "abc",
			"next"},
		{"long chunk", "C350\r\n" + long + "\r\n00\r\n\r\nnext", Chunked, -1, long, "next"},
		{"lower and upper case", "fF\r\n" + long[:255] + "\r\n0\r\n\r\n", Chunked, -1, long[:255], ""},
	} {
		for _, cut := range bodyCuts {
			got, b, r, err := readBody(c.wire, c.framing, c.length, nil, cut)
			require.NoError(t, err, c.name)
			require.Equal(t, c.want, got, c.name)
			require.True(t, b.Done())
			require.Zero(t, b.Remaining())
			_, err = b.Next()
			require.Equal(t, io.EOF, err, "the end must be told for ever")
			for r.Fill() == nil {
			}
			require.Equal(t, c.rest, string(r.Peek()), c.name)
			r.Reset(nil)
		}
	}
}

func TestBodyThatEndsEarlyIsAnUnexpectedEOF(t *testing.T) {
	for wire, framing := range map[string]Framing{"": ContentLength, "1234": ContentLength,
		"4\r\nabcd\r\n0\r\nA: b\r\n\r\n": Chunked} {
		for n := range wire {
			_, b, r, err := readBody(wire[:n], framing, 5, nil, 3)
			require.Equal(t, io.ErrUnexpectedEOF, err, "%q", wire[:n])
			require.False(t, b.Done())
			_, err = b.Next()
			require.Equal(t, io.ErrUnexpectedEOF, err, "the verdict must stay")
			r.Reset(nil)
		}
	}
}

// RFC 9112 section 7.1; CVE-2025-22871 (bare LF in a size line), and extensions ended by LF.
func TestMalformedChunkIsRefusedHoweverItIsCut(t *testing.T) {
	for wire, want := range map[string]error{
		"\r\n0\r\n\r\n":               ErrBadChunkSize,
		";x\r\n":                      ErrBadChunkSize,
		"g\r\n":                       ErrBadChunkSize,
		"0x5\r\nabcde\r\n":            ErrBadChunkSize,
		"+5\r\nabcde\r\n":             ErrBadChunkSize,
		"-1\r\n":                      ErrBadChunkSize,
		" 5\r\nabcde\r\n":             ErrBadChunkSize,
		"5 \r\nabcde\r\n":             ErrBadChunkSize,
		"5\t;x\r\nabcde\r\n":          ErrBadChunkSize,
		"5_0\r\n":                     ErrBadChunkSize,
		"5,5\r\n":                     ErrBadChunkSize,
		"5\x00\r\n":                   ErrBadChunkSize,
		"5\nabcde\r\n":                ErrBareLF,
		"\nabcde\r\n":                 ErrBareLF,
		"5;x\nabcde\r\n0\r\n\r\n":     ErrBareLF,
		"5\rabcde\r\n":                ErrBareCR,
		"5\r\r\nabcde\r\n":            ErrBareCR,
		"5;x\ry\r\nabcde\r\n":         ErrBareCR,
		"5;\x00\r\nabcde\r\n":         ErrBadChunkExtension,
		"5;a\x7f\r\nabcde\r\n":        ErrBadChunkExtension,
		"8000000000000000\r\n":        ErrChunkTooLarge,
		"10000000000000005\r\nabcde":  ErrChunkTooLarge,
		"ffffffffffffffff\r\n":        ErrChunkTooLarge,
		"3\r\nabcd\r\n":               ErrBadChunkEnd, // the chunk spills
		"3\r\nabc0\r\n\r\n":           ErrBadChunkEnd,
		"3\r\nabc\r0\r\n\r\n":         ErrBadChunkEnd,
		"3\r\nabc\n0\r\n\r\n":         ErrBareLF,
		"0\r\n\n":                     ErrBareLF,
		"0\r\nA: b\n\r\n":             ErrBareLF,
		"0\r\nA : b\r\n\r\n":          ErrSpaceBeforeColon,
		"0\r\n A: b\r\n\r\n":          ErrLeadingSpace,
		"0\r\nA: b\r\n c\r\n\r\n":     ErrObsFold,
		"0\r\nA: \x00\r\n\r\n":        ErrBadFieldValue,
		"0\r\nGET / HTTP/1.1\r\n\r\n": ErrMissingColon,
	} {
		for _, cut := range bodyCuts {
			got, b, r, err := readBody(wire, Chunked, -1, nil, cut)
			require.Equal(t, want, err, "%q cut %d, got %q", wire, cut, got)
			require.False(t, b.Done())
			require.Empty(t, b.Trailers())
			_, err = b.Next()
			require.Equal(t, want, err, "the verdict must stay")
			r.Reset(nil)
		}
	}
}

func TestTheLargestChunkSizeFitsAnInt64(t *testing.T) {
	for size, want := range map[string]int64{"3ffffffffffffff\r\n": 1<<58 - 1,
		"3fffffffffffffff\r\n": 1<<62 - 1, "400000000000000\r\n": 1 << 58} {
		n, digits, err := chunkSize([]byte(size))
		require.NoError(t, err)
		require.Equal(t, want, n)
		require.Equal(t, len(size)-2, digits)
	}
}

func TestTrailersAreKeptApartAndSurviveWhatIsReadBehindThem(t *testing.T) {
	head := lines("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
	wire := head + "3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n"
	for _, cut := range bodyCuts {
		r := newReader(wire+strings.Repeat("n", 30_000), cut)
		var req Request
		require.NoError(t, r.ReadRequest(&req, nil))
		var b Body
		b.Start(r, req.Framing, req.ContentLength, nil)
		for !b.Done() {
			_, err := b.Next()
			require.True(t, err == nil || err == io.EOF)
		}
		for r.Fill() == nil {
		}
		require.Equal(t, []string{"X-Sum: 1", "Host: evil"}, fieldStrings(b.Trailers()))
		require.Equal(t, "h", string(req.Get("host")), "trailers must not reach the head's fields")
		require.Len(t, req.Fields, 2)
		b.Start(r, NoBody, 0, nil)
		require.Empty(t, b.Trailers())
		r.Reset(nil)
	}
}

// The promise on which retries and logs rest: whatever the size of the head and of the body, reading the
// body leaves the head's slices alone until the next head is read.
func TestHeadStaysValidWhileTheBodyIsRead(t *testing.T) {
	for _, pad := range []int{0, 3000, 6900, 7100, 8000, 8192, 20_000, 60_000} {
		for _, cut := range []int{17, 4096, 1 << 20} {
			value := strings.Repeat("v", pad)
			head := lines("POST /path HTTP/1.1", "Host: h", "A: "+value, "Content-Length: 100000")
			r := newReader(head+strings.Repeat("B", 100_000)+lines("GET /2 HTTP/1.1", "Host: h"), cut)
			var req Request
			require.NoError(t, r.ReadRequest(&req, nil))
			var b Body
			b.Start(r, req.Framing, req.ContentLength, nil)
			total := 0
			for {
				run, err := b.Next()
				if err == io.EOF {
					break
				}
				require.NoError(t, err)
				total += len(run)
			}
			require.Equal(t, 100_000, total)
			require.Equal(t, value, string(req.Get("a")))
			require.Equal(t, "/path", string(req.Path))
			require.NoError(t, r.ReadRequest(&req, nil))
			require.Equal(t, "/2", string(req.Path))
			require.True(t, r.ReleaseBuffer())
			require.Nil(t, r.pinned)
		}
	}
}

func TestLongBodyMovesToALargerBuffer(t *testing.T) {
	src := source(lines("POST / HTTP/1.1", "Host: h", "Content-Length: 1000000") + strings.Repeat("B",
		1_000_000))
	r := &Reader{}
	r.Reset(src)
	defer r.Reset(nil)
	var req Request
	require.NoError(t, r.ReadRequest(&req, nil))
	var b Body
	b.Start(r, req.Framing, req.ContentLength, nil)
	for !b.Done() {
		_, err := b.Next()
		require.NoError(t, err)
	}
	require.Len(t, r.buf, bodyBufferSize)
	require.Less(t, src.reads, 40)
}

func TestAvailableNeverReadsAndSaysWhetherTheBodyEnds(t *testing.T) {
	for _, c := range []struct {
		wire    string
		framing Framing
		want    string
		ended   bool
	}{
		{"12345", ContentLength, "12345", true},
		{"123", ContentLength, "123", false},
		{"", ContentLength, "", false},
		{"3\r\nabc\r\n0\r\n\r\n", Chunked, "abc", true},
		{"3\r\nabc\r\n0\r\n", Chunked, "abc", false},
		{"3\r\nabc", Chunked, "abc", false},
		{"3\r\nabc\r\n1\r\nd", Chunked, "abc", false},
		{"3\r", Chunked, "", false},
		{"abc", UntilClose, "abc", false},
	} {
		r := newReader(c.wire)
		if c.wire != "" {
			require.NoError(t, r.Fill())
		}
		reads := r.src.(*cutSource).reads
		var b Body
		b.Start(r, c.framing, 5, nil)
		run, ended := b.Available()
		require.Equal(t, c.want, string(run), "%+v", c)
		require.Equal(t, c.ended, ended, "%+v", c)
		require.Equal(t, reads, r.src.(*cutSource).reads)
		r.Reset(nil)
	}
}

func TestErrorBehindAnAvailableRunIsToldByTheNextCall(t *testing.T) {
	r := newReader("3\r\nabcX")
	require.NoError(t, r.Fill())
	var b Body
	b.Start(r, Chunked, 0, nil)
	run, ended := b.Available()
	require.Equal(t, "abc", string(run))
	require.False(t, ended)
	run, ended = b.Available()
	require.Empty(t, run)
	require.False(t, ended)
	_, err := b.Next()
	require.Equal(t, ErrBadChunkEnd, err)
	r.Reset(nil)
}

func TestBodyGoesOnAfterATimeout(t *testing.T) {
	const wire = "3\r\nabc\r\n0\r\nA: b\r\n\r\n"
	for cut := range wire {
		src := &cutSource{data: []byte(wire[:cut]), err: os.ErrDeadlineExceeded}
		r := &Reader{}
		r.Reset(src)
		var b Body
		b.Start(r, Chunked, 0, nil)
		var got strings.Builder
		for {
			run, err := b.Next()
			got.Write(run)
			if err == os.ErrDeadlineExceeded {
				src.data = []byte(wire[cut:])
				continue
			}
			if err != nil {
				require.Equal(t, io.EOF, err)
				break
			}
		}
		require.Equal(t, "abc", got.String())
		r.Reset(nil)
	}
}

func TestBypassedBytesCountAsRead(t *testing.T) {
	r := newReader("12")
	var b Body
	b.Start(r, ContentLength, 100, nil)
	run, err := b.Next()
	require.NoError(t, err)
	require.Equal(t, "12", string(run))
	require.EqualValues(t, 98, b.Remaining())
	b.Bypassed(0, false)
	b.Bypassed(90, false)
	require.EqualValues(t, 8, b.Remaining())
	require.Panics(t, func() { b.Bypassed(9, false) })
	require.Panics(t, func() { b.Bypassed(-1, false) })
	b.Bypassed(8, false)
	require.True(t, b.Done())
	require.Panics(t, func() { b.Bypassed(1, false) })
	b.Start(r, UntilClose, 0, nil)
	require.EqualValues(t, -1, b.Remaining())
	b.Bypassed(5, false)
	require.False(t, b.Done())
	b.Bypassed(0, true)
	require.True(t, b.Done())
	b.Start(r, Chunked, 0, nil)
	require.EqualValues(t, -1, b.Remaining())
	require.Panics(t, func() { b.Bypassed(1, false) })
	r.Reset(source("abc"))
	require.NoError(t, r.Fill())
	b.Start(r, ContentLength, 100, nil)
	require.Panics(t, func() { b.Bypassed(1, false) }, "buffered payload would be lost")
	r.Reset(nil)
}

func TestStartPanicsOnMisuse(t *testing.T) {
	var b Body
	require.Panics(t, func() { b.Start(&Reader{}, ContentLength, -1, nil) })
	require.Panics(t, func() { b.Start(&Reader{}, Framing(9), 0, nil) })
	require.Equal(t, "invalid", Framing(9).String())
	require.Equal(t, "chunked", Chunked.String())
}
