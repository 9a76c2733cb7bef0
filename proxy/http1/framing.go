package http1

import "bytes"

// parseLength reads the digits of a Content-Length (RFC 9110 section 8.6): nothing but digits, within an
// int64.
func parseLength(v []byte) (int64, error) {
	if len(v) == 0 {
		return 0, ErrBadContentLength
	}
	const most = 1<<63 - 1
	var n int64
	for _, c := range v {
		if charTable[c]&charDigit == 0 {
			return 0, ErrBadContentLength
		}
		d := int64(c - '0')
		if n > (most-d)/10 {
			return 0, ErrBadContentLength
		}
		n = n*10 + d
	}
	return n, nil
}

// checkCoding accepts a Transfer-Encoding of exactly "chunked". A well-formed list with an unknown coding
// that could be served in principle is refused with 501, everything else with 400.
func checkCoding(v []byte) error {
	if len(v) == 7 && foldIs(v, "chunked") {
		return nil
	}
	last, unknown, chunked := false, false, 0
	for rest, more := v, true; more; {
		var t []byte
		more = bytes.IndexByte(rest, ',') >= 0
		t, rest = nextToken(rest)
		if len(t) == 0 || !all(t, charToken) {
			return ErrBadTransferEncoding
		}
		last = len(t) == 7 && foldIs(t, "chunked")
		if last {
			chunked++
		} else {
			unknown = true
		}
	}
	if !unknown || chunked > 1 || chunked == 1 && !last {
		return ErrBadTransferEncoding
	}
	return ErrUnknownTransferCoding
}

// bodyFraming judges the two framing fields of a message and returns the framing that they declare: Chunked,
// ContentLength, or NoBody when there is neither (RFC 9112 section 6.3). The length is -1 unless declared.
func (s *summary) bodyFraming(minor int) (Framing, int64, error) {
	if s.codings > 0 {
		switch {
		case s.lengths > 0:
			return NoBody, -1, ErrLengthAndChunked
		case minor == 0:
			return NoBody, -1, ErrTransferEncodingOn10
		case s.codings > 1:
			return NoBody, -1, ErrBadTransferEncoding
		}
		if err := checkCoding(s.coding); err != nil {
			return NoBody, -1, err
		}
		return Chunked, -1, nil
	}
	switch s.lengths {
	case 0:
		return NoBody, -1, nil
	case 1:
		n, err := parseLength(s.length)
		if err != nil {
			return NoBody, -1, err
		}
		return ContentLength, n, nil
	}
	return NoBody, -1, ErrDuplicateContentLength
}

// persists says whether the connection may carry another message (RFC 9112 section 9.3), framing aside.
func (s *summary) persists(minor int) bool {
	return !s.closes && (minor >= 1 || s.keepAlive)
}

// parseVersion reads HTTP-version (RFC 9112 section 2.3) and returns the minor version, 0 or 1.
func parseVersion(v []byte) (int, error) {
	if len(v) != 8 || string(v[:5]) != "HTTP/" || v[6] != '.' || !is(v[5], charDigit) || !is(v[7],
		charDigit) {
		return 0, ErrBadVersion
	}
	if v[5] != '1' || v[7] > '1' {
		return 0, ErrUnsupportedVersion
	}
	return int(v[7] - '0'), nil
}
