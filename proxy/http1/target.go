package http1

import "bytes"

// parseTarget fills Path, Authority and IsConnect from Target (RFC 9112 section 3.2). Authority stays empty
// for the forms that have none.
func (r *Request) parseTarget() error {
	t := r.Target
	if isConnect(r.Method) {
		if !validHost(t, true) {
			return ErrBadAuthority
		}
		r.IsConnect = true
		r.Authority = t
		return nil
	}
	if t[0] == '/' {
		r.Path = t
		return checkPath(t)
	}
	if len(t) == 1 && t[0] == '*' {
		if string(r.Method) != "OPTIONS" {
			return ErrBadTarget
		}
		r.Path = t
		return nil
	}
	return r.parseAbsolute(t)
}

func isConnect(method []byte) bool { return string(method) == "CONNECT" }

// parseAbsolute reads the absolute form of an http or https URI (RFC 9112 section 3.2.2).
func (r *Request) parseAbsolute(t []byte) error {
	var rest []byte
	switch {
	case len(t) >= 7 && foldIs(t[:7], "http://"):
		rest = t[7:]
	case len(t) >= 8 && foldIs(t[:8], "https://"):
		rest = t[8:]
	default:
		if err := checkPath(t); err != nil {
			return err
		}
		return ErrBadTarget
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if !validHost(authority, false) {
		return ErrBadAuthority
	}
	r.Authority = authority
	switch {
	case len(path) == 0 && string(r.Method) == "OPTIONS":
		// RFC 9112 section 3.2.4: a URI without path and query asks about the server as a whole.
		r.Path = append(r.scratch[:0], '*')
		r.scratch = r.Path
		return nil
	case len(path) == 0:
		r.Path = append(r.scratch[:0], '/')
		r.scratch = r.Path
		return nil
	case path[0] == '?':
		// The empty path is "/" (RFC 9110 section 4.2.3). There is no slash to alias, so the path moves to
		// memory of the Request, which later requests reuse.
		r.Path = append(append(r.scratch[:0], '/'), path...)
		r.scratch = r.Path
	default:
		r.Path = path
	}
	return checkPath(path)
}

// checkPath judges the bytes of a path with its query. Escapes are judged in the path only: queries with
// stray '%' are common and no two readers disagree about where they end.
func checkPath(p []byte) error {
	query := false
	for i := 0; i < len(p); i++ {
		c := p[i]
		if charTable[c]&charTarget != 0 {
			if c == '?' {
				query = true
			}
			continue
		}
		switch {
		case c == '#':
			return ErrFragmentInTarget
		case c != '%':
			return ErrBadTarget
		case query:
		case i+2 >= len(p) || !is(p[i+1], charHex) || !is(p[i+2], charHex):
			return ErrBadEscape
		}
	}
	return nil
}

// validHost accepts a name, an IPv4 address or a bracketed IPv6 address, with a port of 1 to 65535 that is
// optional unless needPort. See the package comment for what is stricter than RFC 3986.
func validHost(h []byte, needPort bool) bool {
	if len(h) > 0 && h[0] == '[' {
		end := bytes.IndexByte(h, ']')
		if end < 0 || !validIPv6(h[1:end]) {
			return false
		}
		return validPort(h[end+1:], needPort)
	}
	i := 0
	for i < len(h) && is(h[i], charHost) {
		i++
	}
	return i > 0 && validPort(h[i:], needPort)
}

// validPort judges what follows the host: nothing, or a colon and a port.
func validPort(p []byte, need bool) bool {
	if len(p) == 0 {
		return !need
	}
	if p[0] != ':' || len(p) < 2 || len(p) > 6 {
		return false
	}
	n := 0
	for _, c := range p[1:] {
		if !is(c, charDigit) {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n >= 1 && n <= 65535
}

// validIPv6 accepts the text of an IPv6 address without zone (RFC 3986 section 3.2.2).
func validIPv6(a []byte) bool {
	groups, compressed := 0, false
	for i := 0; i < len(a); {
		if a[i] == ':' {
			// Only "::" may begin here: single colons are consumed behind their group.
			if compressed || i+1 >= len(a) || a[i+1] != ':' {
				return false
			}
			compressed = true
			i += 2
			continue
		}
		j := i
		for j < len(a) && is(a[j], charHex) {
			j++
		}
		if j < len(a) && a[j] == '.' {
			return validIPv4(a[i:]) && validGroups(groups+2, compressed)
		}
		if j == i || j-i > 4 {
			return false
		}
		groups++
		i = j
		if i < len(a) {
			if a[i] != ':' || i+1 >= len(a) {
				return false
			}
			if a[i+1] != ':' {
				i++
			}
		}
	}
	return validGroups(groups, compressed)
}

// validGroups: eight groups, or fewer beside a "::" that stands for at least one.
func validGroups(n int, compressed bool) bool { return n == 8 && !compressed || compressed && n < 8 }

// validIPv4 accepts four decimal numbers of 0 to 255 without leading zeros.
func validIPv4(a []byte) bool {
	for part := 1; ; part++ {
		n, digits := 0, 0
		for len(a) > 0 && is(a[0], charDigit) {
			if digits > 0 && n == 0 {
				return false
			}
			n = n*10 + int(a[0]-'0')
			digits++
			a = a[1:]
			if n > 255 {
				return false
			}
		}
		if digits == 0 || part == 4 {
			return digits > 0 && len(a) == 0
		}
		if len(a) == 0 || a[0] != '.' {
			return false
		}
		a = a[1:]
	}
}
