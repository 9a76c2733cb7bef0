package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// What a listener asks of its clients' certificates.
const (
	AuthNone    = ""        // no certificate is asked for
	AuthRequest = "request" // one is asked for; a client that shows one must show a good one
	AuthRequire = "require" // no connection without a good one
)

// FrontSettings say what a listener shows and whom it lets in.
type FrontSettings struct {
	Doors
	// Certificates are shown by the name that a client asks for; at least one. A client that asks for a name that none
	// has, or for none, is shown the first.
	Certificates []Pair
	// MinVersion is the lowest version of TLS: "TLSv1.2", the default, or "TLSv1.3".
	MinVersion string
	// ClientAuth is AuthNone, AuthRequest or AuthRequire. Anything but AuthNone needs ClientCA.
	ClientAuth string
	// ClientCA is a PEM file with the authorities whose clients are believed. It needs ClientAuth.
	ClientCA string
	// NextProtos are offered by ALPN (RFC 7301), the most wanted first. None: ALPN is not answered.
	NextProtos []string
	// NoTickets switches session resumption by tickets off.
	NoTickets bool
}

// Front is the TLS side of a listener. It is safe for concurrent use.
type Front struct {
	set   FrontSettings
	outer *tls.Config // finds the present state, and keeps the keys of session tickets from one to the next
	state atomic.Pointer[frontState]
}

// frontState is what one reading of the files gave.
type frontState struct {
	files *files
	cfg   *tls.Config
	first *tls.Certificate
	names map[string][]*tls.Certificate // in lower case, a wildcard as "*.example.org"
	ends  time.Time
}

// NewFront reads the files.
func NewFront(set FrontSettings) (*Front, error) {
	set.fill()
	f := &Front{set: set}
	st, err := f.load()
	if err != nil {
		return nil, err
	}
	f.state.Store(st)
	f.outer = &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: suites, Time: set.Now, SessionTicketsDisabled: set.NoTickets,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.state.Load().cfg, nil },
	}
	return f, nil
}

// Server makes the TLS side of a connection. The handshake is the caller's to make, with a deadline.
func (f *Front) Server(nc net.Conn) *tls.Conn { return tls.Server(nc, f.outer) }

// Reload reads the files again, and says whether anything has changed. With an error nothing has.
func (f *Front) Reload() (changed bool, err error) {
	st, err := f.load()
	if err != nil {
		return false, err
	}
	if st.files.same(f.state.Load().files) {
		return false, nil
	}
	f.state.Store(st)
	return true, nil
}

// Expires is when the first of the certificates will be valid no longer.
func (f *Front) Expires() time.Time { return f.state.Load().ends }

// Covers says whether a request for that host may come over a connection that was opened for the given name: the host is
// that name, or the certificate that was shown for it is one for the host too. A connection that was opened for no name is
// good for every host. The answer to a request that is not covered is 421 (RFC 9110 section 15.5.20).
func (f *Front) Covers(name, host string) bool {
	if name == "" || strings.EqualFold(name, host) {
		return true
	}
	for _, c := range f.state.Load().candidates(name) {
		if c.Leaf.VerifyHostname(host) == nil {
			return true
		}
	}
	return false
}

func (f *Front) load() (*frontState, error) {
	s := &f.set
	if len(s.Certificates) == 0 {
		return nil, errors.New("certs: a listener needs a certificate")
	}
	st := &frontState{files: s.files(), names: map[string][]*tls.Certificate{}}
	for _, p := range s.Certificates {
		c, err := st.files.pair(p)
		if err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
		st.add(c)
	}
	lowest, err := version(s.MinVersion)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	st.cfg = &tls.Config{
		MinVersion: lowest, CipherSuites: suites, Time: s.Now, NextProtos: s.NextProtos,
		SessionTicketsDisabled: s.NoTickets, GetCertificate: st.choose,
	}
	if err := f.auth(st); err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return st, nil
}

// auth sets what is asked of clients. Whatever is half set is an error: no mistake here may open the door.
func (f *Front) auth(st *frontState) error {
	switch f.set.ClientAuth {
	case AuthNone:
		if f.set.ClientCA != "" {
			return errors.New("authorities of clients are given, but no client is asked for a certificate")
		}
		return nil
	case AuthRequest:
		st.cfg.ClientAuth = tls.VerifyClientCertIfGiven
	case AuthRequire:
		st.cfg.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return fmt.Errorf("client authentication %q: request and require are known", f.set.ClientAuth)
	}
	if f.set.ClientCA == "" {
		return errors.New("clients are asked for certificates, but no authority is given to verify them by")
	}
	var err error
	st.cfg.ClientCAs, err = st.files.pool(f.set.ClientCA)
	return err
}

// add lists a certificate under its names. Those without a name of the DNS go by their common name, as they did once.
func (st *frontState) add(c *tls.Certificate) {
	if st.first == nil {
		st.first = c
	}
	if st.ends.IsZero() || c.Leaf.NotAfter.Before(st.ends) {
		st.ends = c.Leaf.NotAfter
	}
	names := c.Leaf.DNSNames
	if len(names) == 0 && len(c.Leaf.IPAddresses) == 0 {
		names = []string{c.Leaf.Subject.CommonName}
	}
	for _, name := range names {
		name = strings.ToLower(name)
		st.names[name] = append(st.names[name], c)
	}
}

// candidates are the certificates for a name: its own, else those of its wildcard, else the first of all.
func (st *frontState) candidates(name string) []*tls.Certificate {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if all := st.names[name]; len(all) > 0 {
		return all
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		if all := st.names["*."+parent]; len(all) > 0 {
			return all
		}
	}
	return []*tls.Certificate{st.first}
}

// choose is tls.Config.GetCertificate: of several for a name the first whose key the client can verify.
func (st *frontState) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := st.candidates(hello.ServerName)
	for _, c := range all {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return all[0], nil
}
