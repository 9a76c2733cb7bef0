package http1

// ForwardResponse says what AppendResponseHead changes in a response for the client.
type ForwardResponse struct {
	// Framing and ContentLength say how the body leaves. For an HTTP/1.0 client a chunked body leaves as
	// UntilClose. With NoBody the length that the backend declared is kept, as the answers to HEAD and 304
	// need it. AppendResponseHead panics on NoBody for a response that has a body.
	Framing       Framing
	ContentLength int64
	// Close adds "Connection: close"; UntilClose implies it.
	Close bool
	// KeepAliveTo10 adds "Connection: keep-alive", without which an HTTP/1.0 client expects the connection
	// to be closed. It has no effect with Close or UntilClose.
	KeepAliveTo10 bool
	// Via is our pseudonym for the Via field. Empty adds none.
	Via string
	// Date is added as the Date field if the response has none (RFC 9110 section 6.6.1). Empty adds none.
	Date string
	// SetCookie is the value of a Set-Cookie field of our own (RFC 6265 section 4.1). Empty adds none.
	SetCookie string
	// Upgrade, if not nil, is the protocol of a 101 response, for its Upgrade and Connection fields.
	Upgrade []byte
}

// AppendResponseHead appends the head of resp as it goes to the client, and returns the extended slice. It
// allocates only if dst has too little room. The version is HTTP/1.1 whatever came (RFC 9112 section 2.3).
// Fields keep their order and spelling; hop-by-hop fields, those that Connection names, and Trailer unless
// chunked are dropped, and framing is written anew. A 1xx or 204 response never gets a framing field, and a
// 1xx one but 101 no Connection field.
func AppendResponseHead(dst []byte, resp *Response, f *ForwardResponse) []byte {
	if f.Framing == NoBody && resp.Framing != NoBody && (resp.Framing != ContentLength ||
		resp.ContentLength > 0) {
		panic("http1: AppendResponseHead with a framing that loses the body")
	}
	dst = appendStatusLine(dst, resp.Status, resp.Reason)
	options := hasOptions(resp.Fields)
	dated := false
	for i := range resp.Fields {
		fl := &resp.Fields[i]
		switch classOf(fl.Name) {
		case classOther:
			if options && named(resp.Fields, fl.Name) {
				continue
			}
		case classDate:
			dated = true
		case classTrailer:
			if f.Framing != Chunked {
				continue
			}
		case classHost, classContentLength, classTransferEncoding, classConnection, classUpgrade, classHop:
			continue
		}
		dst = appendField(dst, fl.Name, fl.Value)
	}
	if !dated && f.Date != "" && resp.Status >= 200 {
		dst = appendField(dst, "Date", f.Date)
	}
	if f.SetCookie != "" {
		dst = appendField(dst, "Set-Cookie", f.SetCookie)
	}
	dst = appendVia(dst, resp.Minor, f.Via)
	closes := f.Close
	switch {
	case bodyless(resp.Status):
	case f.Framing == UntilClose:
		closes = true
	case f.Framing != NoBody:
		dst = appendFraming(dst, f.Framing, f.ContentLength)
	case resp.ContentLength >= 0:
		dst = appendFraming(dst, ContentLength, resp.ContentLength)
	}
	switch {
	case resp.Status == 101:
		dst = appendConnection(dst, f.Upgrade, false, false)
	case resp.Status >= 200:
		dst = appendConnection(dst, nil, closes, f.KeepAliveTo10)
	}
	return append(dst, "\r\n"...)
}

// appendStatusLine writes the status line. The phrase was judged when it was parsed.
func appendStatusLine[P ~string | ~[]byte](dst []byte, status int, phrase P) []byte {
	if status < 100 || status > 999 {
		panic("http1: a status outside 100 to 999 to be written")
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+status/100), byte('0'+status/10%10), byte('0'+status%10), ' ')
	dst = append(dst, phrase...)
	return append(dst, "\r\n"...)
}
