package http1

import "bytes"

// Response is a parsed response head. Its slices alias the head.
type Response struct {
	Minor  int     // minor version of HTTP/1: 0 or 1
	Status int     // 100 to 999
	Reason []byte  // the reason phrase, possibly empty
	Fields []Field // every field line in order, framing included
	// Framing says how the body is delimited (RFC 9112 section 6.3): NoBody for the answer to HEAD, for
	// 1xx, 204 and 304, and for 2xx to CONNECT; Chunked or ContentLength if declared; UntilClose otherwise.
	Framing Framing
	// ContentLength is the declared length in bytes, or -1 when none is declared. With NoBody it tells what
	// a GET would have received (HEAD, 304), and no body follows nevertheless.
	ContentLength int64
	// KeepAlive says whether the connection may carry another exchange after this response. It is false for
	// UntilClose, for 101 and a successful CONNECT, and where a status that has no body declares one, since
	// the sender may mean it.
	KeepAlive bool
	// Upgrade is the value of the first Upgrade field if a Connection field names upgrade; nil otherwise.
	Upgrade []byte
}

// Parse parses head, which is one complete head from the status line to the blank line and nothing behind
// it; method is that of the request it answers. It reuses the memory of Fields and overwrites everything
// else; after an error the content is unspecified. Every error is a *ParseError.
func (r *Response) Parse(head []byte, method []byte, lim *Limits) error {
	*r = Response{Fields: r.Fields[:0], ContentLength: -1}
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
	if err := r.parseLine(head[:end-1]); err != nil {
		return err
	}
	var sum summary
	var err error
	if r.Fields, err = parseFields(head[end+1:], r.Fields, lim.fields(), &sum); err != nil {
		return err
	}
	return r.conclude(method, &sum)
}

// parseLine parses the status line (RFC 9112 section 4).
func (r *Response) parseLine(line []byte) error {
	if bytes.IndexByte(line, '\r') >= 0 {
		return ErrBareCR
	}
	if len(line) < 9 || line[0] != 'H' || line[8] != ' ' {
		return ErrBadStatusLine
	}
	var err error
	if r.Minor, err = parseVersion(line[:8]); err != nil {
		return err
	}
	code := line[9:]
	if len(code) < 3 || !all(code[:3], charDigit) || code[0] == '0' || len(code) > 3 && is(code[3],
		charDigit) {
		return ErrBadStatus
	}
	r.Status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	if len(code) > 3 {
		if code[3] != ' ' || checkValue(code[4:]) != nil {
			return ErrBadStatusLine
		}
		r.Reason = code[4:len(code):len(code)]
	}
	return nil
}

// conclude judges framing and persistence in the order of RFC 9112 section 6.3.
func (r *Response) conclude(method []byte, sum *summary) error {
	if sum.upgrades {
		r.Upgrade = sum.upgrade
	}
	if isConnect(method) && r.Status >= 200 && r.Status < 300 {
		// RFC 9110 section 9.3.6: framing fields are ignored, a tunnel begins.
		r.Framing = NoBody
		return nil
	}
	framing, length, err := sum.bodyFraming(r.Minor)
	if err != nil {
		return err
	}
	r.ContentLength = length
	r.KeepAlive = sum.persists(r.Minor)
	switch {
	case bodyless(r.Status):
		r.Framing = NoBody
		// A declared body behind a status that cannot have one: we read none, but the sender may write it.
		if r.Status == 101 || framing == Chunked || length > 0 {
			r.KeepAlive = false
		}
	case r.Status == 304 || string(method) == "HEAD":
		r.Framing = NoBody
	case framing == NoBody:
		r.Framing = UntilClose
		r.KeepAlive = false
	default:
		r.Framing = framing
	}
	return nil
}

// bodyless: statuses that have neither a body nor framing fields (RFC 9110 sections 8.6 and 15.2).
func bodyless(status int) bool { return status < 200 || status == 204 }

// Get returns the value of the first field of that name in any case, or nil.
func (r *Response) Get(name string) []byte { return get(r.Fields, name) }

// Reset forgets the response, so that a Response kept beside an idle connection keeps no borrowed buffer
// alive. The memory of Fields is kept for the next Parse.
func (r *Response) Reset() {
	clear(r.Fields[:cap(r.Fields)])
	*r = Response{Fields: r.Fields[:0], ContentLength: -1}
}
