package http1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every limit is tried with a message just within it and one just beyond, in place, read whole, and read
// bytewise.

func TestHeadBytesLimitIsExact(t *testing.T) {
	head := func(n int) string {
		base := lines("GET / HTTP/1.1", "Host: h", "A: ")
		return lines("GET / HTTP/1.1", "Host: h", "A: "+strings.Repeat("a", n-len(base)))
	}
	for _, limit := range []int{100, 3000, DefaultMaxHeadBytes} {
		lim := &Limits{MaxHeadBytes: limit}
		require.Len(t, head(limit), limit)
		require.NoError(t, requestError(t, head(limit), lim))
		require.Equal(t, ErrHeaderTooLarge, requestError(t, head(limit+1), lim))
	}
	require.NoError(t, requestError(t, head(DefaultMaxHeadBytes), nil))
	require.Equal(t, ErrHeaderTooLarge, requestError(t, head(DefaultMaxHeadBytes+1), nil))
	big := &Limits{MaxHeadBytes: 300 << 10}
	require.NoError(t, requestError(t, head(300<<10), big))
	require.Equal(t, ErrHeaderTooLarge, requestError(t, head(300<<10+1), big))
}

func TestResponseHeadBytesLimitIsExact(t *testing.T) {
	lim := &Limits{MaxHeadBytes: 200}
	for n, want := range map[int]error{200: nil, 201: ErrHeaderTooLarge} {
		head := lines("HTTP/1.1 200 OK", "A: "+strings.Repeat("a", n-24))
		require.Len(t, head, n)
		var resp Response
		require.Equal(t, want, resp.Parse([]byte(head), nil, lim))
		r := newReader(head, 7)
		require.Equal(t, want, r.ReadResponse(&resp, nil, lim))
		r.Reset(nil)
	}
}

// CVE-2023-45288 is of this class in HTTP/2: an endless head costs no more than its limit.
func TestEndlessHeadIsRefusedAtItsLimitWithBoundedMemory(t *testing.T) {
	for line, want := range map[string]error{
		"GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 20_000): ErrHeaderTooLarge,
		"GET / HTTP/1.1\r\nA: " + strings.Repeat("b", 200_000):    ErrHeaderTooLarge,
		"GET /" + strings.Repeat("a", 200_000):                    ErrTargetTooLong,
		strings.Repeat("A", 200_000):                              ErrTargetTooLong,
	} {
		src := source(line, 1000)
		r := &Reader{}
		r.Reset(src)
		var req Request
		require.Equal(t, want, r.ReadRequest(&req, nil))
		require.LessOrEqual(t, len(r.buf), DefaultMaxHeadBytes)
		require.Less(t, len(line)-len(src.data), DefaultMaxHeadBytes+2000, "must stop reading at the limit")
		r.Reset(nil)
	}
}

func TestFieldCountLimitIsExact(t *testing.T) {
	head := func(n int) string {
		return "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", n-1) +
			"\r\n"
	}
	require.NoError(t, requestError(t, head(DefaultMaxFields), nil))
	require.Equal(t, ErrTooManyFields, requestError(t, head(DefaultMaxFields+1), nil))
	lim := &Limits{MaxFields: 3}
	require.NoError(t, requestError(t, head(3), lim))
	require.Equal(t, ErrTooManyFields, requestError(t, head(4), lim))
}

func TestTargetLimitIsExact(t *testing.T) {
	head := func(method string, n int) string {
		return lines(method+" /"+strings.Repeat("a", n-1)+" HTTP/1.1", "Host: h")
	}
	long := strings.Repeat("M", maxMethodBytes)
	for _, method := range []string{"G", "GET", long} {
		require.NoError(t, requestError(t, head(method, DefaultMaxTargetBytes), nil))
		require.Equal(t, ErrTargetTooLong, requestError(t, head(method, DefaultMaxTargetBytes+1), nil))
		lim := &Limits{MaxTargetBytes: 10}
		require.NoError(t, requestError(t, head(method, 10), lim))
		require.Equal(t, ErrTargetTooLong, requestError(t, head(method, 11), lim))
	}
}

