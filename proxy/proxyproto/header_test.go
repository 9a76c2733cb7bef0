package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func told(from, to string) Header { return Header{Source: at(from), Destination: at(to)} }

// tlv is one extension of version 2.
func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// v2 is a header of version 2.
func v2(command, family byte, said string) string {
	return string(binary.BigEndian.AppendUint16([]byte(signature2+string([]byte{command, family})), uint16(len(said)))) + said
}

const (
	four = "\xc0\x00\x02\x01\x0a\x00\x00\x01\xcf\xdb\x01\xbb" // 192.0.2.1:53211 to 10.0.0.1:443
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x01\xff\xff"
)

// summed is a header with the checksum that it should have, or with that and one bit more.
func summed(flip byte) string {
	b := []byte(v2(0x21, 0x11, four+tlv(3, "\x00\x00\x00\x00")+tlv(2, "a.test")))
	at := fixed2 + sizeTCP4 + 3
	binary.BigEndian.PutUint32(b[at:], sumWithout(b, at))
	b[at] ^= flip
	return string(b)
}

var good = map[string]struct {
	wire string
	want Header
}{
	"TCP4":                     {"PROXY TCP4 192.0.2.1 10.0.0.1 53211 443\r\n", told("192.0.2.1:53211", "10.0.0.1:443")},
	"the shortest of TCP4":     {"PROXY TCP4 0.0.0.0 1.1.1.1 0 1\r\n", told("0.0.0.0:0", "1.1.1.1:1")},
	"the longest of TCP4":      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", told("255.255.255.255:65535", "255.255.255.255:65535")},
	"the shortest of TCP6":     {"PROXY TCP6 :: :: 0 0\r\n", told("[::]:0", "[::]:0")},
	"the longest of TCP6":      {"PROXY TCP6 ffff:f:ffff:ffff:ffff:ffff:ffff:fff1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2 65535 65534\r\n", told("[ffff:f:ffff:ffff:ffff:ffff:ffff:fff1]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff2]:65534")},
	"IPv4 in IPv6":             {"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 1 2\r\n", told("192.0.2.1:1", "10.0.0.1:2")},
	"UNKNOWN":                  {"PROXY UNKNOWN\r\n", Header{}},
	"UNKNOWN and what it says": {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", Header{}},

	"LOCAL":                         {v2(0x20, 0, ""), Header{Local: true}},
	"LOCAL that says something":     {v2(0x20, 0x11, four+"??"), Header{Local: true}},
	"TCP over IPv4":                 {v2(0x21, 0x11, four), told("192.0.2.1:53211", "10.0.0.1:443")},
	"TCP over IPv6":                 {v2(0x21, 0x21, six), told("[2001:db8::1]:1", "[2001:db8::2]:65535")},
	"no family":                     {v2(0x21, 0, ""), Header{}},
	"a local socket":                {v2(0x21, 0x31, strings.Repeat("\x00", 216)), Header{}},
	"extensions":                    {v2(0x21, 0x11, four+tlv(1, "h2")+tlv(2, "a.test")+tlv(0x20, "\x01\x00\x00\x00\x00"+tlv(0x21, "TLSv1.3"))+tlv(4, "")), told("192.0.2.1:53211", "10.0.0.1:443")},
	"a checksum":                    {summed(0), told("192.0.2.1:53211", "10.0.0.1:443")},
	"as many extensions as may be":  {v2(0x21, 0x11, four+tlv(4, strings.Repeat("x", MaxSize-fixed2-sizeTCP4-3))), told("192.0.2.1:53211", "10.0.0.1:443")},
	"IPv4 in IPv6, as version 2 is": {v2(0x21, 0x21, strings.Repeat("\x00", 10)+"\xff\xff\xc0\x00\x02\x01"+strings.Repeat("\x00", 10)+"\xff\xff\x0a\x00\x00\x01\x00\x01\x00\x02"), told("192.0.2.1:1", "10.0.0.1:2")},
}

var bad = map[string]struct {
	wire string
	want error
}{
	"a request":                       {get, ErrNoHeader},
	"TLS":                             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ErrNoHeader},
	"small letters":                   {"proxy TCP4 192.0.2.1 10.0.0.1 53211 443\r\n", ErrNoHeader},
	"a space before":                  {" PROXY TCP4 192.0.2.1 10.0.0.1 53211 443\r\n", ErrNoHeader},
	"an empty line before":            {"\r\nPROXY TCP4 192.0.2.1 10.0.0.1 53211 443\r\n", ErrNoHeader},
	"a tab":                           {"PROXY\tTCP4 192.0.2.1 10.0.0.1 53211 443\r\n", ErrNoHeader},
	"another family":                  {"PROXY UDP4 192.0.2.1 10.0.0.1 53211 443\r\n", ErrMalformed},
	"almost UNKNOWN":                  {"PROXY UNKNOWNS\r\n", ErrMalformed},
	"almost UNKNOWN, with addresses":  {"PROXY UNKNOWL ::1 ::2 1 2\r\n", ErrMalformed},
	"UNKNOWN with control bytes":      {"PROXY UNKNOWN \x00\r\n", ErrMalformed},
	"no end":                          {"PROXY TCP4 " + strings.Repeat("1", 200), ErrTooLong},
	"UNKNOWN without end":             {"PROXY UNKNOWN " + strings.Repeat("1", 200), ErrTooLong},
	"one byte too long":               {"PROXY UNKNOWN " + strings.Repeat("1", 92) + "\r\n", ErrTooLong},
	"a bare line feed":                {"PROXY TCP4 192.0.2.1 10.0.0.1 53211 443\n\n\n", ErrMalformed},
	"a bare carriage return":          {"PROXY TCP4 192.0.2.1 10.0.0.1 53211 443\r\r\n", ErrMalformed},
	"two spaces":                      {"PROXY TCP4 192.0.2.1  10.0.0.1 53211 443\r\n", ErrMalformed},
	"a space at the end":              {"PROXY TCP4 192.0.2.1 10.0.0.1 53211 443 \r\n", ErrMalformed},
	"a field too many":                {"PROXY TCP4 192.0.2.1 10.0.0.1 53211 443 1\r\n", ErrMalformed},
	"a field too few":                 {"PROXY TCP4 192.0.2.1 10.0.0.1 53211\r\n", ErrMalformed},
	"IPv6 in TCP4":                    {"PROXY TCP4 ::1 ::1 53211 443\r\n", ErrMalformed},
	"IPv4 in TCP6":                    {"PROXY TCP6 192.0.2.1 10.0.0.1 53211 443\r\n", ErrMalformed},
	"a zone":                          {"PROXY TCP6 fe80::1%eth0 ::1 53211 443\r\n", ErrMalformed},
	"a zero before":                   {"PROXY TCP4 192.0.02.1 10.0.0.1 53211 443\r\n", ErrMalformed},
	"a name":                          {"PROXY TCP4 localhost 10.0.0.1 53211 443\r\n", ErrMalformed},
	"a port beyond":                   {"PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n", ErrMalformed},
	"a signed port":                   {"PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n", ErrMalformed},
	"a zero before a port":            {"PROXY TCP4 192.0.2.1 10.0.0.1 01 443\r\n", ErrMalformed},
	"another version":                 {v2(0x11, 0x11, four), ErrMalformed},
	"another command":                 {v2(0x22, 0x11, four), ErrMalformed},
	"LOCAL of an unknown family":      {v2(0x20, 0x13, four), ErrUnsupported},
	"datagrams":                       {v2(0x21, 0x12, four), ErrUnsupported},
	"an unknown family":               {v2(0x21, 0x41, four), ErrUnsupported},
	"addresses cut short":             {v2(0x21, 0x11, four[:11]), ErrMalformed},
	"IPv6 cut short":                  {v2(0x21, 0x21, six[:35]), ErrMalformed},
	"a local socket cut short":        {v2(0x21, 0x31, strings.Repeat("\x00", 215)), ErrMalformed},
	"an extension cut short":          {v2(0x21, 0x11, four+tlv(4, "xyz")[:5]), ErrMalformed},
	"an extension without its length": {v2(0x21, 0x11, four+"\x04\x00"), ErrMalformed},
	"a wrong checksum":                {summed(1), ErrChecksum},
	"a checksum of zero":              {v2(0x21, 0x11, four+tlv(3, "\x00\x00\x00\x00")), ErrChecksum},
	"a checksum of three bytes":       {v2(0x21, 0x11, four+tlv(3, "\x00\x00\x00")), ErrMalformed},
	"one byte more than may be":       {v2(0x21, 0x11, four+tlv(4, strings.Repeat("x", MaxSize-fixed2-sizeTCP4-2))), ErrTooLong},
	"the longest of all":              {v2(0x21, 0x11, strings.Repeat("x", 65535)), ErrTooLong},
}

