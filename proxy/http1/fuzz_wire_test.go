package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// transcript reads a whole client connection, request after request with their bodies, and writes down all
// that a caller could see.
func transcript(data []byte, cuts []int, eager bool, lim *Limits) string {
	r := &Reader{}
	r.Reset(&cutSource{data: data, cuts: cuts, eager: eager})
	defer r.Reset(nil)
	var out strings.Builder
	var req Request
	var b Body
	for {
		if err := r.ReadRequest(&req, lim); err != nil {
			fmt.Fprintf(&out, "end: %v, started %v\n", err, r.Started())
			return out.String()
		}
		b.Start(r, req.Framing, req.ContentLength, lim)
		var payload []byte
		for {
			run, err := b.Next()
			payload = append(payload, run...)
			if err == io.EOF {
				break
			}
			if err != nil {
				fmt.Fprintf(&out, "body: %q, %v\n", payload, err)
				return out.String()
			}
		}
		// Only now: the head must have survived its body.
		fmt.Fprintf(&out,
			"%s %s at %s, minor %d, %v %d, keep %v expect %v upgrade %q\n%q\nbody %q\ntrailers %q\n",
			req.Method, req.Path,
			req.Authority, req.Minor, req.Framing, req.ContentLength, req.KeepAlive, req.ExpectContinue,
			req.Upgrade,
			fieldStrings(req.Fields), payload, fieldStrings(b.Trailers()))
	}
}

// However the network cuts a stream, the same messages and the same verdict come out.
func FuzzSplit(f *testing.F) {
	stream := post("1.1", "Content-Length: 5") + "12345\r\n" + post("1.1", "Transfer-Encoding: chunked") +
		"3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n" + browserHead
	f.Add([]byte(stream), []byte{1, 7, 30}, false)
	f.Add([]byte(stream+"\r\n\r\n"), []byte{200}, true)
	f.Add([]byte(stream+"GET / HTTP/1.1\r\n: x"), []byte{3}, true)
	f.Fuzz(func(t *testing.T, data, seed []byte, eager bool) {
		if len(data) > 4<<10 {
			return
		}
		cuts := make([]int, len(seed))
		for i, c := range seed {
			cuts[i] = int(c)
		}
		// Small limits bring the limits themselves within reach of the fuzzer.
		for _, lim := range []*Limits{nil, {MaxHeadBytes: 120, MaxFields: 3, MaxTargetBytes: 12,
			MaxChunkOverhead: 8}} {
			want := transcript(data, nil, false, lim)
			require.Equal(t, want, transcript(data, []int{1}, eager, lim))
			require.Equal(t, want, transcript(data, cuts, eager, lim))
		}
	})
}

// What we accept as chunked, net/http's reader understands in the same way.
func FuzzChunked(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"))
	f.Add([]byte("00A;x=\"y\"\r\n0123456789\r\n1\r\n.\r\n0\r\nX-Sum: 1\r\n\r\nGET"))
	f.Add([]byte("3\r\nabcd\r\n"))
	f.Add([]byte("ffffffffffffffff\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			return
		}
		got, b, r, err := readBody(string(data), Chunked, -1, nil)
		defer r.Reset(nil)
		if err != nil {
			var refusal *ParseError
			require.True(t, err == io.ErrUnexpectedEOF || errors.As(err, &refusal), "%v", err)
			require.False(t, b.Done())
			return
		}
		want, stdErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(data)))
		require.NoError(t, stdErr)
		require.Equal(t, string(want), got)
		for _, tr := range b.Trailers() {
			require.True(t, ValidFieldName(string(tr.Name)))
			require.True(t, ValidFieldValue(string(tr.Value)))
		}
		// Written again, it is the same payload with the same trailers that may pass.
		var wire []byte
		if got != "" {
			wire = append(append(AppendChunkHead(nil, len(got)), got...), ChunkEnd...)
		}
		again, b2, r2, err := readBody(string(AppendLastChunk(wire, b.Trailers())), Chunked, -1, nil)
		defer r2.Reset(nil)
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.LessOrEqual(t, len(b2.Trailers()), len(b.Trailers()))
	})
}

