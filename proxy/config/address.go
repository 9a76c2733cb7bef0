package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The checks below return what is wrong, or "" when nothing is, as form.String wants it.

func required(s string) string {
	if s == "" {
		return "is required"
	}
	return ""
}

// checkListen wants host:port or :port; port 0 asks for a free one.
func checkListen(s string) string {
	return checkAddress(s, "host:port or :port", true, 0)
}

// checkBackend wants host:port with both parts.
func checkBackend(s string) string {
	return checkAddress(s, "host:port", false, 1)
}

// checkAdmin wants host:port; port 0 asks for a free one.
func checkAdmin(s string) string {
	return checkAddress(s, "host:port", false, 0)
}

func checkAddress(s, want string, emptyHost bool, minPort int) string {
	if s == "" {
		return "is required; want " + want
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if ip, ipErr := netip.ParseAddr(s); ipErr == nil && ip.Is6() {
			return "want " + want + "; put the IPv6 address in brackets: [" + s + "]:80"
		}
		return "want " + want + "; got \"" + s + "\""
	}
	if host == "" && !emptyHost {
		return "the host is missing; want " + want
	}
	if host != "" && !validHost(host, strings.HasPrefix(s, "[")) {
		return "\"" + host + "\" is not a host name or an IP address"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || int(n) < minPort || strings.HasPrefix(port, "+") {
		return "the port must be a number from " + strconv.Itoa(minPort) + " to 65535; got \"" + port + "\""
	}
	return ""
}

// validHost accepts an IP address, or a name of dot-separated labels of letters, digits, hyphens and underscores. A name
// whose last label is all digits would be taken for a mistyped IPv4 address by every resolver, so it is refused.
func validHost(host string, bracketed bool) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return bracketed == ip.Is6()
	}
	if bracketed || len(host) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || !onlyWord(label, "-_") {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// checkMatchHost wants a bare host, without port, or nothing.
func checkMatchHost(s string) string {
	host, opened := strings.CutPrefix(s, "[")
	inside, closed := strings.CutSuffix(host, "]")
	bracketed := opened && closed
	if host = s; bracketed {
		host = inside
	}
	switch {
	case s == "":
		return ""
	case strings.Contains(s, "%"):
		return "\"" + s + "\" has a zone, which means nothing to another machine" // RFC 6874 section 1
	case strings.Contains(s, "*"):
		return "wildcards are not supported; name the host, or leave it out to match every host"
	case validHost(host, bracketed):
		return ""
	case strings.Contains(s, ":"):
		return "want a host without a port; got \"" + s + "\""
	}
	return "\"" + s + "\" is not a host name or an IP address"
}

// checkHostField wants what a Host field may hold: a host, with or without a port; or nothing.
func checkHostField(s string) string {
	if bad := checkMatchHost(s); bad == "" || strings.Contains(s, "%") {
		return bad
	}
	return checkAddress(s, "host or host:port", false, 1)
}

// checkPath wants an absolute path of visible ASCII (RFC 3986 section 3.3), without a query and with whole percent
// escapes, so that it can stand in a request line as it is.
func checkPath(s string) string {
	if !strings.HasPrefix(s, "/") {
		return "must begin with a slash; got \"" + s + "\""
	}
	if len(s) > 8<<10 {
		return "is longer than 8KiB"
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || c == '#':
			return "holds a byte that no path may hold, at offset " + strconv.Itoa(i) + "; write it as a % escape"
		case c == '?':
			return "must be a path without a query"
		case c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])):
			return "holds a broken % escape at offset " + strconv.Itoa(i)
		}
	}
	return ""
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// checkName wants the name of an upstream: it stands in metrics, logs and error messages.
func checkName(s string) string {
	if len(s) > 64 || s == "" || !onlyWord(s, "-_.") || !onlyWord(s[:1], "") {
		return "a name is 1 to 64 letters, digits, hyphens, underscores and dots, beginning with a letter or a digit"
	}
	return ""
}

// onlyWord reports whether s holds nothing but ASCII letters, digits and the bytes of extra.
func onlyWord(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