const get = "GET / HTTP/1.1\r\n\r\n"

// receive reads a header from a stream as a reader does that gets at most so many bytes at a time.
func receive(stream string, atOnce int) (header []byte, reads int, err error) {
	for {
		n, err := Missing(header)
		if err != nil || n == 0 {
			return header, reads, err
		}
		if reads++; len(stream) == 0 {
			return header, reads, ErrMalformed
		}
		n = min(n, atOnce, len(stream))
		header, stream = append(header, stream[:n]...), stream[n:]
	}
}

func TestAHeaderIsReadExactlyHoweverItIsCut(t *testing.T) {
	for name, c := range good {
		for atOnce := 1; atOnce <= len(c.wire)+1; atOnce += 1 + atOnce/20 {
			got, _, err := receive(c.wire+get, atOnce)
			require.NoError(t, err, name)
			require.Equal(t, c.wire, string(got), name)
		}
		h, err := Parse([]byte(c.wire))
		require.NoError(t, err, name)
		require.Equal(t, c.want, h, name)
	}
}

func TestWhatIsNoHeaderIsRefusedAndNoneIsGuessed(t *testing.T) {
	for name, c := range bad {
		for _, atOnce := range []int{1, 7, 100, 1 << 20} {
			got, _, err := receive(c.wire, atOnce)
			if err == nil {
				_, err = Parse(got)
			}
			require.ErrorIs(t, err, c.want, name)
			require.LessOrEqual(t, len(got), MaxSize, name)
		}
	}
}

