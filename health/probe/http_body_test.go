package probe

import (
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// sized is an answer with that body.
func sized(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func TestHTTPJudgesTheBodyOfAnAnswer(t *testing.T) {
	const well = Reason(255) // stands for no error
	up := HTTPConfig{Contains: []byte(`"up"`)}
	pattern := func(p string, most int) HTTPConfig { return HTTPConfig{Match: regexp.MustCompile(p), MaxBody: most} }
	text := func(s string, most int) HTTPConfig { return HTTPConfig{Contains: []byte(s), MaxBody: most} }
	const head, chunked = "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	cases := []struct {
		name   string
		cfg    HTTPConfig
		answer []string
		want   Reason
	}{
		{"the text", up, []string{sized(`{"status":"up"}`)}, well},
		{"another text", up, []string{sized(`{"status":"down"}`)}, BadBody},
		{"no body", up, []string{sized("")}, BadBody},
		{"204", up, []string{"HTTP/1.1 204 No Content\r\n\r\n"}, BadBody},
		{"a status that is not good comes first", up, []string{"HTTP/1.1 503 ?\r\nContent-Length: 4\r\n\r\n\"up\""}, BadStatus},
		{"byte by byte", up, strings.Split(sized(`{"status":"up"}`), ""), well},
		{"over two chunks", up, []string{chunked, "3\r\n:\"u\r\n", "2\r\np\"\r\n0\r\n\r\n"}, well},
		{"not the chunks' own bytes", text("2\r\n", 9), []string{chunked, "2\r\nab\r\n0\r\n\r\n"}, BadBody},
		{"found before the body is whole", up, []string{"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", `"up"`}, well},
		{"cut off before it is found", up, []string{"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", `"u`}, BadAnswer},
		{"until close", up, []string{head + `x"up"`}, well},
		{"malformed chunks", up, []string{chunked, "zz\r\n"}, BadAnswer},
		{"ends at the limit", text("bc", 3), []string{sized("abc")}, well},
		{"ends behind the limit", text("bc", 2), []string{sized("abc")}, BadBody},
		{"as long as the limit", text("abc", 3), []string{sized("abcd")}, well},
		{"a pattern", pattern(`^ok\b`, 0), []string{sized("ok\n")}, well},
		{"a pattern that does not match", pattern(`^ok$`, 0), []string{sized("ok\n")}, BadBody},
		{"the end of a pattern is that of the body", pattern(`^ok$`, 0), []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "o", "k"}, well},
		{"or of what is looked at", pattern(`^ok$`, 2), []string{sized("okay")}, well},
		{"a pattern that matches nothing", pattern(`^$`, 0), []string{sized("")}, well},
		{"a pattern waits for the whole", pattern(`o`, 0), []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "o"}, BadAnswer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: answering(c.answer...)}
				err := mustHTTP(t, network, c.cfg).Probe(within(t), address)
				if c.want == well {
					require.NoError(t, err)
				} else {
					requireKind(t, c.want, err)
				}
				network.settle(t)
			})
		})
	}
}

func TestHTTPReadsNoMoreOfABodyThanItMustToKnow(t *testing.T) {
	for name, cfg := range map[string]HTTPConfig{
		"where only the status counts":  {},
		"where a text is found":         {Contains: []byte("xx"), MaxBody: 2048},
		"where a text is not found":     {Contains: []byte("yy"), MaxBody: 2048},
		"where a pattern does not fail": {Match: regexp.MustCompile("x{9}"), MaxBody: 2048},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				network := &fakeNet{serve: func(conn net.Conn) {
					_, _ = readRequest(conn)
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
					for range 1000 {
						n, err := io.WriteString(conn, strings.Repeat("x", 512))
						sent += n
						if err != nil {
							return
						}
					}
				}}
				_ = mustHTTP(t, network, cfg).Probe(within(t), address)
				network.settle(t)
				require.LessOrEqual(t, sent, cfg.MaxBody+16<<10)
			})
		})
	}
}

func TestHTTPSaysThatTheBodyOfAMethodWithOneIsEmpty(t *testing.T) {
	for _, c := range []struct {
		cfg  HTTPConfig
		want string
	}{
		{HTTPConfig{Method: "OPTIONS"}, ""},
		{HTTPConfig{Method: "DELETE"}, ""},
		{HTTPConfig{Method: "PUT"}, "Content-Length: 0\r\n"},
		{HTTPConfig{Method: "POST", Contains: []byte("a")}, "Accept-Encoding: identity\r\nContent-Length: 0\r\n"},
		{HTTPConfig{Match: regexp.MustCompile("a")}, "Accept-Encoding: identity\r\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got string
			network := &fakeNet{serve: func(conn net.Conn) {
				buf := make([]byte, 4096)
				n, _ := conn.Read(buf)
				got = string(buf[:n])
				_, _ = io.WriteString(conn, sized("a"))
			}}
			require.NoError(t, mustHTTP(t, network, c.cfg).Probe(within(t), address))
			network.settle(t)
			require.Contains(t, got, "Accept: */*\r\n"+c.want+"Connection: close\r\n\r\n")
		})
	}
}

func TestHTTPRefusesDemandsOnABodyThatCannotBeMet(t *testing.T) {
	a := []byte("a")
	for want, cfg := range map[string]HTTPConfig{
		"HEAD":                 {Method: "HEAD", Contains: a},
		"both given":           {Contains: a, Match: regexp.MustCompile("a")},
		"MaxBody is -1":        {MaxBody: -1},
		"MaxBody is 65537":     {MaxBody: MaxHTTPBody + 1},
		"Contains has 3 bytes": {Contains: []byte("abc"), MaxBody: 2},
	} {
		_, err := HTTP(nil, cfg)
		require.ErrorContains(t, err, want)
	}
	for _, cfg := range []HTTPConfig{
		{Contains: []byte("abc"), MaxBody: 3}, {Contains: a, MaxBody: MaxHTTPBody}, {Contains: make([]byte, MaxHTTPBody)}, {Method: "HEAD"},
	} {
		_, err := HTTP(nil, cfg)
		require.NoError(t, err)
	}
}

// Where the connection is kept the rest of a body is read too. A pattern must not be tried again with each piece of it: a backend that
// sends single bytes would make one check as dear as tens of thousands.
func TestAPatternIsTriedOnce(t *testing.T) {
	cfg := HTTPConfig{Match: regexp.MustCompile("y"), MaxBody: 2}
	l := look{cfg: &cfg, all: true, got: []byte("xx")}
	l.judge(true)
	require.False(t, l.good)
	l.got = []byte("yy") // nothing brings that about; it shows whether there is another look
	l.judge(true)
	require.False(t, l.good)
}
