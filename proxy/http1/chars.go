package http1

import (
	"bytes"
	"encoding/binary"
)

// Classes of bytes; one table look-up answers for any of them.
const (
	charToken  = 1 << iota // tchar, RFC 9110 section 5.6.2
	charTarget             // VCHAR but '#' and '%', which need a closer look
	charHost               // letters, digits, '-', '.', '_'
	charValue              // field-vchar, SP, HTAB, obs-text: RFC 9110 section 5.5
	charHex                // HEXDIG, either case
	charDigit              // DIGIT
)

var charTable = makeCharTable()

// lowerTable maps A-Z to a-z and every other byte to itself.
var lowerTable = makeLowerTable()

func makeCharTable() (t [256]uint8) {
	for c := range 256 {
		b := byte(c)
		digit := b >= '0' && b <= '9'
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		if letter || digit || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), b) >= 0 {
			t[c] |= charToken
		}
		if b > ' ' && b < 0x7f && b != '#' && b != '%' {
			t[c] |= charTarget
		}
		if letter || digit || b == '-' || b == '.' || b == '_' {
			t[c] |= charHost
		}
		if b >= ' ' && b != 0x7f || b == '\t' {
			t[c] |= charValue
		}
		if digit || b|0x20 >= 'a' && b|0x20 <= 'f' {
			t[c] |= charHex
		}
		if digit {
			t[c] |= charDigit
		}
	}
	return t
}

func makeLowerTable() (t [256]uint8) {
	for c := range 256 {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] += 'a' - 'A'
		}
	}
	return t
}

// is reports whether c belongs to the class.
func is(c byte, class uint8) bool { return charTable[c]&class != 0 }

// all reports whether every byte belongs to the class.
func all[T ~string | ~[]byte](s T, class uint8) bool {
	for i := range len(s) {
		if charTable[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// foldIs reports whether name, in lower case, is lower. The lengths must be equal.
func foldIs(name []byte, lower string) bool {
	for i := range len(lower) {
		if lowerTable[name[i]] != lower[i] {
			return false
		}
	}
	return true
}

// equalFold compares two names without regard to ASCII case.
func equalFold[A, B ~string | ~[]byte](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerTable[a[i]] != lowerTable[b[i]] {
			return false
		}
	}
	return true
}

// checkValue returns nil when every byte may stand in a field value, a reason phrase or a chunk extension.
// Eight bytes are tested at a time for the only suspects, bytes below 0x20 and 0x7f; a suspect word is
// looked at bytewise.
func checkValue(v []byte) error {
	const ones = 0x0101010101010101
	const highs = 0x8080808080808080
	i := 0
	for ; i+8 <= len(v); i += 8 {
		x := binary.LittleEndian.Uint64(v[i:])
		low := (x - ones*0x20) & ^x
		del := x ^ ones*0x7f
		del = (del - ones) & ^del
		if (low|del)&highs != 0 {
			if err := checkValueBytes(v[i : i+8]); err != nil {
				return err
			}
		}
	}
	return checkValueBytes(v[i:])
}

func checkValueBytes(v []byte) error {
	for _, c := range v {
		if charTable[c]&charValue == 0 {
			if c == '\r' {
				return ErrBareCR
			}
			return ErrBadFieldValue
		}
	}
	return nil
}

// trimOWS removes spaces and tabs at both ends (RFC 9110 section 5.6.3).
func trimOWS(v []byte) []byte {
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	return v
}

// nextToken cuts the first element off a comma-separated list and trims it; an element may be empty.
func nextToken(list []byte) (token, rest []byte) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trimOWS(list[:i]), list[i+1:]
	}
	return trimOWS(list), nil
}

// hasToken reports whether the comma-separated list holds the token, which is given in lower case.
func hasToken(list []byte, lower string) bool {
	for len(list) > 0 {
		var t []byte
		t, list = nextToken(list)
		if len(t) == len(lower) && foldIs(t, lower) {
			return true
		}
	}
	return false
}

// ValidFieldName reports whether name is a token, as a field name must be (RFC 9110 section 5.1).
func ValidFieldName(name string) bool { return len(name) > 0 && all(name, charToken) }

// ValidFieldValue reports whether value may be written as a field value: no control byte but HTAB, and no
// white space at either end (RFC 9110 section 5.5).
func ValidFieldValue(value string) bool {
	if n := len(value); n > 0 && (value[0] <= ' ' || value[n-1] <= ' ') {
		return false
	}
	return all(value, charValue)
}

// ValidMethod reports whether method passes Request.Parse: a token of at most 32 bytes.
func ValidMethod(method string) bool {
	return len(method) > 0 && len(method) <= maxMethodBytes && all(method, charToken)
}

// ValidPath reports whether path passes Request.Parse as an origin-form target: it begins with '/', holds
// only visible ASCII without '#', and escapes its path part correctly. The target's length is not judged.
func ValidPath(path string) bool {
	return len(path) > 0 && path[0] == '/' && checkPath([]byte(path)) == nil
}

// ValidAuthority reports whether authority passes Request.Parse as a Host value: a name or an address, and
// optionally a port.
func ValidAuthority(authority string) bool { return validHost([]byte(authority), false) }
