package http1_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wavepool/wavepool/proxy/http1"
)

// A server reads requests off one connection until it ends.
func ExampleReader() {
	conn := strings.NewReader("POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello" +
		"GET /b HTTP/1.1\r\nHost: example.com\r\n\r\n")
	var r http1.Reader
	var req http1.Request
	var body http1.Body
	r.Reset(conn)
	for {
		if err := r.ReadRequest(&req, nil); err == io.EOF {
			break
		} else if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s %s\n", req.Method, req.Path)
		body.Start(&r, req.Framing, req.ContentLength, nil)
		for {
			run, err := body.Next()
			if err != nil {
				break
			}
			fmt.Printf("  %s\n", run)
		}
	}
	r.ReleaseBuffer()
	// Output:
	// POST /a
	//   hello
	// GET /b
}

// A refusal is one of a closed list, and knows its status.
func ExampleParseError() {
	var req http1.Request
	err := req.Parse([]byte("POST / HTTP/1.1\r\nHost: h\r\n"+
		"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"), nil)
	var refusal *http1.ParseError
	fmt.Println(errors.As(err, &refusal), refusal.Status, refusal.Reason)
	// Output: true 400 length_and_chunked
}

func ExampleAppendRequestHead() {
	var req http1.Request
	err := req.Parse([]byte("GET /x HTTP/1.1\r\nHost: example.com\r\n"+
		"Connection: X-Secret\r\nX-Secret: 1\r\nAccept: */*\r\n\r\n"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	head := http1.AppendRequestHead(nil, &req, &http1.ForwardRequest{
		ClientIP: "192.0.2.1", Proto: "https", Via: "wavepool", Framing: req.Framing,
		ContentLength: req.ContentLength,
	})
	fmt.Print(strings.ReplaceAll(string(head), "\r\n", "\n"))
	// Output:
	// GET /x HTTP/1.1
	// Host: example.com
	// Accept: */*
	// X-Forwarded-For: 192.0.2.1
	// X-Forwarded-Proto: https
	// X-Forwarded-Host: example.com
	// Via: 1.1 wavepool
}

func ExampleAppendResponseHead() {
	var resp http1.Response
	err := resp.Parse([]byte("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 002\r\n\r\n"),
		[]byte("GET"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	head := http1.AppendResponseHead(nil, &resp, &http1.ForwardResponse{
		Framing: resp.Framing, ContentLength: resp.ContentLength, Close: true,
	})
	fmt.Print(strings.ReplaceAll(string(head), "\r\n", "\n"))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Length: 2
	// Connection: close
}

func ExampleAppendGet() {
	fmt.Printf("%q\n", http1.AppendGet(nil, "GET", "10.0.0.1:80", "/healthz", false))
	// Output: "GET /healthz HTTP/1.1\r\nHost: 10.0.0.1:80\r\nConnection: close\r\n\r\n"
}

// A body of unknown length leaves in chunks.
func ExampleAppendChunkHead() {
	var out []byte
	for _, data := range []string{"hello ", "world"} {
		out = http1.AppendChunkHead(out, len(data))
		out = append(out, data...)
		out = append(out, http1.ChunkEnd...)
	}
	out = append(out, http1.LastChunk...)
	fmt.Printf("%q\n", out)
	// Output: "6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
}
