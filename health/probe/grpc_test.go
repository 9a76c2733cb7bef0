package probe

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func mustGRPC(t *testing.T, d Dialer, cfg GRPCConfig) Prober {
	p, err := GRPC(d, cfg)
	require.NoError(t, err)
	return p
}

// grpcAnswer is an answer as it comes out of a stream.
func grpcAnswer(message string, trailers ...string) string {
	text := "HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n"
	if message != "" {
		text += fmt.Sprintf("%x\r\n%s\r\n", len(message), message)
	}
	for _, field := range append([]string{"0"}, append(trailers, "")...) {
		text += field + "\r\n"
	}
	return text
}

const (
	isServing    = "\x00\x00\x00\x00\x02\x08\x01"
	isNotServing = "\x00\x00\x00\x00\x02\x08\x02"
	isUnknown    = "\x00\x00\x00\x00\x00"
)

func TestOnlyAServingServiceIsWell(t *testing.T) {
	const well = Reason(255) // stands for no error
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
	cases := []struct {
		name, answer string
		want         Reason
		says         string
	}{
		{"serving", grpcAnswer(isServing, "Grpc-Status: 0"), well, ""},
		{"not serving", grpcAnswer(isNotServing, "Grpc-Status: 0"), BadStatus, "NOT_SERVING"},
		{"unknown", grpcAnswer(isUnknown, "Grpc-Status: 0"), BadStatus, "UNKNOWN"},
		{"a status of a later version", grpcAnswer("\x00\x00\x00\x00\x02\x08\x09", "Grpc-Status: 0"), BadStatus, "status 9"},
		{"serving, and then an error", grpcAnswer(isServing, "Grpc-Status: 13", "Grpc-Message: oh"), BadAnswer, `"13" "oh"`},
		{"serving without a status", grpcAnswer(isServing), BadAnswer, "grpc-status"},
		{"an error in the head alone", head + "Grpc-Status: 5\r\nGrpc-Message: unknown service\r\nContent-Length: 0\r\n\r\n",
			BadAnswer, `"5" "unknown service"`},
		{"no health service", head + "Grpc-Status: 12\r\nContent-Length: 0\r\n\r\n", BadAnswer, `"12"`},
		{"a page instead", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", BadAnswer, "text/html"},
		{"a proxy's own answer", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", BadAnswer, "status 503"},
		{"two messages", grpcAnswer(isServing+isServing, "Grpc-Status: 0"), BadAnswer, "one message"},
		{"a message cut short", grpcAnswer(isServing[:6], "Grpc-Status: 0"), BadAnswer, "one message"},
		{"no message", grpcAnswer("", "Grpc-Status: 0"), BadAnswer, "one message"},
		{"compressed", grpcAnswer("\x01"+isServing[1:], "Grpc-Status: 0"), BadAnswer, "compressed"},
		{"malformed", grpcAnswer("\x00\x00\x00\x00\x01\x08", "Grpc-Status: 0"), BadAnswer, "malformed"},
		{"a message at the limit", grpcAnswer(padded(maxGRPCAnswer), "Grpc-Status: 0"), well, ""},
		{"a message over the limit", grpcAnswer(padded(maxGRPCAnswer+1), "Grpc-Status: 0"), BadAnswer, "more than 1024"},
		{"interim answers", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim) + grpcAnswer(isServing, "Grpc-Status: 0"), well, ""},
		{"one interim answer too many", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1), BadAnswer, "1xx"},
		{"cut off", grpcAnswer(isServing)[:90], BadAnswer, ""},
		{"closed without a word", "", BadAnswer, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: answeringGRPC(c.answer)}
				err := mustGRPC(t, network, GRPCConfig{}).Probe(within(t), address)
				if c.want == well {
					require.NoError(t, err)
				} else {
					requireKind(t, c.want, err)
					require.ErrorContains(t, err, c.says)
				}
				network.settle(t)
			})
		})
	}
}

// padded is a message of that length that says serving behind a field that nobody knows.
func padded(n int) string {
	pad := n - 5 // without the tag and the length of the field, and the status
	frame := []byte{0, 0, 0, byte(n >> 8), byte(n), 0x12, byte(pad) | 0x80, byte(pad >> 7)}
	return string(frame) + strings.Repeat("x", pad) + "\x08\x01"
}

// answeringGRPC serves one call with that text.
func answeringGRPC(text string) func(net.Conn) {
	return func(conn net.Conn) {
		req, err := readRequest(conn)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(conn, text)
	}
}

