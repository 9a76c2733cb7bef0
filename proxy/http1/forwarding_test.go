package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// told are the values of the forwarding fields of a request as forwarded, one line for each.
func told(t *testing.T, f ForwardRequest, fields ...string) []string {
	t.Helper()
	all := forwarded(t, lines(append([]string{"GET / HTTP/1.1", "Host: h:80"}, fields...)...), f)
	return append([]string(nil), all[2:]...) // nil for none
}

var spoofed = []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil",
	"Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6"}

// RFC 7239 sections 4 and 6.
func TestForwardedNamesTheClientInTheSyntaxOfItsRFC(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7":   `Forwarded: for=192.0.2.7;proto=http;host="h:80"`,
		"2001:db8::1": `Forwarded: for="[2001:db8::1]";proto=http;host="h:80"`,
		"":            `Forwarded: for=unknown;proto=http;host="h:80"`,
	} {
		require.Equal(t, []string{want}, told(t, ForwardRequest{ClientIP: ip, Proto: "http", Forwarding: WriteForwarded}))
	}
	for host, want := range map[string]string{"h.example": "h.example", "[::1]": `"[::1]"`, "h:8080": `"h:8080"`} {
		got := forwarded(t, lines("GET / HTTP/1.1", "Host: "+host), ForwardRequest{ClientIP: "1.2.3.4", Forwarding: WriteForwarded})
		require.Equal(t, "Forwarded: for=1.2.3.4;host="+want, got[2])
	}
}

func TestEachStyleWritesItsFieldsAndStrangersAddNothing(t *testing.T) {
	x := []string{"X-Forwarded-For: 2.2.2.2", "X-Forwarded-Proto: http", "X-Forwarded-Host: h:80"}
	standard := `Forwarded: for=2.2.2.2;proto=http;host="h:80"`
	for style, want := range map[Forwarding][]string{
		WriteXForwarded: x, WriteForwarded: {standard}, WriteBothForwarded: append(x, standard), WriteNoForwarded: nil,
	} {
		f := ForwardRequest{ClientIP: "2.2.2.2", Proto: "http", Forwarding: style}
		require.Equal(t, want, told(t, f, spoofed...), "%d", style)
		require.Equal(t, want, told(t, f), "%d", style)
	}
}

func TestWhatIsWrittenContinuesATrustedProxysWordAndTheRestPasses(t *testing.T) {
	kept := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"}
	continued := []string{"X-Forwarded-For: 6.6.6.6, 2.2.2.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil"}
	ours := `Forwarded: for=6.6.6.6, for=2.2.2.2;proto=http;host="h:80"`
	theirs := []string{"Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.6"}
	for style, want := range map[Forwarding][]string{
		WriteXForwarded:    append(theirs, continued...),
		WriteForwarded:     append(append(kept[:3:3], "X-Real-IP: 6.6.6.6"), ours),
		WriteBothForwarded: append(append([]string{"X-Real-IP: 6.6.6.6"}, continued...), ours),
		WriteNoForwarded:   append(kept[:3:3], theirs...),
	} {
		f := ForwardRequest{ClientIP: "2.2.2.2", Proto: "http", Forwarding: style, TrustForwarded: true}
		require.Equal(t, want, told(t, f, spoofed...), "%d", style)
	}
}

// An open quote would make our own element a part of the value before it.
func TestAForwardedValueWithAnOpenQuoteIsDropped(t *testing.T) {
	for value, kept := range map[string]bool{
		`for="6.6.6.6`: false, `for="a\"`: false, `for=a";host="b"`: false,
		`for="[::1]"`: true, `for="a\"b"`: true, `for=a\b`: true,
	} {
		got := told(t, ForwardRequest{Forwarding: WriteForwarded, TrustForwarded: true}, "Forwarded: "+value)
		want := `Forwarded: for=unknown;host="h:80"`
		if kept {
			want = "Forwarded: " + value + `, for=unknown;host="h:80"`
		}
		require.Equal(t, []string{want}, got)
	}
}

