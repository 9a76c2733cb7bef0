package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strconv"
)

// Header is what a header says.
type Header struct {
	// Local says that nobody's connection is passed on: the sender speaks for itself, as health checks do (LOCAL of version 2).
	Local bool
	// Source and Destination are the two ends of the client's connection to the sender. Both are invalid where nothing is
	// said of them (LOCAL, UNKNOWN of version 1, AF_UNSPEC and AF_UNIX of version 2): the ends of the connection itself hold then.
	Source, Destination netip.AddrPort
}

var (
	// ErrNoHeader is that of bytes which no header begins with.
	ErrNoHeader = errors.New("proxyproto: the connection does not begin with a header")
	// ErrTooLong is that of a header longer than 107 bytes (version 1) or MaxSize (version 2).
	ErrTooLong = errors.New("proxyproto: the header is too long")
	// ErrMalformed is that of a header that breaks the rules of its version.
	ErrMalformed = errors.New("proxyproto: the header is malformed")
	// ErrUnsupported is that of a header about something else than a connection: datagrams, or an unknown family.
	ErrUnsupported = errors.New("proxyproto: the header is not about a TCP connection")
	// ErrChecksum is that of a header whose CRC32c (PP2_TYPE_CRC32C) is not its own.
	ErrChecksum = errors.New("proxyproto: the header's checksum is wrong")
)

// MaxSize bounds a header of version 2, with all that it may hold beside the addresses, in bytes. Those that real proxies send,
// client certificates' names included, stay below one kibibyte; the format allows 64.
const MaxSize = 4 << 10

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
	maxSize1   = 107 // as the specification has computed it
	// leastSize is what no header is shorter than: "PROXY UNKNOWN\r\n". Those of version 2 have 16 bytes before their length is known.
	leastSize = 15
	fixed2    = 16
)

// Missing says how many bytes of the header are missing at least, b being its beginning; 0 when it is complete. It never says
// more than there are, so that nothing behind the header is taken. An error says that b begins no header, or none that is
// accepted; it comes as early as it can.
func Missing(b []byte) (int, error) {
	switch {
	case begins(b, signature1):
		if len(b) < leastSize {
			return leastSize - len(b), nil
		}
		return missing1(b)
	case begins(b, signature2):
		if len(b) < leastSize {
			return leastSize - len(b), nil
		}
		return missing2(b)
	}
	return 0, ErrNoHeader
}

// begins says whether b is the beginning of a signature, or begins with all of it.
func begins(b []byte, signature string) bool {
	n := min(len(b), len(signature))
	return string(b[:n]) == signature[:n]
}

// missing2 is Missing for version 2, of which 15 bytes are here. Its length has two, and the first one says something already.
func missing2(b []byte) (int, error) {
	size := fixed2 + int(b[14])<<8
	if len(b) >= fixed2 {
		size += int(b[15])
	}
	switch {
	case size > MaxSize:
		return 0, ErrTooLong
	case len(b) > size && len(b) >= fixed2:
		return 0, ErrMalformed
	}
	return max(size-len(b), 0), nil
}

// missing1 is Missing for version 1, of which 15 bytes are here: what the fields that are not here yet have at least.
func missing1(b []byte) (int, error) {
	if i := bytes.IndexByte(b, '\r'); i >= 0 {
		switch {
		case i == len(b)-1:
			return within1(b, 1)
		case i == len(b)-2 && b[i+1] == '\n':
			return within1(b, 0)
		}
		return 0, ErrMalformed
	}
	least := [4]int{7, 7, 1, 1} // 0.0.0.0 twice, and two ports
	switch string(b[len(signature1) : len(signature1)+5]) {
	case "TCP4 ":
	case "TCP6 ":
		least[0], least[1] = 2, 2 // ::
	case "UNKNO":
		return within1(b, 2)
	default:
		return 0, ErrMalformed
	}
	rest := b[len(signature1)+5:]
	field, have := 0, 0
	for _, c := range rest {
		if have++; c == ' ' {
			if field++; field == len(least) {
				return 0, ErrMalformed
			}
			have = 0
		}
	}
	want := 2 + max(least[field]-have, 0)
	for _, n := range least[field+1:] {
		want += 1 + n
	}
	return within1(b, want)
}

func within1(b []byte, missing int) (int, error) {
	if len(b)+missing > maxSize1 {
		return 0, ErrTooLong
	}
	return missing, nil
}

// Parse reads a header, which b is, and nothing else.
func Parse(b []byte) (Header, error) {
	n, err := Missing(b)
	switch {
	case err != nil:
		return Header{}, err
	case n > 0:
		return Header{}, ErrMalformed
	case b[0] == signature1[0]:
		return parse1(string(b[len(signature1) : len(b)-2]))
	}
	return parse2(b)
}

