package probe

import (
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// saying serves by reading as many bytes as are expected of the peer, and then writing those texts one by one.
func saying(hears int, texts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, hears)); err != nil {
			return
		}
		for _, text := range texts {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

func mustExchange(t *testing.T, d Dialer, cfg ExchangeConfig) Prober {
	p, err := Exchange(d, cfg)
	require.NoError(t, err)
	return p
}

func TestAnExchangeIsJudgedByHowTheAnswerBegins(t *testing.T) {
	const well = Reason(255) // stands for no error
	ping := ExchangeConfig{Send: []byte("PING\r\n"), Expect: []byte("+PONG")}
	ssl := ExchangeConfig{Send: []byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"), Match: regexp.MustCompile("^[SN]")}
	smtp := ExchangeConfig{Expect: []byte("220")}
	late := ExchangeConfig{Match: regexp.MustCompile("ready"), MaxBytes: 10}
	cases := []struct {
		name   string
		cfg    ExchangeConfig
		answer []string
		want   Reason
	}{
		{"as expected", ping, []string{"+PONG\r\n"}, well},
		{"as expected, byte by byte", ping, strings.Split("+PONG\r\n", ""), well},
		{"exactly as long as expected", ping, []string{"+PONG"}, well},
		{"an error", ping, []string{"-LOADING Redis is loading the dataset in memory\r\n"}, BadAnswer},
		{"wrong in its last byte", ping, []string{"+PONK"}, BadAnswer},
		{"closed before the last byte", ping, []string{"+PON"}, BadAnswer},
		{"closed without a word", ping, nil, BadAnswer},
		{"a byte of two", ssl, []string{"S"}, well},
		{"the other byte of two", ssl, []string{"N"}, well},
		{"neither of them, and the end", ssl, []string{"E"}, BadAnswer},
		{"a greeting", smtp, []string{"220 mail.example ESMTP\r\n"}, well},
		{"another greeting", smtp, []string{"554 no\r\n"}, BadAnswer},
		{"a match at the limit", late, []string{"12345", "ready"}, well},
		{"a match behind the limit", late, []string{"123456", "ready"}, BadAnswer},
		{"bytes that are not text", ExchangeConfig{Match: regexp.MustCompile(`(?s)^.\x00ok`)}, []string{"\xff\x00ok"}, well},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: saying(len(c.cfg.Send), c.answer...)}
				err := mustExchange(t, network, c.cfg).Probe(within(t), address)
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

func TestAnExchangeEndsAtTheFirstByteThatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: func(conn net.Conn) {
			_, _ = io.WriteString(conn, "+X")
			silent(conn)
		}}
		begun := time.Now()
		err := mustExchange(t, network, ExchangeConfig{Expect: []byte("+PONG")}).Probe(within(t), address)
		requireKind(t, BadAnswer, err)
		require.Zero(t, time.Since(begun), "it waited for more")
		require.ErrorContains(t, err, `begins with "+X"`)
		network.settle(t)
	})
}

func TestAnExchangeEndsWithItsContextWhateverTheBackendDoes(t *testing.T) {
	backends := map[string]func(net.Conn){
		"accepts and never answers": silent,
		"accepts and never reads":   func(net.Conn) { time.Sleep(time.Minute) },
		"answers a byte at a time": func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 6))
			for range 100 {
				time.Sleep(100 * time.Millisecond)
				if _, err := io.WriteString(conn, "+"); err != nil {
					return
				}
			}
		},
	}
	for name, serve := range backends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: serve}
				p := mustExchange(t, network, ExchangeConfig{Send: []byte("PING\r\n"), Match: regexp.MustCompile("PONG")})
				begun := time.Now()
				requireKind(t, Timeout, p.Probe(within(t), address))
				require.Equal(t, time.Second, time.Since(begun), "not when its time was up")
				network.settle(t)
			})
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: serve}
				p := mustExchange(t, network, ExchangeConfig{Send: []byte("PING\r\n"), Match: regexp.MustCompile("PONG")})
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(300*time.Millisecond, cancel)
				requireKind(t, Canceled, p.Probe(ctx, address))
				network.settle(t)
			})
		})
	}
}

func TestAnExchangeReadsABoundedPartOfAnEndlessAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		network := &fakeNet{serve: func(conn net.Conn) {
			for {
				n, err := io.WriteString(conn, strings.Repeat("x", 1000))
				sent += n
				if err != nil {
					return
				}
			}
		}}
		p := mustExchange(t, network, ExchangeConfig{Match: regexp.MustCompile("y"), MaxBytes: MaxExchangeBytes})
		requireKind(t, BadAnswer, p.Probe(within(t), address))
		network.settle(t)
		require.Equal(t, MaxExchangeBytes, sent)
	})
}

func TestAnExchangeRefusesAConfigOutOfRange(t *testing.T) {
	long := func(n int) []byte { return make([]byte, n) }
	some := regexp.MustCompile(".")
	for _, cfg := range []ExchangeConfig{
		{},
		{Send: []byte("PING")},
		{Expect: []byte("a"), Match: some},
		{Send: long(MaxExchangeBytes + 1), Match: some},
		{Expect: long(MaxExchangeBytes + 1)},
		{Match: some, MaxBytes: MaxExchangeBytes + 1},
		{Match: some, MaxBytes: -1},
		{Expect: long(11), MaxBytes: 10},
	} {
		_, err := Exchange(nil, cfg)
		require.ErrorContains(t, err, "probe: ", "%+v", cfg)
	}
	for _, cfg := range []ExchangeConfig{
		{Send: long(MaxExchangeBytes), Match: some},
		{Expect: long(MaxExchangeBytes)},
		{Match: some, MaxBytes: MaxExchangeBytes},
		{Expect: long(10), MaxBytes: 10},
	} {
		_, err := Exchange(nil, cfg)
		require.NoError(t, err)
	}
}

func TestSilenceMatchesNoPattern(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){"silent": silent, "closes": func(net.Conn) {}} {
		for _, pattern := range []string{``, `.*`, `^(\+PONG)?`} {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: serve}
				err := mustExchange(t, network, ExchangeConfig{Match: regexp.MustCompile(pattern)}).Probe(within(t), address)
				require.Error(t, err, "%s: %q", name, pattern)
				network.settle(t)
			})
		}
	}
}
