package proxyproto

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"testing"

	pires "github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"
)

// theirs is what go-proxyproto reads, in our words.
func theirs(wire []byte) (Header, int, error) {
	r := bufio.NewReaderSize(bytes.NewReader(wire), 16*MaxSize)
	h, err := pires.Read(r)
	if err != nil {
		return Header{}, 0, err
	}
	used := len(wire) - r.Buffered()
	var out Header
	if out.Local = h.Version == 2 && h.Command == pires.LOCAL; out.Local {
		return out, used, nil
	}
	if src, dst, ok := h.TCPAddrs(); ok {
		out.Source, out.Destination = port2(src), port2(dst)
	}
	return out, used, nil
}

func port2(a *net.TCPAddr) netip.AddrPort {
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// whole receives a header and parses it.
func whole(stream string, atOnce int) ([]byte, Header, error) {
	b, _, err := receive(stream, atOnce)
	if err != nil {
		return b, Header{}, err
	}
	h, err := Parse(b)
	return b, h, err
}

// Whatever we accept, a reader that is in wide use reads alike and takes as much of it; and what we write it reads.
func FuzzParse(f *testing.F) {
	for _, c := range good {
		f.Add([]byte(c.wire))
	}
	for _, c := range bad {
		f.Add([]byte(c.wire))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		if len(wire) > 2*MaxSize {
			return
		}
		header, h, err := whole(string(wire), 1<<20)
		slowly, _, errSlowly := whole(string(wire), 1)
		require.Equal(t, err == nil, errSlowly == nil)
		require.LessOrEqual(t, len(header), MaxSize)
		if err != nil {
			return
		}
		require.Equal(t, header, slowly)
		if h == (Header{}) && header[0] != signature1[0] {
			return // PROXY without a TCP connection, which the specification leaves to the receiver
		}
		want, used, err := theirs(wire)
		require.NoError(t, err, "we read it")
		require.Equal(t, want, h)
		require.Equal(t, used, len(header))

		for _, version := range []int{V1, V2} {
			again := Append(nil, version, h)
			got, _, err := theirs(again)
			require.NoError(t, err)
			require.Equal(t, !h.Source.IsValid() && version == V2, got.Local)
			require.Equal(t, h.Source, got.Source)
			require.Equal(t, h.Destination, got.Destination)
		}
	})
}

func TestAnotherImplementationReadsWhatWeReadAndWrite(t *testing.T) {
	for name, c := range good {
		if name == "no family" {
			continue // which the specification leaves to the receiver
		}
		want, used, err := theirs([]byte(c.wire + get))
		require.NoError(t, err, name)
		require.Equal(t, c.want, want, name)
		require.Equal(t, len(c.wire), used, name)
	}
}