// parse1 reads what stands between the signature and the line's end.
func parse1(line string) (Header, error) {
	var fields [5]string
	n := 0
	for rest, more := line, true; more; n++ {
		if n == len(fields) {
			break
		}
		fields[n], rest, more = cut(rest)
	}
	if fields[0] == "UNKNOWN" { // whatever follows is to be ignored
		for i := range len(line) {
			if line[i] < ' ' || line[i] > '~' {
				return Header{}, ErrMalformed
			}
		}
		return Header{}, nil
	}
	if fields[0] != "TCP4" && fields[0] != "TCP6" {
		return Header{}, ErrMalformed
	}
	var h Header
	var good [4]bool
	var ips [2]netip.Addr
	for i := range ips {
		ip, err := netip.ParseAddr(fields[1+i])
		good[i] = err == nil && ip.Zone() == "" && ip.Is4() == (fields[0] == "TCP4")
		ips[i] = ip.Unmap()
	}
	var ports [2]uint16
	for i := range ports {
		ports[i], good[2+i] = port(fields[3+i])
	}
	if n != len(fields) || good != [4]bool{true, true, true, true} || len(line) != length(fields[:]) {
		return Header{}, ErrMalformed
	}
	h.Source, h.Destination = netip.AddrPortFrom(ips[0], ports[0]), netip.AddrPortFrom(ips[1], ports[1])
	return h, nil
}

// cut cuts a field off.
func cut(s string) (field, rest string, more bool) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// length is that of a line which has these fields and nothing behind them.
func length(fields []string) int {
	n := len(fields) - 1
	for _, f := range fields {
		n += len(f)
	}
	return n
}

// port reads a port as it is written by those who keep to the rules: without sign, and without zeros before it.
func port(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && strconv.FormatUint(n, 10) == s
}

// Commands, families and extensions of version 2.
const (
	version2     = 0x20
	commandLocal = version2
	commandProxy = version2 | 1

	familyNone = 0x00
	familyTCP4 = 0x11
	familyTCP6 = 0x21
	familyUnix = 0x31

	sizeTCP4, sizeTCP6, sizeUnix = 12, 36, 216

	typeChecksum = 0x03
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parse2 reads a header of version 2 that is complete.
func parse2(b []byte) (Header, error) {
	said := b[fixed2:]
	switch b[12] {
	case commandLocal: // what it says of addresses is to be ignored, but a family that does not exist is none
		if b[13] == familyNone || b[13]>>4 <= 3 && b[13]>>4 > 0 && (b[13]&15 == 1 || b[13]&15 == 2) {
			return Header{Local: true}, nil
		}
		return Header{}, ErrUnsupported
	case commandProxy:
	default:
		return Header{}, ErrMalformed
	}
	var h Header
	size := 0
	switch b[13] {
	case familyNone:
		return Header{}, nil
	case familyTCP4:
		size = sizeTCP4
		if len(said) >= size {
			h.Source = addrPort(said[:4], said[8:])
			h.Destination = addrPort(said[4:8], said[10:])
		}
	case familyTCP6:
		size = sizeTCP6
		if len(said) >= size {
			h.Source = addrPort(said[:16], said[32:])
			h.Destination = addrPort(said[16:32], said[34:])
		}
	case familyUnix:
		size = sizeUnix
	default:
		return Header{}, ErrUnsupported
	}
	if len(said) < size {
		return Header{}, ErrMalformed
	}
	if err := checkExtensions(b, fixed2+size); err != nil {
		return Header{}, err
	}
	return h, nil
}

func addrPort(ip, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip) // its length is right
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

// checkExtensions wants the type-length-value triples from an offset on to fill the header exactly, and a checksum, if there
// is one, to be right (section 2.2.3 of the specification). The rest of what they say is not used.
func checkExtensions(b []byte, from int) error {
	summed := false
	for at := from; at < len(b); {
		if len(b)-at < 3 {
			return ErrMalformed
		}
		n := int(binary.BigEndian.Uint16(b[at+1:]))
		value := at + 3
		if len(b)-value < n {
			return ErrMalformed
		}
		if b[at] == typeChecksum {
			if n != 4 || summed {
				return ErrMalformed
			}
			summed = true
			if sumWithout(b, value) != binary.BigEndian.Uint32(b[value:]) {
				return ErrChecksum
			}
		}
		at = value + n
	}
	return nil
}

// sumWithout is the CRC32c of a header as if the four bytes of its checksum were zero.
func sumWithout(b []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, b[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, b[at+4:])
}
