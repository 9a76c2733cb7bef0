package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// KindHandshakeFailed is the kind of event that tells of a client whose TLS handshake came to nothing. Its Entity is the
// listener's address.
const KindHandshakeFailed = "handshake_failed"

// KindCertificates is the kind of event that tells that certificate files were found changed, or cannot be used any
// more. Its Entity is the listener's address or the upstream's name, its Detail what has happened.
const KindCertificates = "certificates"

func (s *Server) doors() certs.Doors { return certs.Doors{ReadFile: s.cfg.ReadFile, Now: s.clk.Now} }

func pairOf(c config.Certificate) certs.Pair { return certs.Pair{Cert: c.Cert, Key: c.Key} }

// newFronts reads what the listeners' TLS needs; nil for one in cleartext.
func (s *Server) newFronts(all []config.Listener) ([]*certs.Front, error) {
	fronts := make([]*certs.Front, len(all))
	for i := range all {
		t := all[i].TLS
		if t == nil {
			continue
		}
		set := certs.FrontSettings{
			Doors: s.doors(), MinVersion: t.MinVersion, ClientCA: t.ClientCA, NoTickets: t.Tickets == config.SwitchOff,
		}
		if t.ClientAuth != config.ClientAuthOff {
			set.ClientAuth = t.ClientAuth
		}
		if all[i].Protocol == config.ProtocolHTTP {
			if set.NextProtos = []string{"http/1.1"}; all[i].HTTP2 != config.SwitchOff {
				set.NextProtos = []string{"h2", "http/1.1"}
			}
		}
		for _, c := range t.Certificates {
			set.Certificates = append(set.Certificates, pairOf(c))
		}
		var err error
		if fronts[i], err = certs.NewFront(set); err != nil {
			return nil, fmt.Errorf("proxy: listener %s: %w", all[i].Address, err)
		}
	}
	return fronts, nil
}

// newBack reads what an upstream's TLS needs; nil for one in cleartext.
func (s *Server) newBack(c *config.Upstream) (*certs.Back, error) {
	if c.TLS == nil {
		return nil, nil
	}
	back, err := certs.NewBack(certs.BackSettings{
		Doors: s.doors(), ServerName: c.TLS.ServerName, CA: c.TLS.CA, Insecure: c.TLS.Verify == config.SwitchOff,
		Certificate: pairOf(c.TLS.Certificate), MinVersion: c.TLS.MinVersion, NextProtos: protocolsOf(c),
	})
	if err != nil {
		return nil, fmt.Errorf("proxy: upstream %s: %w", c.Name, err)
	}
	return back, nil
}

// sameIdentity says whether connections that were made for a group may serve under other settings of its TLS. A changed
// file counts as a change: it may name other authorities, or another client.
func (g *group) sameIdentity(c *config.Upstream) bool {
	if g.speaks != c.Protocol || g.sends != c.SendProxy || !reflect.DeepEqual(g.tls, c.TLS) {
		return false
	}
	return g.back == nil || !g.back.Changed()
}

// clearText is the answer to a client that speaks HTTP where TLS is spoken.
const clearText = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\r\n" +
	"This port speaks HTTPS, not HTTP.\r\n"

// handshake makes the TLS handshake of a connection whose listener wants one. It reports whether there is something to be
// served.
func (c *client) handshake() bool {
	tc, ok := c.nc.(*tls.Conn)
	if !ok {
		return true
	}
	within := 10 * time.Second
	if t := c.l.plan.Load().cfg.TLS; t != nil { // a reload may have made it a cleartext one
		within = t.HandshakeTimeout
	}
	if c.nc.SetDeadline(c.s.now().Add(within)) != nil || c.cutOff() {
		return false
	}
	err := tc.Handshake()
	if err != nil {
		c.s.counters.handshakesFailed.Add(1)
		c.s.tell(upstream.Event{Entity: c.l.name, Kind: KindHandshakeFailed, Detail: err.Error()})
		var header tls.RecordHeaderError
		if !c.l.tcp && errors.As(err, &header) && header.Conn != nil && looksLikeHTTP(header.RecordHeader[:]) {
			_, _ = header.Conn.Write([]byte(clearText))
		}
		return false
	}
	c.s.counters.handshakes.Add(1)
	c.serverName = tc.ConnectionState().ServerName
	return c.nc.SetDeadline(time.Time{}) == nil && !c.cutOff()
}

