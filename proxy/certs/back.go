package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// BackSettings say how an upstream's backends are met.
type BackSettings struct {
	Doors
	// ServerName is the name that backends are asked for and must prove. Default: the host of the backend's address, an
	// IP address among them, which is then not sent but verified (RFC 6066 section 3).
	ServerName string
	// CA is a PEM file with the authorities whose backends are believed. Default: those of the system.
	CA string
	// Insecure believes every backend. For tests; whoever stands between can read and change everything.
	Insecure bool
	// Certificate is what we show to backends that ask. Zero: nothing.
	Certificate Pair
	// MinVersion is the lowest version of TLS: "TLSv1.2", the default, or "TLSv1.3".
	MinVersion string
	// NextProtos are asked for by ALPN, the most wanted first.
	NextProtos []string
}

// Back is the TLS side of an upstream. It is safe for concurrent use.
type Back struct {
	set   BackSettings
	state atomic.Pointer[backState]
}

type backState struct {
	files *files
	cfg   *tls.Config
	ends  time.Time
}

// NewBack reads the files.
func NewBack(set BackSettings) (*Back, error) {
	set.fill()
	b := &Back{set: set}
	st, err := b.load()
	if err != nil {
		return nil, err
	}
	b.state.Store(st)
	return b, nil
}

// Client makes the TLS side of a connection to a backend, whose address is host:port. The handshake is the caller's to
// make, with a deadline. There is no session resumption: pooled connections are what saves handshakes.
func (b *Back) Client(nc net.Conn, address string) *tls.Conn {
	cfg := b.state.Load().cfg.Clone()
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		cfg.ServerName = host
	}
	return tls.Client(nc, cfg)
}

// Reload reads the files again, and says whether anything has changed. With an error nothing has. Connections that are
// open are as before.
func (b *Back) Reload() (changed bool, err error) {
	st, err := b.load()
	if err != nil {
		return false, err
	}
	if st.files.same(b.state.Load().files) {
		return false, nil
	}
	b.state.Store(st)
	return true, nil
}

// Changed says whether the files have changed since they were read, or cannot be used now. Nothing changes by it.
func (b *Back) Changed() bool {
	st, err := b.load()
	return err != nil || !st.files.same(b.state.Load().files)
}

// Expires is when our certificate will be valid no longer; the zero instant without one.
func (b *Back) Expires() time.Time { return b.state.Load().ends }

func (b *Back) load() (*backState, error) {
	s := &b.set
	lowest, err := version(s.MinVersion)
	if err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	st := &backState{files: s.files(), cfg: &tls.Config{
		MinVersion: lowest, CipherSuites: suites, Time: s.Now, ServerName: s.ServerName, NextProtos: s.NextProtos,
		InsecureSkipVerify: s.Insecure,
	}}
	if s.CA != "" {
		if s.Insecure {
			return nil, errors.New("certs: authorities are given, but backends are not verified")
		}
		if st.cfg.RootCAs, err = st.files.pool(s.CA); err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
	}
	if s.Certificate != (Pair{}) {
		c, err := st.files.pair(s.Certificate)
		if err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
		st.cfg.Certificates, st.ends = []tls.Certificate{*c}, c.Leaf.NotAfter
	}
	return st, nil
}
