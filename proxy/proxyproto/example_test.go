package proxyproto_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/wavepool/wavepool/proxy/proxyproto"
)

func Example() {
	conn := strings.NewReader("PROXY TCP4 192.0.2.1 10.0.0.1 53211 443\r\nGET / HTTP/1.1\r\n\r\n")
	var header []byte
	for {
		n, err := proxyproto.Missing(header)
		if err != nil {
			fmt.Println(err)
			return
		}
		if n == 0 {
			break
		}
		buf := make([]byte, n)
		got, err := conn.Read(buf)
		if err != nil {
			fmt.Println(err)
			return
		}
		header = append(header, buf[:got]...)
	}
	h, err := proxyproto.Parse(header)
	rest, _ := io.ReadAll(conn)
	fmt.Println(h.Source, "->", h.Destination, err)
	fmt.Printf("%.14s\n", rest)
	// Output:
	// 192.0.2.1:53211 -> 10.0.0.1:443 <nil>
	// GET / HTTP/1.1
}
