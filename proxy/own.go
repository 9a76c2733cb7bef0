package proxy

import (
	"strconv"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
)

// ownAnswer is an answer of the proxy's own, in c.out's memory, and its content, which is empty for HEAD.
func (c *httpConn) ownAnswer(status int, detail string, last bool) (text string, out []byte) {
	text = http1.StatusText(status) + ": " + detail + "\n"
	kind := "text/plain; charset=utf-8"
	fields := c.ownFields()
	switch status {
	case 503:
		u := config.DefaultUpstream("").Unavailable
		if c.to != nil {
			u = c.to.settings.Unavailable
		}
		if u.Body != "" {
			text, kind = u.Body, u.ContentType
		}
		if u.RetryAfter > 0 {
			wait := (u.RetryAfter + time.Second - 1) / time.Second
			fields = append(fields, http1.Field{Name: []byte("Retry-After"), Value: strconv.AppendInt(nil, int64(wait), 10)})
		}
	case 405:
		fields = append(fields, http1.Field{Name: []byte("Allow"), Value: []byte(allowed)})
	}
	fields = append(fields, http1.Field{Name: []byte("Content-Type"), Value: []byte(kind)})
	out = http1.AppendServerResponse(c.out[:0], &http1.ServerResponse{Status: status, Close: last, Extra: fields,
		Framing: http1.ContentLength, ContentLength: int64(len(text))})
	if string(c.req.Method) == "HEAD" {
		return "", out
	}
	return text, append(out, text...)
}

// ownFields are those that every answer of the proxy's own has.
func (c *httpConn) ownFields() []http1.Field {
	return []http1.Field{{Name: []byte("Date"), Value: []byte(c.s.date(c.recent))}}
}

// date is the value of a Date field (RFC 9110 section 6.6.1) at an instant that has just been. It is made once a second, by the
// clock's own time and not by what has passed since the start: that one can be set.
func (s *Server) date(now time.Time) string {
	second := now.Unix()
	if d := s.dated.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &dated{second, s.clk.Now().UTC().Format(imfFixdate)}
	s.dated.Store(d)
	return d.text
}

type dated struct {
	second int64
	text   string
}

// imfFixdate is how HTTP writes an instant (RFC 9110 section 5.6.7).
const imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
