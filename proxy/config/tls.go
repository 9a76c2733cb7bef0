package config

import (
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// The lowest versions of TLS that may be asked for.
const (
	TLS12 = "TLSv1.2"
	TLS13 = "TLSv1.3"
)

// What a listener asks of its clients' certificates.
const (
	ClientAuthOff     = "off"     // nothing
	ClientAuthRequest = "request" // one is asked for; a client that shows one must show a good one
	ClientAuthRequire = "require" // no connection without a good one
)

// ListenerTLS makes a listener speak TLS. Key tls of a listener.
type ListenerTLS struct {
	// Certificates are shown by the name that a client asks for (SNI); a client that asks for a name that none has, or for
	// none, is shown the first. Key certificates, at least one, at most 1000.
	Certificates []Certificate
	// MinVersion is the lowest version of TLS. Key min_version, default TLSv1.2; or TLSv1.3.
	MinVersion string
	// ClientAuth says whether clients must show a certificate. Key client_auth, default require where ClientCA is given
	// and else off; or request. Anything but off needs ClientCA.
	ClientAuth string
	// ClientCA is a PEM file with the authorities whose clients are believed. Key client_ca, default empty.
	ClientCA string
	// HandshakeTimeout is the time a client has for its handshake, from the accept. Key handshake_timeout, default 10s,
	// from 1ms to 1h.
	HandshakeTimeout time.Duration
	// Tickets lets clients resume a session without a whole handshake. Key session_tickets, on or off, default on.
	Tickets Switch
	// ReloadEvery is how often the files are looked at for new contents, beside each reload of the configuration. Key
	// reload_every, default 1m, from 1s to 24h, or Off.
	ReloadEvery time.Duration
}

// UpstreamTLS makes the connections to the backends of an upstream speak TLS, those of health checks included. Key tls of
// an upstream.
type UpstreamTLS struct {
	// ServerName is the name that backends are asked for (SNI) and must prove. Key server_name, default empty, which is
	// the host of each backend's address.
	ServerName string
	// CA is a PEM file with the authorities whose backends are believed. Key ca, default empty, which is the system's.
	CA string
	// Verify says whether a backend must prove who it is. Key verify, on or off, default on. Off is for tests: whoever
	// stands between can then read and change everything.
	Verify Switch
	// Certificate is shown to backends that ask for one. Keys cert and key, default empty: none.
	Certificate Certificate
	// MinVersion is the lowest version of TLS. Key min_version, default TLSv1.2; or TLSv1.3.
	MinVersion string
	// ReloadEvery is as a listener's: new connections are made with the new contents.
	ReloadEvery time.Duration
}

// Certificate names the two PEM files of a certificate.
type Certificate struct {
	// Cert has the certificate, and behind it those that lead to a root, in order. Key cert, required.
	Cert string
	// Key has its private key. Key key, default empty: Cert holds it too.
	Key string
}

// Switch is a setting that is on or off; empty means its default.
type Switch string

// The positions of a Switch.
const (
	SwitchOn  Switch = "on"
	SwitchOff Switch = "off"
)

func defaultListenerTLS() ListenerTLS {
	return ListenerTLS{
		MinVersion: TLS12, ClientAuth: ClientAuthOff, HandshakeTimeout: 10 * time.Second, Tickets: SwitchOn,
		ReloadEvery: time.Minute,
	}
}

func defaultUpstreamTLS() UpstreamTLS {
	return UpstreamTLS{MinVersion: TLS12, Verify: SwitchOn, ReloadEvery: time.Minute}
}

func (t *ListenerTLS) form() form.Form {
	return form.Form{
		{Key: "certificates", Value: form.List(&t.Certificates, 1000, func() Certificate { return Certificate{} },
			func(c *Certificate) form.Form { return c.form(required) })},
		{Key: "min_version", Value: form.OneOf(&t.MinVersion, TLS12, TLS13)},
		{Key: "client_auth", Value: form.OneOf(&t.ClientAuth, ClientAuthOff, ClientAuthRequest, ClientAuthRequire)},
		{Key: "client_ca", Value: form.String(&t.ClientCA, nil)},
		{Key: "handshake_timeout", Value: form.Duration(&t.HandshakeTimeout, tick, time.Hour)},
		{Key: "session_tickets", Value: form.OneOf((*string)(&t.Tickets), string(SwitchOn), string(SwitchOff))},
		{Key: "reload_every", Value: form.DurationOrOff(&t.ReloadEvery, time.Second, day, Off)},
	}
}

func (t *UpstreamTLS) form() form.Form {
	return append(form.Form{
		{Key: "server_name", Value: form.String(&t.ServerName, checkMatchHost)},
		{Key: "ca", Value: form.String(&t.CA, nil)},
		{Key: "verify", Value: form.OneOf((*string)(&t.Verify), string(SwitchOn), string(SwitchOff))},
		{Key: "min_version", Value: form.OneOf(&t.MinVersion, TLS12, TLS13)},
		{Key: "reload_every", Value: form.DurationOrOff(&t.ReloadEvery, time.Second, day, Off)},
	}, t.Certificate.form(nil)...)
}

func (c *Certificate) form(checkCert func(string) string) form.Form {
	return form.Form{
		{Key: "cert", Value: form.String(&c.Cert, checkCert)},
		{Key: "key", Value: form.String(&c.Key, nil)},
	}
}

// filled is a copy in which every field that means its default by being zero has it.
func (t *ListenerTLS) filled() *ListenerTLS {
	if t == nil {
		return nil
	}
	out, d := *t, defaultListenerTLS()
	out.Certificates = append([]Certificate(nil), t.Certificates...)
	fill(&out.MinVersion, d.MinVersion)
	fill(&out.HandshakeTimeout, d.HandshakeTimeout)
	fill(&out.Tickets, d.Tickets)
	fill(&out.ReloadEvery, d.ReloadEvery)
	if out.ClientCA != "" {
		fill(&out.ClientAuth, ClientAuthRequire)
	}
	fill(&out.ClientAuth, d.ClientAuth)
	return &out
}

func (t *UpstreamTLS) filled() *UpstreamTLS {
	if t == nil {
		return nil
	}
	out, d := *t, defaultUpstreamTLS()
	fill(&out.MinVersion, d.MinVersion)
	fill(&out.Verify, d.Verify)
	fill(&out.ReloadEvery, d.ReloadEvery)
	return &out
}

func (t *ListenerTLS) check(r *form.Report, path string) {
	if t == nil || r.Skipped(path) {
		return
	}
	certificates := form.Join(path, "certificates")
	if len(t.Certificates) == 0 && !r.Failed(certificates, path) {
		r.Fail(certificates, "is required: at least one, such as {cert: site.pem, key: site.key}")
	}
	auth, ca := form.Join(path, "client_auth"), form.Join(path, "client_ca")
	switch asked := t.ClientAuth == ClientAuthRequest || t.ClientAuth == ClientAuthRequire; {
	case r.Failed(auth, ca):
	case asked && t.ClientCA == "":
		r.Fail(auth, "is %s, but there is no client_ca to verify a certificate by", t.ClientAuth)
	case t.ClientAuth == ClientAuthOff && t.ClientCA != "":
		r.Fail(ca, "is given, but client_auth is off")
	}
}

func (t *UpstreamTLS) check(r *form.Report, path string) {
	if t == nil || r.Skipped(path) {
		return
	}
	if verify, ca := form.Join(path, "verify"), form.Join(path, "ca"); t.Verify == SwitchOff && t.CA != "" &&
		!r.Failed(verify, ca) {
		r.Fail(ca, "is given, but verify is off")
	}
	if cert, key := form.Join(path, "cert"), form.Join(path, "key"); t.Certificate.Cert == "" && t.Certificate.Key != "" &&
		!r.Failed(cert, key) {
		r.Fail(key, "is given without cert")
	}
}
