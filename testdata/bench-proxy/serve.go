package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// serveMain runs one of the Go proxies: serve KIND PORT BACKENDPORT.
func serveMain(args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bench-proxy serve reverseproxy|fasthttp|relay PORT BACKENDPORT")
		return 2
	}
	go func() { // the parent may die without a word
		parent := os.Getppid()
		for os.Getppid() == parent {
			time.Sleep(time.Second)
		}
		os.Exit(1)
	}()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() { <-stop; os.Exit(0) }()
	ln, err := net.Listen("tcp", "127.0.0.1:"+args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	backend := "127.0.0.1:" + args[2]
	switch args[0] {
	case "reverseproxy":
		err = serveReverseProxy(ln, backend)
	case "fasthttp":
		err = serveFastHTTP(ln, backend)
	case "relay":
		err = serveRelay(ln, backend)
	default:
		err = fmt.Errorf("no such server: %s", args[0])
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// serveReverseProxy is net/http's, as one would write it: the target rewritten, X-Forwarded-For added.
func serveReverseProxy(ln net.Listener, backend string) error {
	target := &url.URL{Scheme: "http", Host: backend}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 2000, MaxIdleConns: 2000, IdleConnTimeout: 30 * time.Second},
	}
	s := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 60 * time.Second}
	return s.Serve(ln)
}

// serveFastHTTP is fasthttp's server with its client for one host.
func serveFastHTTP(ln net.Listener, backend string) error {
	client := &fasthttp.HostClient{Addr: backend, MaxConns: 2000, MaxIdleConnDuration: 30 * time.Second,
		ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	s := &fasthttp.Server{
		IdleTimeout: 60 * time.Second,
		Handler: func(ctx *fasthttp.RequestCtx) {
			req, resp := &ctx.Request, &ctx.Response
			req.Header.Del("Connection")
			req.Header.Set("X-Forwarded-For", ctx.RemoteIP().String())
			if err := client.Do(req, resp); err != nil {
				ctx.Error("Bad Gateway", http.StatusBadGateway)
				return
			}
			resp.Header.Del("Connection")
		},
	}
	return s.Serve(ln)
}

// serveRelay is the floor: one connection to the backend for each client's, heads searched for their end only and
// passed on as they came, and answers by their Content-Length.
func serveRelay(ln net.Listener, backend string) error {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go relayOne(nc, backend)
	}
}

func relayOne(client net.Conn, backend string) {
	defer client.Close()
	server, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	defer server.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := readHead(client, buf)
		if err != nil {
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
		if n, err = readHead(server, buf); err != nil {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
		end := bytes.Index(buf[:n], []byte("\r\n\r\n")) + 4
		left := contentLength(buf[:end]) - int64(n-end)
		if left > 0 {
			if _, err := io.CopyN(client, server, left); err != nil {
				return
			}
		}
	}
}

// readHead reads until the end of a head is there.
func readHead(nc net.Conn, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := nc.Read(buf[n:])
		if err != nil {
			return n, err
		}
		n += m
		if bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
			return n, nil
		}
	}
	return n, io.ErrShortBuffer
}

var lengthName = []byte("\r\nContent-Length: ")

func contentLength(head []byte) (n int64) {
	i := bytes.Index(head, lengthName)
	if i < 0 {
		return 0
	}
	for _, c := range head[i+len(lengthName):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