// expectForwarded is the slow and obvious account of which fields pass to a backend, in order.
func expectForwarded(req *Request, f *ForwardRequest) []string {
	const x = " x-forwarded-for x-forwarded-proto x-forwarded-host "
	protected := " authorization cookie set-cookie cache-control" +
		" content-type content-encoding via date expect trailer max-forwards "
	written := map[Forwarding]string{WriteXForwarded: x, WriteForwarded: " forwarded ", WriteBothForwarded: x + " forwarded ",
		WriteNoForwarded: ""}[f.Forwarding]
	never := " host content-length transfer-encoding connection keep-alive" +
		" proxy-connection te upgrade http2-settings" +
		" proxy-authorization proxy-authenticate proxy "
	named := map[string]bool{}
	for _, fl := range req.Fields {
		if strings.EqualFold(string(fl.Name), "connection") {
			for o := range strings.SplitSeq(string(fl.Value), ",") {
				named[strings.ToLower(strings.Trim(o, " \t"))] = true
			}
		}
	}
	out := []string{}
	for _, fl := range req.Fields {
		name := strings.ToLower(string(fl.Name))
		is := func(list string) bool { return strings.Contains(list, " "+name+" ") }
		forwarding := strings.HasPrefix(name, "x-forwarded-") && len(name) > 12 || name == "forwarded" ||
			name == "x-real-ip"
		switch {
		case is(never), strings.Contains(name, "_"), forwarding && !f.TrustForwarded, is(written):
		case f.RequestIDName != "" && name == strings.ToLower(f.RequestIDName):
		case named[name] && !is(protected) && !forwarding:
		case name == "trailer" && f.Framing != Chunked, name == "expect" && req.Minor == 0:
		case name == "max-forwards" && req.MaxForwards() > 0:
			out = append(out, fmt.Sprintf("Max-Forwards: %d", req.MaxForwards()-1))
		default:
			out = append(out, string(fl.Name)+": "+string(fl.Value))
		}
	}
	return out
}

// What we forward parses again as the same request, less what must not pass.
func FuzzForward(f *testing.F) {
	f.Add([]byte(browserHead), true, "192.0.2.1")
	f.Add([]byte(post("1.0", "Content-Length: 007", "Connection: keep-alive, x, X-FORWARDED-for", "X: 1",
		"X_Y: 2")), true, "::1")
	f.Add([]byte(post("1.1", "Transfer-Encoding: chunked", "Trailer: a", "Expect: 100-continue",
		"X-Forwarded-For: 1", "X-Forwarded-For: 2")), false, "")
	f.Add([]byte(lines("OPTIONS * HTTP/1.1", "Host: h:80", "Max-Forwards: 007", "Forwarded: for=\"a", "Forwarded: for=b",
		"x-request-id: c", "Via: 1.1 wp")), true, "2001:db8::1")
	f.Add([]byte(lines("GET http://a?b HTTP/1.1", "Host: h", "Connection: host,content-length")), false, "")
	f.Fuzz(func(t *testing.T, data []byte, trust bool, ip string) {
		var req, again Request
		if req.Parse(data, nil) != nil || !ValidFieldValue(ip) {
			return
		}
		fwd := ForwardRequest{ClientIP: ip, Proto: "http", Via: "wp", TrustForwarded: trust,
			Framing: req.Framing, ContentLength: req.ContentLength,
			Forwarding: Forwarding(len(data) % 4)} // a part of the input like any other
		if len(data)%3 == 0 {
			fwd.RequestIDName, fwd.RequestID = "X-Request-ID", []byte("id")
		}
		if len(req.Authority) == 0 {
			fwd.Host = []byte("backend")
		}
		out := AppendRequestHead([]byte("before"), &req, &fwd)
		require.True(t, bytes.HasPrefix(out, []byte("before")))
		require.NoError(t, again.Parse(out[6:], &Limits{MaxHeadBytes: 1 << 20, MaxFields: 1000,
			MaxTargetBytes: 1 << 20}), "%q", out)
		require.Equal(t, string(req.Method), string(again.Method))
		require.Equal(t, string(req.Path), string(again.Path))
		require.Equal(t, req.Framing, again.Framing)
		require.Equal(t, req.ContentLength, again.ContentLength)
		require.True(t, again.KeepAlive)
		require.Equal(t, "Host", string(again.Fields[0].Name))
		if fwd.Host == nil {
			require.Equal(t, string(req.Authority), string(again.Authority))
		}
		want := expectForwarded(&req, &fwd)
		require.Equal(t, want, fieldStrings(again.Fields)[1:len(want)+1])
		ours := fieldStrings(again.Fields)[len(want)+1:]
		require.LessOrEqual(t, len(ours), 7, "framing, four forwarding fields, the identity, Via: %q", ours)
		require.Equal(t, fwd.RequestIDName != "", slices.Contains(ours, "X-Request-ID: id"))
		require.Equal(t, fmt.Sprintf("Via: 1.%d wp", req.Minor), ours[len(ours)-1])
	})
}
