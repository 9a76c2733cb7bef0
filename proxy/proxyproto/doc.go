// Package proxyproto reads and writes the header of the PROXY protocol, versions 1 and 2, by which one proxy tells the next
// from where a client came (haproxy.org, doc/proxy-protocol.txt). It is the first thing on a connection.
//
// There is no I/O here, and nothing beyond the header is ever asked for: [Missing] says how many more bytes surely belong to
// it, so that whoever reads takes exactly those, and the connection stays as it is for what follows: to be peeked at, waited
// for, spliced, or given to TLS. [Parse] is strict: what it does not understand fully is an error, with no attempt to guess.
//
//	for {
//		n, err := proxyproto.Missing(b)
//		if n == 0 || err != nil {
//			break
//		}
//		b = append(b, read(n)...) // up to n bytes
//	}
package proxyproto
