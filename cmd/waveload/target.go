package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/wavepool/wavepool/proxy/http1"
)

// target is what is loaded: one method on one path of one server.
type target struct {
	host, port string // host without the brackets of an IPv6 address
	authority  string // the Host value
	method     string
	path       string // with the query
}

// parseTarget makes a target of the flags -server, -method and -path. The path of a URL holds unless -path was given.
func parseTarget(server, method, path string, pathGiven bool) (target, error) {
	rest := server
	if scheme, after, ok := strings.Cut(server, "://"); ok {
		switch strings.ToLower(scheme) {
		case "http":
			rest = after
		case "https":
			return target{}, fmt.Errorf("-server %q: only http is spoken, not https", server)
		default:
			return target{}, fmt.Errorf("-server %q: the scheme is %q, not http", server, scheme)
		}
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		if !pathGiven {
			path = rest[i:]
		}
		rest = rest[:i]
	}
	if strings.HasPrefix(path, "?") {
		path = "/" + path
	}
	t := target{method: method, path: path}
	var err error
	if t.host, t.port, err = splitServer(rest); err != nil {
		return target{}, fmt.Errorf("-server %q: %w", server, err)
	}
	t.authority = net.JoinHostPort(t.host, t.port)
	if t.port == "80" { // the default port is left out of Host, as browsers do (RFC 9110 section 7.2)
		t.authority = strings.TrimSuffix(t.authority, ":80")
	}
	switch {
	case !http1.ValidAuthority(t.authority):
		return target{}, fmt.Errorf("-server %q: %q is no valid host", server, t.authority)
	case !http1.ValidMethod(method):
		return target{}, fmt.Errorf("-method %q is no method", method)
	case method == "CONNECT":
		return target{}, errors.New("-method CONNECT opens tunnels, which are not loaded")
	case !http1.ValidPath(path):
		return target{}, fmt.Errorf("-path %q is no path: it begins with / and has no spaces, # or other than ASCII", path)
	}
	return t, nil
}

// splitServer splits host:port; the port may be missing and is 80 then.
func splitServer(s string) (host, port string, err error) {
	if s == "" {
		return "", "", errors.New("the host is missing")
	}
	host, port, err = net.SplitHostPort(s)
	if err != nil {
		var missing *net.AddrError
		if !errors.As(err, &missing) || missing.Err != "missing port in address" {
			return "", "", err
		}
		return strings.Trim(s, "[]"), "80", nil
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", "", fmt.Errorf("%q is not a port (1 to 65535)", port)
	}
	if host == "" { // ":8080", as servers write it
		host = "localhost"
	}
	return host, port, nil
}

// url is the target as a person writes it.
func (t *target) url() string { return "http://" + t.authority + t.path }

// request is the whole request, made once for all clients.
func (t *target) request(keepAlive bool) []byte {
	r := http1.ClientRequest{
		Method: t.method, Authority: t.authority, Path: t.path, Close: !keepAlive,
		Extra: []http1.Field{
			{Name: []byte("User-Agent"), Value: []byte("waveload")},
			{Name: []byte("Accept"), Value: []byte("*/*")},
		},
	}
	switch t.method { // those whose meaning anticipates a body say that it is empty (RFC 9110 section 8.6)
	case "POST", "PUT", "PATCH":
		r.Framing = http1.ContentLength
	}
	return http1.AppendClientRequest(nil, &r)
}
