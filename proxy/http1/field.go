package http1

import "bytes"

// Field is one field line. Both slices alias the head they were parsed from; Value has no white space at
// its ends.
type Field struct {
	Name, Value []byte
}

// Framing says how a body is delimited (RFC 9112 section 6).
type Framing uint8

// The four framings.
const (
	// NoBody: the message ends with its head.
	NoBody Framing = iota
	// ContentLength: the body has a known number of bytes, possibly zero.
	ContentLength
	// Chunked: the body is a sequence of chunks and a trailer section.
	Chunked
	// UntilClose: the body of a response ends with the connection; never of a request.
	UntilClose
)

var framingNames = [...]string{"none", "content_length", "chunked", "until_close"}

// String returns none, content_length, chunked or until_close.
func (f Framing) String() string {
	if int(f) < len(framingNames) {
		return framingNames[f]
	}
	return "invalid"
}

// class is what the package knows about a field name.
type class uint8

const (
	classOther class = iota
	classHost
	classContentLength
	classTransferEncoding
	classConnection
	classUpgrade
	classExpect
	classTrailer
	classHop            // meant for one connection only, or for a proxy: never forwarded
	classForwardedFor   // X-Forwarded-For
	classForwardedProto // X-Forwarded-Proto
	classForwardedHost  // X-Forwarded-Host
	classForwarded      // Forwarded
	classForwardedElse  // X-Real-IP, other X-Forwarded-*
	classEndToEnd       // never removed on the word of a Connection field
	classDate
	classVia         // end to end, and a sign of loops
	classMaxForwards // how many more hops an OPTIONS request may take
)

// classOf looks a name up by its length first, so that most names cost one comparison or none.
func classOf(n []byte) class {
	switch len(n) {
	case 2, 3, 4:
		return classShort(n)
	case 5:
		if foldIs(n, "proxy") { // CVE-2016-5385: CGI servers read it as HTTP_PROXY
			return classHop
		}
	case 6:
		if foldIs(n, "expect") {
			return classExpect
		}
		if foldIs(n, "cookie") {
			return classEndToEnd
		}
	case 7:
		if foldIs(n, "upgrade") {
			return classUpgrade
		}
		if foldIs(n, "trailer") {
			return classTrailer
		}
	case 9, 10, 12:
		return classMiddle(n)
	default:
		return classLong(n)
	}
	return classOther
}

func classShort(n []byte) class {
	switch {
	case len(n) == 4 && foldIs(n, "host"):
		return classHost
	case len(n) == 4 && foldIs(n, "date"):
		return classDate
	case len(n) == 2 && foldIs(n, "te"):
		return classHop
	case len(n) == 3 && foldIs(n, "via"):
		return classVia
	}
	return classOther
}

func classMiddle(n []byte) class {
	switch {
	case len(n) == 10 && foldIs(n, "connection"):
		return classConnection
	case len(n) == 10 && foldIs(n, "keep-alive"):
		return classHop
	case len(n) == 10 && foldIs(n, "set-cookie"):
		return classEndToEnd
	case len(n) == 12 && foldIs(n, "content-type"):
		return classEndToEnd
	case len(n) == 12 && foldIs(n, "max-forwards"):
		return classMaxForwards
	case len(n) == 9 && foldIs(n, "forwarded"):
		return classForwarded
	case len(n) == 9 && foldIs(n, "x-real-ip"):
		return classForwardedElse
	}
	return classOther
}

func classLong(n []byte) class {
	if len(n) > 12 && foldIs(n[:12], "x-forwarded-") {
		switch {
		case len(n) == 15 && foldIs(n[12:], "for"):
			return classForwardedFor
		case len(n) == 17 && foldIs(n[12:], "proto"):
			return classForwardedProto
		case len(n) == 16 && foldIs(n[12:], "host"):
			return classForwardedHost
		}
		return classForwardedElse
	}
	switch len(n) {
	case 13:
		if foldIs(n, "authorization") || foldIs(n, "cache-control") {
			return classEndToEnd
		}
	case 14:
		if foldIs(n, "content-length") {
			return classContentLength
		}
		if foldIs(n, "http2-settings") {
			return classHop
		}
	case 16:
		if foldIs(n, "proxy-connection") {
			return classHop
		}
		if foldIs(n, "content-encoding") {
			return classEndToEnd
		}
	case 17:
		if foldIs(n, "transfer-encoding") {
			return classTransferEncoding
		}
	case 18:
		if foldIs(n, "proxy-authenticate") {
			return classHop
		}
	case 19:
		if foldIs(n, "proxy-authorization") {
			return classHop
		}
	}
	return classOther
}