func TestTheIdentityOfARequestIsOursAndCannotBeNamedAway(t *testing.T) {
	got := forwarded(t, lines("GET / HTTP/1.1", "Host: h", "x-request-id: theirs", "X_Request_Id: theirs", "X-REQUEST-ID: again",
		"Connection: x-request-id"), ForwardRequest{RequestIDName: "X-Request-ID", RequestID: []byte("ours"),
		Forwarding: WriteNoForwarded})
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Request-ID: ours"}, got)
	got = forwarded(t, lines("GET / HTTP/1.1", "Host: h", "X-Request-ID: theirs"), ForwardRequest{Forwarding: WriteNoForwarded})
	require.Equal(t, []string{"GET / HTTP/1.1", "Host: h", "X-Request-ID: theirs"}, got, "a field like any other when it is off")
}

// RFC 9110 section 7.6.3.
func TestHopsCountsOurNameAsReceivedBy(t *testing.T) {
	for via, want := range map[string]int{
		"":                       0,
		"1.1 wavepool":           1,
		"1.0 WavePool:8080":      1,
		"HTTP/1.1 wavepool":      1,
		"1.1 wavepool (cache)":   1,
		"1.1 wavepool(cache)":    1,
		"1.1\t wavepool":         1,
		"1.1 a, 1.1 wavepool":    1,
		"1.1 wavepool,1.1 b,":    1,
		"1.1 wavepool2":          0,
		"1.1 my-wavepool":        0,
		"wavepool":               0,
		"1.1 a (by 1.1 wavepool": 0,
		"1.1 a (open, 1.1 wavepool, 1.1 wavepool": 2,
	} {
		req := mustParse(t, lines("GET / HTTP/1.1", "Host: h", "Via: "+via))
		require.True(t, req.HasVia)
		require.Equal(t, want, req.Hops("wavepool"), "%q", via)
	}
	req := mustParse(t, lines("GET / HTTP/1.1", "Host: h", "via: 1.1 wavepool", "X: y", "VIA: 1.1 wavepool"))
	require.Equal(t, 2, req.Hops("wavepool"))
	require.False(t, mustParse(t, lines("GET / HTTP/1.1", "Host: h")).HasVia)
	require.Zero(t, mustParse(t, lines("GET / HTTP/1.1", "Host: h")).Hops("wavepool"))
}

func TestAParsedHeadKnowsItsLength(t *testing.T) {
	head := lines("GET / HTTP/1.1", "Host: h", "A: "+strings.Repeat("b", 100))
	require.Equal(t, len(head), mustParse(t, head).HeadBytes)
}

// RFC 9110 section 7.6.2.
func TestMaxForwardsIsCountedDownForOPTIONSAlone(t *testing.T) {
	for _, c := range []struct {
		method, value string
		n             int
		want          string
	}{
		{"OPTIONS", "10", 10, "Max-Forwards: 9"}, {"OPTIONS", "1", 1, "Max-Forwards: 0"}, {"OPTIONS", "0", 0, "max-forwards: 0"},
		{"OPTIONS", "999999999", 999999999, "Max-Forwards: 999999998"}, {"OPTIONS", "1000000000", -1, "max-forwards: 1000000000"},
		{"OPTIONS", "-1", -1, "max-forwards: -1"}, {"OPTIONS", "1 0", -1, "max-forwards: 1 0"}, {"OPTIONS", "", -1, "max-forwards: "},
		{"GET", "3", -1, "max-forwards: 3"}, {"options", "3", -1, "max-forwards: 3"},
	} {
		head := lines(c.method+" / HTTP/1.1", "Host: h", "max-forwards: "+c.value)
		require.Equal(t, c.n, mustParse(t, head).MaxForwards(), "%+v", c)
		require.Equal(t, c.want, forwarded(t, head, ForwardRequest{Forwarding: WriteNoForwarded})[2], "%+v", c)
	}
	require.Equal(t, -1, mustParse(t, lines("OPTIONS * HTTP/1.1", "Host: h")).MaxForwards())
	require.Equal(t, -1, mustParse(t, lines("OPTIONS * HTTP/1.1", "Host: h", "Max-Forwards: 1", "Max-Forwards: 1")).MaxForwards())
}
