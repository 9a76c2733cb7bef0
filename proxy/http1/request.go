package http1

import "bytes"

// Request is a parsed request head. Its slices alias the head, but for Path where the target had no path to
// alias.
//
// A front that speaks another protocol may fill one by hand for AppendRequestHead: Method, Path, Authority,
// Minor, Fields (checked with ValidFieldName and ValidFieldValue), Framing and ContentLength.
type Request struct {
	Method []byte // a token, at most 32 bytes, in the case received: methods are case-sensitive
	Target []byte // the request target as received
	// Path is the path with its query in origin form, beginning with '/'. It is "*" for the asterisk form,
	// and empty for CONNECT. Escapes and dot segments are left as received.
	Path []byte
	// Authority is the host, with the port if one was given: of the absolute form if the target has it, which
	// wins over Host (RFC 9112 section 3.2.2), else the Host value. Empty only for HTTP/1.0 without either.
	Authority []byte
	Minor     int     // minor version of HTTP/1: 0 or 1
	Fields    []Field // every field line in order, framing and Host included
	Framing   Framing // NoBody, ContentLength or Chunked
	// ContentLength is the declared length in bytes, or -1 when none is declared.
	ContentLength int64
	// KeepAlive says whether the client allows another request on the connection (RFC 9112 section 9.3): by
	// default in 1.1, on "keep-alive" in 1.0, never on "close".
	KeepAlive bool
	// ExpectContinue says that an HTTP/1.1 client waits for 100 (Continue) before it sends its body (RFC 9110
	// section 10.1.1). It is false for a request without a body.
	ExpectContinue bool
	IsConnect      bool // the method is CONNECT, with a valid authority-form target
	// Upgrade is the value of the first Upgrade field, if the request is HTTP/1.1 and a Connection field
	// names upgrade (RFC 9110 section 7.8); nil otherwise.
	Upgrade []byte

	// HasVia says that there is a Via field: see Hops.
	HasVia bool
	// HeadBytes is the length of the head that was parsed.
	HeadBytes int

	scratch []byte // memory for a Path that no target holds, kept from request to request
}

// Parse parses head, which is one complete head from the first byte of the request line to the blank line,
// and nothing behind it. It reuses the memory of Fields and overwrites everything else; after an error the
// content is unspecified. Every error is a *ParseError.
func (r *Request) Parse(head []byte, lim *Limits) error {
	*r = Request{Fields: r.Fields[:0], ContentLength: -1, HeadBytes: len(head), scratch: r.scratch}
	if len(head) > lim.headBytes() {
		return ErrHeaderTooLarge
	}
	end := bytes.IndexByte(head, '\n')
	switch {
	case end < 0:
		return ErrBadHeadEnd
	case end == 0 || head[end-1] != '\r':
		return ErrBareLF
	}
	if err := r.parseLine(head[:end-1], lim); err != nil {
		return err
	}
	var sum summary
	var err error
	if r.Fields, err = parseFields(head[end+1:], r.Fields, lim.fields(), &sum); err != nil {
		return err
	}
	return r.conclude(&sum)
}

// parseLine parses the request line (RFC 9112 section 3): three parts with exactly one space between.
func (r *Request) parseLine(line []byte, lim *Limits) error {
	if bytes.IndexByte(line, '\r') >= 0 {
		return ErrBareCR
	}
	n := 0
	for n < len(line) && charTable[line[n]]&charToken != 0 {
		n++
	}
	switch {
	case len(line) == 0 || n == len(line):
		return ErrBadRequestLine
	case n == 0 || n > maxMethodBytes || line[n] != ' ':
		return ErrBadMethod
	}
	r.Method = line[:n:n]
	rest := line[n+1:]
	space := bytes.IndexByte(rest, ' ')
	if space > lim.targetBytes() || space < 0 && len(rest) > lim.targetBytes() {
		return ErrTargetTooLong
	}
	if space <= 0 {
		return ErrBadRequestLine
	}
	version := rest[space+1:]
	if len(version) == 0 || bytes.IndexByte(version, ' ') >= 0 {
		return ErrBadRequestLine
	}
	var err error
	if r.Minor, err = parseVersion(version); err != nil {
		return err
	}
	r.Target = rest[:space:space]
	return r.parseTarget()
}

// conclude judges what needs all fields: Host, framing, persistence.
func (r *Request) conclude(sum *summary) error {
	switch {
	case sum.hosts > 1:
		return ErrDuplicateHost
	case sum.hosts == 1 && !validHost(sum.host, false):
		return ErrBadHost
	case sum.hosts == 0 && r.Minor > 0:
		return ErrMissingHost
	}
	if len(r.Authority) == 0 {
		r.Authority = sum.host
	}
	var err error
	if r.Framing, r.ContentLength, err = sum.bodyFraming(r.Minor); err != nil {
		return err
	}
	r.HasVia = sum.via
	r.KeepAlive = sum.persists(r.Minor)
	r.ExpectContinue = sum.expectContinue && r.Minor > 0 && r.hasBody()
	if sum.upgrades && r.Minor > 0 {
		r.Upgrade = sum.upgrade
	}
	return nil
}

// hasBody says whether at least one byte of framing or payload follows the head.
func (r *Request) hasBody() bool {
	return r.Framing == Chunked || r.Framing == ContentLength && r.ContentLength > 0
}

// Get returns the value of the first field of that name in any case, or nil. Fields that may occur more
// than once must be read from Fields.
func (r *Request) Get(name string) []byte { return get(r.Fields, name) }

// Reset forgets the request, so that a Request kept beside an idle connection keeps no borrowed buffer
// alive. The memory of Fields is kept for the next Parse.
func (r *Request) Reset() {
	clear(r.Fields[:cap(r.Fields)])
	*r = Request{Fields: r.Fields[:0], ContentLength: -1, scratch: r.scratch}
}
