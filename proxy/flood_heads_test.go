package proxy_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// inOneHead fills one head with a field that is shorter than HPACK's table, on a connection on which as much has come before as is let pass.
func inOneHead(name string, size, times, before int) flood {
	return flood{name: name, requests: 1000, attack: func(s *siege) *attacker {
		a := s.attack()
		field := hpack.HeaderField{Name: "a", Value: strings.Repeat("0", size)}
		for range before {
			a.open(true, "/", field, field)
			a.flush()
			if !<-a.fates { // a GOAWAY
				return a
			}
		}
		a.open(true, "/", slices.Repeat([]hpack.HeaderField{field}, times)...)
		a.flush()
		<-a.fates
		return a
	}}
}

// TestTrailersThatAreFullOfOneFieldAmplifyLessThanAHundredfold opens as many streams as it may, and ends each with a trailer section that
// is full of one field. The backend reads all that it is sent, as net/http's does not.
func TestTrailersThatAreFullOfOneFieldAmplifyLessThanAHundredfold(t *testing.T) {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	var told atomic.Int64
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				buf, end := make([]byte, 64<<10), ""
				for !strings.Contains(end, "\r\n0\r\n") || !strings.HasSuffix(end, "\r\n\r\n") {
					n, err := nc.Read(buf)
					if told.Add(int64(n)); err != nil {
						return
					}
					end += string(buf[:n])
				}
				_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}()
		}
	}()
	s := &siege{t: t}
	s.proxy, s.front = begin(t, ln.Addr().String())
	a := s.attack()
	field := hpack.HeaderField{Name: "a", Value: strings.Repeat("0", 4000)}
	for range 100 {
		a.open(false, "/", hpack.HeaderField{Name: "trailer", Value: "a"})
	}
	for id := uint32(1); id < a.next; id += 2 {
		a.head.Reset()
		for range 15 {
			require.NoError(t, a.enc.WriteField(field))
		}
		require.NoError(t, a.fr.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: a.head.Bytes(), EndHeaders: true, EndStream: true,
		}))
	}
	a.flush()
	for ended := 0; ended < 100; { // an answer or a reset for each
		head, more := <-a.fates
		if !more {
			break
		}
		if head {
			ended++
		}
	}
	a.leave()
	spent, sent := s.spent.Load(), s.got.Load()+told.Load()
	t.Logf("bytes %.2f (%d for %d)", float64(sent)/float64(spent), sent, spent)
	require.Less(t, sent, amplifying*spent)
}

func TestHeadsThatAreFullOfOneFieldAmplifyLessThanAHundredfold(t *testing.T) {
	for _, f := range []flood{
		inOneHead("600 bytes, first head", 600, 94, 0),
		inOneHead("600 bytes, late", 600, 94, 60),
		inOneHead("1 KiB, late", 1000, 62, 30),
		inOneHead("300 bytes, late", 300, 95, 40),
		inOneHead("2 KiB, late", 2000, 31, 15),
		inOneHead("4 KiB, first", 4000, 15, 0),
	} {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), f.run)
	}
}