// summary gathers, in the one pass over the fields, what framing and persistence need.
type summary struct {
	hosts, lengths, codings     int // number of lines
	host, length, coding        []byte
	upgrade                     []byte
	closes, keepAlive, upgrades bool // options of the Connection lines
	expectContinue, via         bool
}

func (s *summary) note(f Field) {
	switch classOf(f.Name) {
	case classHost:
		s.hosts++
		s.host = f.Value
	case classContentLength:
		s.lengths++
		s.length = f.Value
	case classTransferEncoding:
		s.codings++
		s.coding = f.Value
	case classConnection:
		s.closes = s.closes || hasToken(f.Value, "close")
		s.keepAlive = s.keepAlive || hasToken(f.Value, "keep-alive")
		s.upgrades = s.upgrades || hasToken(f.Value, "upgrade")
	case classUpgrade:
		if s.upgrade == nil {
			s.upgrade = f.Value
		}
	case classVia:
		s.via = true
	case classExpect:
		s.expectContinue = s.expectContinue || len(f.Value) == 12 && foldIs(f.Value, "100-continue")
	}
}

// parseFields parses field lines up to and including the blank line, which must be the end of lines. It
// appends them to fields, and tells each to sum unless sum is nil.
func parseFields(lines []byte, fields []Field, most int, sum *summary) ([]Field, error) {
	for {
		i := bytes.IndexByte(lines, '\n')
		switch {
		case i < 0:
			return fields, ErrBadHeadEnd
		case i == 0 || lines[i-1] != '\r':
			return fields, ErrBareLF
		case i == 1 && len(lines) == 2:
			return fields, nil
		case i == 1:
			return fields, ErrBadHeadEnd
		case len(fields) >= most:
			return fields, ErrTooManyFields
		}
		f, err := parseField(lines[:i-1], len(fields) == 0)
		if err != nil {
			return fields, err
		}
		fields = append(fields, f)
		if sum != nil {
			sum.note(f)
		}
		lines = lines[i+1:]
	}
}

// parseField parses one line, given without its CRLF and not empty.
func parseField(line []byte, first bool) (Field, error) {
	n := 0
	for n < len(line) && charTable[line[n]]&charToken != 0 {
		n++
	}
	if n == len(line) || line[n] != ':' || n == 0 {
		return Field{}, badName(line, n, first)
	}
	v := trimOWS(line[n+1:])
	if err := checkValue(v); err != nil {
		return Field{}, err
	}
	return Field{Name: line[:n:n], Value: v[:len(v):len(v)]}, nil
}

// badName finds the refusal for a line whose first n bytes are token bytes that no colon follows.
func badName(line []byte, n int, first bool) error {
	blank := func(c byte) bool { return c == ' ' || c == '\t' }
	switch {
	case blank(line[0]) && first:
		return ErrLeadingSpace
	case blank(line[0]):
		return ErrObsFold
	case n < len(line) && line[n] == '\r':
		return ErrBareCR
	case line[0] == ':':
		return ErrEmptyFieldName
	case bytes.IndexByte(line, ':') < 0:
		return ErrMissingColon
	}
	for n < len(line) && blank(line[n]) {
		n++
	}
	if line[n] == ':' {
		return ErrSpaceBeforeColon
	}
	return ErrBadFieldName
}

// get returns the value of the first field of that name, or nil.
func get(fields []Field, name string) []byte {
	for i := range fields {
		if equalFold(fields[i].Name, name) {
			return fields[i].Value
		}
	}
	return nil
}