func TestMethodLimitIsExact(t *testing.T) {
	for n, want := range map[int]error{maxMethodBytes: nil, maxMethodBytes + 1: ErrBadMethod} {
		method := strings.Repeat("M", n)
		require.Equal(t, want, requestError(t, lines(method+" / HTTP/1.1", "Host: h"), nil))
		require.Equal(t, want == nil, ValidMethod(method))
	}
}

// A size line costs what it has beyond 16 bytes; the budget is that of the whole body (CVE-2023-39326).
func TestChunkOverheadLimitIsExact(t *testing.T) {
	body := func(waste, chunks int) string {
		return strings.Repeat("1;"+strings.Repeat("x", 14+waste)+"\r\na\r\n", chunks) + "0\r\n\r\n"
	}
	lim := &Limits{MaxChunkOverhead: 100}
	for _, cut := range []int{1, 7, 100_000} {
		got, _, r, err := readBody(body(20, 5), Chunked, -1, lim, cut)
		require.NoError(t, err)
		require.Equal(t, "aaaaa", got)
		r.Reset(nil)
		_, _, r, err = readBody(body(20, 5)[:5*37]+"1;"+strings.Repeat("x", 15)+"\r\na\r\n0\r\n\r\n",
			Chunked, -1, lim, cut)
		require.Equal(t, ErrChunkOverhead, err)
		r.Reset(nil)
		_, _, r, err = readBody(strings.Repeat("0", 16)+"\r\n\r\n", Chunked, -1, lim, cut)
		require.NoError(t, err)
		r.Reset(nil)
		_, _, r, err = readBody(strings.Repeat("0", 17)+"\r\n\r\n", Chunked, -1, lim, cut)
		require.Equal(t, ErrChunkTooLarge, err, "leading zeros are digits too")
		r.Reset(nil)
		got, _, r, err = readBody(body(0, 10_000), Chunked, -1, lim, cut)
		require.NoError(t, err, "short size lines cost nothing, however many there are")
		require.Len(t, got, 10_000)
		r.Reset(nil)
	}
}

func TestChunkSizeLineLimitIsExact(t *testing.T) {
	for n, want := range map[int]error{maxChunkLine: nil, maxChunkLine + 1: ErrChunkOverhead} {
		for _, cut := range []int{1, 100_000} {
			_, _, r, err := readBody("1;"+strings.Repeat("x", n-2)+"\r\na\r\n0\r\n\r\n", Chunked, -1, nil,
				cut)
			require.Equal(t, want, err)
			r.Reset(nil)
		}
	}
}

func TestTrailerLimitsAreExact(t *testing.T) {
	for _, cut := range []int{1, 100_000} {
		for n, want := range map[int]error{3: nil, 4: ErrTooManyFields} {
			_, _, r, err := readBody("0\r\n"+strings.Repeat("A: b\r\n", n)+"\r\n", Chunked, -1,
				&Limits{MaxFields: 3}, cut)
			require.Equal(t, want, err)
			r.Reset(nil)
		}
		for _, limit := range []int{50, 20_000} {
			for n, want := range map[int]error{limit: nil, limit + 1: ErrTrailerTooLarge} {
				section := fmt.Sprintf("A: %s\r\n\r\n", strings.Repeat("b", n-7))
				require.Len(t, section, n)
				_, b, r, err := readBody("0\r\n"+section, Chunked, -1, &Limits{MaxHeadBytes: limit}, cut)
				require.Equal(t, want, err)
				require.Equal(t, want == nil, b.Done())
				r.Reset(nil)
			}
		}
	}
}

func TestZeroAndNegativeLimitsMeanTheDefaults(t *testing.T) {
	for _, lim := range []*Limits{nil, {}, {-1, -1, -1, -1}} {
		require.Equal(t, DefaultMaxHeadBytes, lim.headBytes())
		require.Equal(t, DefaultMaxFields, lim.fields())
		require.Equal(t, DefaultMaxTargetBytes, lim.targetBytes())
		require.Equal(t, DefaultMaxChunkOverhead, lim.chunkOverhead())
	}
}
