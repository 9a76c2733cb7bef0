package http2

import (
	"testing"

	"golang.org/x/net/http2/hpack"
)

// freshCookie is a head with a cookie of 4 KiB, another each time.
func freshCookie() []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/="
	b := make([]byte, 4096)
	for i := range b {
		b[i] = letters[(i*i+i/7)%len(letters)]
	}
	var block sink
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	_ = enc.WriteField(hpack.HeaderField{Name: "cookie", Value: string(b)})
	return block
}

func BenchmarkUnpackedFreshCookie(b *testing.B) {
	u := newUnpacked()
	head := freshCookie()
	b.SetBytes(4096)
	for b.Loop() {
		u.feed(head)
	}
}

func BenchmarkDecodedFreshCookie(b *testing.B) {
	d := newDecoded()
	head := freshCookie()
	b.SetBytes(4096)
	for b.Loop() {
		_ = d.take(head)
	}
}
