package accesslog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// encoder appends one line.
type encoder struct {
	b    []byte
	text bool // name=value instead of JSON
	more bool // a field has been written
}

// line writes the fields of the entry that are wanted and known, and the line's end.
func (w *encoder) line(e *Entry, fields []Field) {
	if !w.text {
		w.b = append(w.b, '{')
	}
	for _, f := range fields {
		switch {
		case f <= Query:
			w.request(e, f)
		case f <= ConnUses:
			w.result(e, f)
		case f <= Total:
			w.times(e, f)
		default:
			w.rest(e, f)
		}
	}
	if !w.text {
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, '\n')
}

// request writes what was asked, and by whom.
func (w *encoder) request(e *Entry, f Field) {
	switch f {
	case Time:
		w.name(f)
		quote := !w.text
		if quote {
			w.b = append(w.b, '"')
		}
		w.b = e.Time.UTC().AppendFormat(w.b, "2006-01-02T15:04:05.000000000Z07:00")
		if quote {
			w.b = append(w.b, '"')
		}
	case Listener:
		word(w, f, e.Listener, maxName)
	case Protocol:
		word(w, f, e.Protocol, maxName)
	case Client:
		word(w, f, e.Client, maxName)
	case ForwardedFor:
		word(w, f, e.ForwardedFor, maxName)
	case ClientRequest:
		w.number(f, int64(e.ClientRequest))
	case Method:
		word(w, f, e.Method, maxMethod)
	case Host:
		word(w, f, e.Host, maxHost)
	case Path:
		word(w, f, e.Path, maxPath)
	case Query:
		word(w, f, e.Query, maxPath)
	}
}

// result writes what became of it, and where.
func (w *encoder) result(e *Entry, f Field) {
	switch f {
	case TargetBytes:
		w.number(f, int64(e.TargetBytes))
	case Status:
		if e.Status != 0 {
			w.number(f, int64(e.Status))
		}
	case Outcome:
		word(w, f, e.Outcome, maxName)
	case Detail:
		word(w, f, e.Detail, maxName)
	case Upstream:
		word(w, f, e.Upstream, maxName)
	case Backend:
		word(w, f, e.Backend, maxName)
	case Reused:
		if e.HasConn {
			w.name(f)
			w.b = strconv.AppendBool(w.b, e.Reused)
		}
	case ConnAge:
		if e.HasConn {
			w.seconds(f, e.ConnAge)
		}
	case ConnUses:
		if e.HasConn {
			w.number(f, int64(e.ConnUses))
		}
	}
}

// times writes where the time went.
func (w *encoder) times(e *Entry, f Field) {
	switch f {
	case QueueWait:
		w.seconds(f, e.QueueWait)
	case Connect:
		w.seconds(f, e.Connect)
	case FirstByte:
		if e.FirstByte > 0 {
			w.seconds(f, e.FirstByte)
		}
	case Total:
		w.seconds(f, e.Total)
	}
}

// rest writes sizes and attempts.
func (w *encoder) rest(e *Entry, f Field) {
	switch f {
	case HeadIn:
		w.number(f, e.HeadIn)
	case BodyIn:
		w.number(f, e.BodyIn)
	case HeadOut:
		w.number(f, e.HeadOut)
	case BodyOut:
		w.number(f, e.BodyOut)
	case Retries:
		w.number(f, int64(max(0, len(e.Attempts)-1)))
	case Attempts:
		w.attempts(e.Attempts[:min(len(e.Attempts), maxAttempts)])
	case UserAgent:
		word(w, f, e.UserAgent, maxName)
	case RequestID:
		word(w, f, e.RequestID, maxIdentity)
	}
}

// attempts writes a list of objects, or in text backend/outcome/seconds with commas between.
func (w *encoder) attempts(all []Attempt) {
	if len(all) == 0 {
		return
	}
	w.name(Attempts)
	if w.text {
		w.b = append(w.b, '"')
		for i := range all {
			if i > 0 {
				w.b = append(w.b, ',')
			}
			w.b = appendEscaped(w.b, all[i].Backend, maxName)
			w.b = append(w.b, '/')
			w.b = appendEscaped(w.b, all[i].Outcome, maxName)
			w.b = append(w.b, '/')
			w.b = appendSeconds(w.b, all[i].Duration)
		}
		w.b = append(w.b, '"')
		return
	}
	for i := range all {
		if i == 0 {
			w.b = append(w.b, '[')
		} else {
			w.b = append(w.b, ',')
		}
		w.b = append(w.b, `{"backend":`...)
		w.b = appendQuoted(w.b, all[i].Backend, maxName)
		w.b = append(w.b, `,"outcome":`...)
		w.b = appendQuoted(w.b, all[i].Outcome, maxName)
		w.b = append(w.b, `,"duration":`...)
		w.b = appendSeconds(w.b, all[i].Duration)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// name writes what stands before a value. Names need no escapes.
func (w *encoder) name(f Field) {
	switch {
	case w.text && w.more:
		w.b = append(w.b, ' ')
	case w.more:
		w.b = append(w.b, ',')
	}
	w.more = true
	if w.text {
		w.b = append(w.b, f.String()...)
		w.b = append(w.b, '=')
		return
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, f.String()...)
	w.b = append(w.b, `":`...)
}

func (w *encoder) number(f Field, n int64) {
	w.name(f)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *encoder) seconds(f Field, d time.Duration) {
	w.name(f)
	w.b = appendSeconds(w.b, d)
}

// word writes a string, unless it is empty. In text it stands without quotes where it cannot be misread so.
func word[T ~string | ~[]byte](w *encoder, f Field, s T, most int) {
	if len(s) == 0 {
		return
	}
	w.name(f)
	if w.text && len(s) <= most && bare(s) {
		w.b = append(w.b, s...)
		return
	}
	w.b = appendQuoted(w.b, s, most)
}

// bare says whether a string is visible ASCII without anything that has a meaning in a line of text.
func bare[T ~string | ~[]byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=' || c == '\'' {
			return false
		}
	}
	return true
}

// appendSeconds writes a duration in seconds with six decimals. What is below zero, which a clock that was set back could
// give, is written as zero.
func appendSeconds(b []byte, d time.Duration) []byte {
	us := max(0, int64(d)/1000)
	b = strconv.AppendInt(b, us/1_000_000, 10)
	b = append(b, '.')
	frac := us % 1_000_000
	for unit := int64(100_000); unit > 0; unit /= 10 {
		b = append(b, byte('0'+frac/unit%10))
	}
	return b
}

func appendQuoted[T ~string | ~[]byte](b []byte, s T, most int) []byte {
	b = append(b, '"')
	b = appendEscaped(b, s, most)
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends the first bytes of a string as they may stand between the quotes of JSON (RFC 8259 section 7).
// Beyond what JSON demands it escapes 0x7f to 0x9f and the line ends of Unicode, for terminals and for readers of lines. Bytes that
// are no UTF-8 become U+FFFD.
func appendEscaped[T ~string | ~[]byte](b []byte, s T, most int) []byte {
	if len(s) > most {
		s = s[:most]
	}
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, size := decodeRune(s, i)
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r < 0xa0 || r == '\u2028' || r == '\u2029':
			b = append(b, `\u`...)
			b = append(b, hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}

// decodeRune is utf8.DecodeRune at an offset, for strings and bytes alike, without a conversion that would allocate.
func decodeRune[T ~string | ~[]byte](s T, at int) (rune, int) {
	var few [utf8.UTFMax]byte
	n := copy(few[:], s[at:])
	return utf8.DecodeRune(few[:n])
}
