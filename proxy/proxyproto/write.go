package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// The versions of the protocol.
const (
	V1 = 1 // one line of text
	V2 = 2 // binary
)

// Append appends a header of that version, V1 or V2. Of Local, and where an end is invalid, nothing is said: UNKNOWN of version
// 1, LOCAL of version 2. Two ends of different families are both written as IPv6.
func Append(dst []byte, version int, h Header) []byte {
	known := !h.Local && h.Source.IsValid() && h.Destination.IsValid()
	src, to := plain(h.Source), plain(h.Destination)
	if known && src.Addr().Is4() != to.Addr().Is4() {
		src, to = wide(src), wide(to)
	}
	if version == V1 {
		return append1(dst, known, src, to)
	}
	return append2(dst, known, src, to)
}

func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func wide(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}

func append1(dst []byte, known bool, src, to netip.AddrPort) []byte {
	if !known {
		return append(dst, "PROXY UNKNOWN\r\n"...)
	}
	family := "TCP6 "
	if src.Addr().Is4() {
		family = "TCP4 "
	}
	dst = append(append(dst, signature1...), family...)
	dst = append(src.Addr().AppendTo(dst), ' ')
	dst = append(to.Addr().AppendTo(dst), ' ')
	dst = append(appendPort(dst, src.Port()), ' ')
	return append(appendPort(dst, to.Port()), "\r\n"...)
}

func appendPort(dst []byte, port uint16) []byte { return strconv.AppendUint(dst, uint64(port), 10) }

func append2(dst []byte, known bool, src, to netip.AddrPort) []byte {
	dst = append(dst, signature2...)
	switch {
	case !known: // of PROXY without a family not every reader knows what to think
		return append(dst, commandLocal, familyNone, 0, 0)
	case src.Addr().Is4():
		dst = append(dst, commandProxy, familyTCP4, 0, sizeTCP4)
	default:
		dst = append(dst, commandProxy, familyTCP6, 0, sizeTCP6)
	}
	dst = append(dst, src.Addr().AsSlice()...)
	dst = append(dst, to.Addr().AsSlice()...)
	dst = binary.BigEndian.AppendUint16(dst, src.Port())
	return binary.BigEndian.AppendUint16(dst, to.Port())
}