func TestACallNamesItsServiceInOneFrame(t *testing.T) {
	for service, want := range map[string]string{
		"":             "\x00\x00\x00\x00\x00",
		"shop.v1.Cart": "\x00\x00\x00\x00\x0e\x0a\x0cshop.v1.Cart",
		strings.Repeat("s", 300): "\x00\x00\x00\x01\x2f\x0a\xac\x02" +
			strings.Repeat("s", 300),
	} {
		synctest.Test(t, func(t *testing.T) {
			var got, te, host string
			network := &fakeNet{serve: func(conn net.Conn) {
				req, err := readRequest(conn)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(req.Body)
				got, te, host = req.Method+" "+req.URL.Path+" "+req.Header.Get("Content-Type")+" "+string(body), req.Header.Get("TE"), req.Host
				_, _ = io.WriteString(conn, grpcAnswer(isServing, "Grpc-Status: 0"))
			}}
			require.NoError(t, mustGRPC(t, network, GRPCConfig{Service: service, Authority: "shop.example"}).Probe(within(t), address))
			network.settle(t)
			require.Equal(t, "POST /grpc.health.v1.Health/Check application/grpc "+want, got)
			require.Equal(t, "trailers", te)
			require.Equal(t, "shop.example", host)
		})
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: silent}
		begun := time.Now()
		requireKind(t, Timeout, mustGRPC(t, network, GRPCConfig{}).Probe(within(t), address))
		require.Equal(t, time.Second, time.Since(begun))
		network.settle(t)
	})
}

func TestACallRefusesAConfigThatIsNoRequest(t *testing.T) {
	_, err := GRPC(nil, GRPCConfig{})
	require.ErrorIs(t, err, errNoStreams)
	network := &fakeNet{serve: silent}
	for _, cfg := range []GRPCConfig{{Authority: "a b"}, {Authority: "a\r\nX: y"}, {Service: strings.Repeat("s", maxServiceName+1)}} {
		_, err := GRPC(network, cfg)
		require.Error(t, err, "%+v", cfg)
	}
	for _, cfg := range []GRPCConfig{{Authority: "[::1]:80"}, {Service: strings.Repeat("s", maxServiceName)}} {
		_, err := GRPC(network, cfg)
		require.NoError(t, err, "%+v", cfg)
	}
}

// Whatever fields a message has around its status, and however long their numbers are spelled, the last status counts.
func TestTheLastStatusOfAMessageCountsAmongFieldsThatNobodyKnows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var message []byte
		want := servingStatus(0)
		for range rapid.IntRange(0, 5).Draw(t, "fields") {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				want = servingStatus(rapid.IntRange(0, 200).Draw(t, "status"))
				message = append(message, 0x08, byte(want)|0x80, byte(want>>7)|0x80, 0)
			case 1:
				message = append(message, 0x10, 7) // field 2, a number
			case 2:
				message = append(message, 0x1a, 3, 0x08, 0x08, 0x08) // field 3, bytes that look like fields
			case 3:
				message = append(message, 0x21, 8, 8, 8, 8, 8, 8, 8, 8) // field 4, 64 bits
			case 4:
				message = append(message, 0xfd, 0x01, 8, 8, 8, 8) // field 31, 32 bits
			}
		}
		frame := append([]byte{0, 0, 0, byte(len(message) >> 8), byte(len(message))}, message...)
		got, err := parseHealthAnswer(frame)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// Whatever the bytes: no panic, and nothing is read that is not in the frame.
func FuzzParseHealthAnswer(f *testing.F) {
	for _, s := range []string{isServing, isNotServing, isUnknown, padded(200), "\x00\x00\x00\x00\x02\x0b\x0c",
		"\x00\x00\x00\x00\x06\x12\xff\xff\xff\xff\x0f", "\x00\x00\x00\x00\x01\x09", "\x00\x00\x00\x00\x02\x00\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		status, err := parseHealthAnswer(b[:len(b):len(b)])
		if err != nil {
			require.Zero(t, status)
			return
		}
		require.Equal(t, byte(0), b[0])
		require.Equal(t, len(b)-grpcFrame, int(b[1])<<24|int(b[2])<<16|int(b[3])<<8|int(b[4]))
		require.NotEmpty(t, status.String())
		// A status behind it is the one that counts.
		longer := append(append([]byte(nil), b...), 0x08, 0x01)
		n := len(longer) - grpcFrame
		longer[1], longer[2], longer[3], longer[4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		status, err = parseHealthAnswer(longer)
		require.NoError(t, err)
		require.Equal(t, serving, status)
	})
}

func TestTheMediaTypeOfGRPCIsNotThatOfItsNeighbours(t *testing.T) {
	for _, good := range []string{"application/grpc", "Application/gRPC+proto", "application/grpc; a=b", "application/grpc+json"} {
		require.True(t, isGRPC(good), good)
	}
	for _, bad := range []string{"", "application/grp", "application/grpc-web", "application/grpc-web+proto", "application/grpcs", "text/html"} {
		require.False(t, isGRPC(bad), bad)
	}
}
