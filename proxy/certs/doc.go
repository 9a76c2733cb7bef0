// Package certs keeps what TLS needs on both sides of a proxy: the certificates that a listener shows, chosen by the
// name that the client asks for (SNI, RFC 6066 section 3), whom it believes, and with what a backend is met. All of it
// comes from PEM files, which may change while connections go on.
//
// A [Front] is a listener's side and a [Back] an upstream's. Both are made from a settings struct, fail with one error
// that names the file, and have Reload: it reads the files again and puts all of them in force at once, or, when one is
// not as it must be, none. Connections that are open keep what they began with.
//
// What is fixed: TLS 1.2 or 1.3, forward secrecy and authenticated encryption only (RFC 7525, RFC 8446); no
// renegotiation, no compression. A backend's certificate is verified unless Back is told otherwise. A client's is
// verified, or not asked for: settings that ask for one and cannot verify it are an error and not a listener that lets
// everybody in.
//
// The package does no I/O but reading files, and that through the caller's function; it has no goroutine.
package certs
