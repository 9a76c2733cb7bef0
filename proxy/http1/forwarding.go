package http1

import (
	"bytes"
	"strconv"
)

// Forwarding says which fields tell the next hop who the client is and how it reached us.
type Forwarding uint8

// The four ways.
const (
	// WriteXForwarded writes X-Forwarded-For, -Proto and -Host.
	WriteXForwarded Forwarding = iota
	// WriteForwarded writes Forwarded (RFC 7239).
	WriteForwarded
	// WriteBothForwarded writes all four.
	WriteBothForwarded
	// WriteNoForwarded writes none.
	WriteNoForwarded
)

// x and standard say which of the two kinds are written.
func (w Forwarding) x() bool        { return w == WriteXForwarded || w == WriteBothForwarded }
func (w Forwarding) standard() bool { return w == WriteForwarded || w == WriteBothForwarded }

// writes says whether a field of that class is one that we write ourselves.
func (w Forwarding) writes(c class) bool {
	switch c {
	case classForwardedFor, classForwardedProto, classForwardedHost:
		return w.x()
	case classForwarded:
		return w.standard()
	}
	return false
}

// appendForwarding writes what tells the next hop about the client.
func appendForwarding(dst []byte, req *Request, f *ForwardRequest) []byte {
	if f.Forwarding.x() {
		dst = appendXForwarded(dst, req, f)
	}
	if f.Forwarding.standard() {
		dst = appendStandardForwarded(dst, req, f)
	}
	return dst
}

// appendList appends the values of all fields of a class to a list that has begun at from. A Forwarded value whose quotes
// do not close is dropped.
func appendList(dst []byte, from int, fields []Field, c class) []byte {
	for i := range fields {
		fl := &fields[i]
		if classOf(fl.Name) != c || len(fl.Value) == 0 || c == classForwarded && !quotesClosed(fl.Value) {
			continue
		}
		if len(dst) > from {
			dst = append(dst, ", "...)
		}
		dst = append(dst, fl.Value...)
	}
	return dst
}

// appendXForwarded writes the three X-Forwarded fields, each as one line.
func appendXForwarded(dst []byte, req *Request, f *ForwardRequest) []byte {
	start := len(dst)
	dst = append(dst, "X-Forwarded-For: "...)
	empty := len(dst)
	if f.TrustForwarded {
		dst = appendList(dst, empty, req.Fields, classForwardedFor)
	}
	if f.ClientIP != "" {
		if len(dst) > empty {
			dst = append(dst, ", "...)
		}
		dst = append(dst, f.ClientIP...)
	}
	if len(dst) == empty {
		dst = dst[:start]
	} else {
		dst = append(dst, "\r\n"...)
	}
	var proto, host []byte
	if f.TrustForwarded {
		proto = get(req.Fields, "X-Forwarded-Proto")
		host = get(req.Fields, "X-Forwarded-Host")
	}
	switch {
	case len(proto) > 0:
		dst = appendField(dst, "X-Forwarded-Proto", proto)
	case f.Proto != "":
		dst = appendField(dst, "X-Forwarded-Proto", f.Proto)
	}
	if len(host) == 0 {
		host = req.Authority
	}
	if len(host) > 0 {
		dst = appendField(dst, "X-Forwarded-Host", host)
	}
	return dst
}

// appendStandardForwarded writes one Forwarded line: the elements of a trusted client, and ours behind them (RFC 7239
// section 4).
func appendStandardForwarded(dst []byte, req *Request, f *ForwardRequest) []byte {
	dst = append(dst, "Forwarded: "...)
	empty := len(dst)
	if f.TrustForwarded {
		dst = appendList(dst, empty, req.Fields, classForwarded)
	}
	if len(dst) > empty {
		dst = append(dst, ", "...)
	}
	dst = append(dst, "for="...)
	dst = appendNode(dst, f.ClientIP)
	if f.Proto != "" {
		dst = append(dst, ";proto="...)
		dst = append(dst, f.Proto...)
	}
	if len(req.Authority) > 0 {
		dst = append(dst, ";host="...)
		if all(req.Authority, charToken) {
			dst = append(dst, req.Authority...)
		} else { // a port, or an IPv6 address; a valid authority has neither quotes nor backslashes
			dst = append(dst, '"')
			dst = append(dst, req.Authority...)
			dst = append(dst, '"')
		}
	}
	return append(dst, "\r\n"...)
}

// quotesClosed says whether a value has no quoted string that would swallow what is appended to it.
func quotesClosed(v []byte) bool {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '"':
			quoted = !quoted
		case v[i] == '\\' && quoted:
			i++
		}
	}
	return !quoted
}

// appendNode writes a node name: an IPv6 address stands in brackets and quotes (RFC 7239 section 6).
func appendNode(dst []byte, ip string) []byte {
	if ip == "" {
		return append(dst, "unknown"...)
	}
	for i := range len(ip) {
		if ip[i] == ':' {
			dst = append(dst, "\"["...)
			dst = append(dst, ip...)
			return append(dst, "]\""...)
		}
	}
	return append(dst, ip...)
}

// Hops counts the members of the request's Via fields that were received by a proxy of that pseudonym, in any case, with
// or without a port (RFC 9110 section 7.6.3). It is how a loop is noticed.
func (r *Request) Hops(pseudonym string) int {
	n := 0
	for i := range r.Fields {
		if classOf(r.Fields[i].Name) == classVia {
			n += hops(r.Fields[i].Value, pseudonym)
		}
	}
	return n
}

// hops counts in one Via value: the second word of each member between commas. Comments are not looked for: one that is
// never closed would hide the members behind it.
func hops(v []byte, pseudonym string) int {
	n := 0
	for len(v) > 0 {
		var member []byte
		member, v, _ = bytes.Cut(v, comma)
		member = trimOWS(member)
		if i := bytes.IndexAny(member, " \t"); i > 0 {
			by := trimOWS(member[i:])
			if end := bytes.IndexAny(by, " \t("); end >= 0 {
				by = by[:end]
			}
			if namesUs(by, pseudonym) {
				n++
			}
		}
	}
	return n
}

var comma = []byte(",")

// namesUs says whether a received-by is the pseudonym, with or without a port.
func namesUs(by []byte, pseudonym string) bool {
	if i := bytes.IndexByte(by, ':'); i >= 0 {
		by = by[:i]
	}
	return equalFold(by, pseudonym)
}

// MaxForwards is how many more times an OPTIONS request may be forwarded (RFC 9110 section 7.6.2): whoever gets it with 0
// answers it. It is -1 where nothing limits that: for another method, and without one field of digits.
func (r *Request) MaxForwards() int {
	if len(r.Method) != 7 || string(r.Method) != "OPTIONS" {
		return -1
	}
	n := -1
	for i := range r.Fields {
		fl := &r.Fields[i]
		if classOf(fl.Name) != classMaxForwards {
			continue
		}
		if n >= 0 || len(fl.Value) == 0 || len(fl.Value) > 9 || !all(fl.Value, charDigit) {
			return -1
		}
		n = 0
		for _, c := range fl.Value {
			n = 10*n + int(c-'0')
		}
	}
	return n
}

func appendMaxForwards(dst []byte, n int) []byte {
	dst = append(dst, "Max-Forwards: "...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "\r\n"...)
}
