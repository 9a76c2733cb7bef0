package proxy

import (
	"time"

	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

// shared is what groups have in common whose settings say the same: what TLS needs of files, and what carries out checks. It
// follows from the settings: a reload makes another one, which takes over what is as it was. Server.turn guards it.
type shared struct {
	backs   map[backKey]*certs.Back
	probers map[proberKey]probe.Prober
}

func newShared() *shared {
	return &shared{backs: map[backKey]*certs.Back{}, probers: map[proberKey]probe.Prober{}}
}

// backKey is what the TLS side of an upstream depends on.
type backKey struct {
	tls      config.UpstreamTLS // without ReloadEvery
	protocol string
}

func backKeyOf(c *config.Upstream) backKey {
	key := backKey{*c.TLS, c.Protocol}
	key.tls.ReloadEvery = 0
	return key
}

// proberKey is what a prober depends on, apart from the address that it is given.
type proberKey struct {
	back            *certs.Back
	protocol, sends string
	patience        time.Duration // of a write to a connection that carries streams

	http    config.HTTPCheck // without Body
	body    config.BodyCheck
	grpc    config.GRPCCheck
	tls     config.TLSCheck // without ReloadEvery
	tcp     config.TCPCheck
	has     [4]bool // which of http, grpc, tls and tcp it is
	hasBody bool
}

func (s *Server) proberKeyOf(c *config.Upstream, back *certs.Back) proberKey {
	a := c.Health.Active
	key := proberKey{back: back, protocol: c.Protocol, sends: c.SendProxy}
	if c.Protocol != config.UpstreamHTTP1 || a.GRPC != nil {
		key.patience = stallOf(c)
	}
	key.has = [4]bool{a.HTTP != nil, a.GRPC != nil, a.TLS != nil, a.TCP != nil}
	switch {
	case a.HTTP != nil:
		key.http = *a.HTTP
		if key.http.Body != nil {
			key.hasBody, key.body, key.http.Body = true, *a.HTTP.Body, nil
		}
	case a.GRPC != nil:
		key.grpc = *a.GRPC
	case a.TLS != nil:
		key.tls = *a.TLS
		key.tls.ReloadEvery = 0
	case a.TCP != nil:
		key.tcp = *a.TCP
	}
	return key
}

// backOf is the TLS side of an upstream; nil for one in cleartext. One whose files are as they were stays.
func (s *Server) backOf(c *config.Upstream, next *shared) (*certs.Back, error) {
	if c.TLS == nil {
		return nil, nil
	}
	key := backKeyOf(c)
	if b := next.backs[key]; b != nil {
		return b, nil
	}
	b := s.shared.backs[key]
	if b == nil || b.Changed() {
		var err error
		if b, err = s.newBack(c); err != nil {
			return nil, err
		}
	}
	next.backs[key] = b
	return b, nil
}

// proberOf is what carries out an upstream's checks. Those who check in the same way have the same, and it stays while it
// would be made as it was: a changed file counts as a change, as it does for the connections of requests.
func (s *Server) proberOf(c *config.Upstream, back *certs.Back, next *shared) (probe.Prober, error) {
	key := s.proberKeyOf(c, back)
	if p := next.probers[key]; p != nil {
		return p, nil
	}
	p := s.shared.probers[key]
	if t, ok := p.(*tlsCheck); p == nil || ok && t.shake.Changed() {
		var err error
		if p, err = s.newProber(c, back); err != nil {
			return nil, err
		}
	}
	next.probers[key] = p
	return p, nil
}