// looksLikeHTTP says whether five bytes are the beginning of a request.
func looksLikeHTTP(p []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET"} {
		if string(p) == method {
			return true
		}
	}
	return false
}

// misdirected says whether a request has come over a connection that was opened for another host, whose certificate is not
// one for this host. Such a client, or who stands before it, has confused two hosts that may have different rules.
func (c *httpConn) misdirected() bool {
	if c.front == nil || c.serverName == "" || len(c.req.Authority) == 0 || string(c.req.Authority) == c.covered {
		return false
	}
	if host := hostIn(c.req.Authority); !c.front.Covers(c.serverName, string(bytes.Trim(host, "[]"))) {
		return true
	}
	c.covered = string(c.req.Authority)
	return false
}

// certificateWatch looks at the files of certificates from time to time. Server.mu guards it.
type certificateWatch struct {
	next  *clock.Timer // counted in Server.work until it has been stopped or has run; nil: none
	ended bool
}

// watchCertificates arranges for the next look, if there is anything to be looked at.
func (s *Server) watchCertificates() {
	every := reloadEvery(s.Settings())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopWatchLocked()
	if every <= 0 || s.watch.ended {
		return
	}
	s.work.Add(1)
	s.watch.next = s.clk.AfterFunc(every, func() {
		defer s.work.Done()
		s.ReloadCertificates()
		s.watchCertificates()
	})
}

// stopWatchLocked takes back the next look. One that has begun counts itself out.
func (s *Server) stopWatchLocked() {
	if s.watch.next != nil && s.watch.next.Stop() {
		s.work.Done()
	}
	s.watch.next = nil
}

func (s *Server) endWatch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.ended = true
	s.stopWatchLocked()
}

// reloadEvery is the shortest of the times after which files are to be looked at; 0 for never.
func reloadEvery(c *config.Config) time.Duration {
	var every time.Duration
	consider := func(d time.Duration) {
		if d > 0 && (every == 0 || d < every) {
			every = d
		}
	}
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			consider(t.ReloadEvery)
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil {
			consider(t.ReloadEvery)
		}
		if a := c.Upstreams[i].Health.Active; a != nil && a.TLS != nil && a.TLS.CA != "" {
			consider(a.TLS.ReloadEvery)
		}
	}
	return every
}

// ReloadCertificates reads the files of all certificates again, as the settings' reload_every lets the server do by itself.
// New connections, and checks, get what they say now; connections that are open keep what they have. Where a file cannot be used, its
// listener or upstream keeps all that it had, and an event says why.
func (s *Server) ReloadCertificates() {
	s.mu.Lock()
	listeners := slices.Clone(s.listeners)
	type named struct {
		of   string
		back *certs.Back
	}
	var backs []named
	for _, g := range s.upstreams {
		backs = append(backs, named{g.name, g.back})
		if c, ok := g.prober.(*tlsCheck); ok {
			backs = append(backs, named{g.name, c.shake})
		}
	}
	s.mu.Unlock()
	for _, l := range listeners {
		if p := l.plan.Load(); p != nil && p.front != nil {
			s.reloaded(l.name, p.front.Reload)
		}
	}
	seen := map[*certs.Back]bool{nil: true} // of groups that have one in common the first tells
	for _, b := range backs {
		if !seen[b.back] {
			seen[b.back] = true
			s.reloaded(b.of, b.back.Reload)
		}
	}
}

func (s *Server) reloaded(entity string, reload func() (bool, error)) {
	changed, err := reload()
	switch {
	case err != nil:
		s.log.Warn("certificates cannot be read again; the old ones stay", "entity", entity, "error", err)
		s.tell(upstream.Event{Entity: entity, Kind: KindCertificates, Detail: err.Error()})
	case changed:
		s.log.Info("certificates read again", "entity", entity)
		s.tell(upstream.Event{Entity: entity, Kind: KindCertificates, Detail: "changed"})
	}
}
