package proxy

import "bytes"

// The rule about paths: a backend gets the bytes that came, and nothing in them is repaired. Where the path decides the
// route, it must lead to the same place however a backend may read it; otherwise it is refused. The readings are the bytes
// as they are, and, once and twice over, what is left when escapes are decoded, runs of slashes and backslashes are one
// slash, and the parameters of segments (;x=y) are gone. Dot segments and escaped slashes, on which readers disagree most,
// are refused in any reading. See CVE-2025-66490 and CVE-2026-40912 for what follows without such a rule.

// ambiguous says whether a request for the path, which the table sends to the target, might be another one to a backend.
// The memory of scratch may be used.
func (t *table) ambiguous(authority, path []byte, to *target, scratch []byte) bool {
	if t.plain {
		return false
	}
	path = withoutQuery(path)
	if resolves(path) {
		return true
	}
	host := hostIn(authority)
	for range 2 {
		if !needsReading(path) {
			return false
		}
		path = appendReading(scratch[:0], path)
		scratch = path[len(path):]
		if resolves(path) || !t.lookUp(host, path).leadsWhere(to) {
			return true
		}
	}
	return false
}

// needsReading says whether a path has anything that a reader may take for something else.
func needsReading(path []byte) bool {
	for i, c := range path {
		if c == '%' || c == ';' || c == '\\' || c == '/' && i > 0 && path[i-1] == '/' {
			return true
		}
	}
	return false
}

// appendReading appends a path as an obliging backend reads it.
func appendReading(dst, path []byte) []byte {
	start := len(dst)
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
		} else if c == ';' {
			for i+1 < len(path) && path[i+1] != '/' && path[i+1] != '\\' {
				i++
			}
			continue
		}
		if c == '\\' {
			c = '/'
		}
		if c == '/' && len(dst) > start && dst[len(dst)-1] == '/' {
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// resolves says whether a path has dot segments or escaped slashes.
func resolves(path []byte) bool {
	for len(path) > 0 {
		seg := path
		if i := bytes.IndexAny(path, `/\`); i >= 0 {
			seg, path = path[:i], path[i+1:]
		} else {
			path = nil
		}
		if hidesSlash(seg) {
			return true
		}
		// Some backends cut parameters off a segment before they resolve it: "..;x" is ".." to them.
		if i := bytes.IndexByte(seg, ';'); i >= 0 {
			seg = seg[:i]
		}
		if isDots(seg) {
			return true
		}
	}
	return false
}

// hidesSlash says whether a segment has a slash or backslash that is escaped, once or more often.
func hidesSlash(seg []byte) bool {
	for i := 0; i+2 < len(seg); i++ {
		if seg[i] != '%' {
			continue
		}
		code := seg[i+1:]
		for len(code) >= 4 && code[0] == '2' && code[1] == '5' {
			code = code[2:]
		}
		if code[0] == '2' && code[1]|0x20 == 'f' || code[0] == '5' && code[1]|0x20 == 'c' {
			return true
		}
	}
	return false
}

// isDots says whether a segment is "." or "..", dots written plainly or escaped.
func isDots(seg []byte) bool {
	n := 0
	for len(seg) > 0 {
		switch {
		case seg[0] == '.':
			seg = seg[1:]
		case len(seg) >= 3 && seg[0] == '%' && seg[1] == '2' && (seg[2] == 'e' || seg[2] == 'E'):
			seg = seg[3:]
		default:
			return false
		}
		n++
	}
	return n == 1 || n == 2
}