func TestAHeaderTakesFewReads(t *testing.T) {
	for name, most := range map[string]int{"TCP over IPv4": 3, "TCP4": 9, "the longest of TCP6": 16, "UNKNOWN": 1} {
		_, reads, err := receive(good[name].wire+get, 1<<20)
		require.NoError(t, err)
		require.LessOrEqual(t, reads, most, name)
	}
}

func TestAHeaderIsReadAsItWasWritten(t *testing.T) {
	for _, version := range []int{V1, V2} {
		for _, h := range []Header{
			told("192.0.2.1:53211", "10.0.0.1:443"), told("[2001:db8::1]:1", "[2001:db8::2]:65535"), told("0.0.0.0:0", "255.255.255.255:65535"),
		} {
			wire := Append([]byte("before"), version, h)
			got, err := Parse(wire[len("before"):])
			require.NoError(t, err)
			require.Equal(t, h, got)
		}
	}
	mixed := told("192.0.2.1:1", "[2001:db8::2]:2")
	require.Equal(t, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", string(Append(nil, V1, mixed)))
	for _, version := range []int{V1, V2} {
		got, err := Parse(Append(nil, version, mixed))
		require.NoError(t, err)
		require.Equal(t, mixed, got)
	}
	local := Header{Local: true}
	for _, nobody := range []Header{local, {}, {Source: at("192.0.2.1:1")}} {
		require.Equal(t, "PROXY UNKNOWN\r\n", string(Append(nil, V1, nobody)))
		got, err := Parse(Append(nil, V2, nobody))
		require.NoError(t, err)
		require.Equal(t, local, got)
	}
}
