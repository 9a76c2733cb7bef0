package scenario

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

// FailHandshake is why a request failed whose connection to the proxy was not made for want of a TLS handshake.
const FailHandshake = "client_handshake_failed"

// certificateLife is how long generated certificates are good from the beginning of the run on. No run is longer.
const certificateLife = 30 * 24 * time.Hour

// papers stand in the place of every certificate file of a configuration: one authority that everybody believes, and
// certificates of its own making, good at the simulation's time. Keys are Ed25519, whose signatures have one length.
type papers struct {
	clk   func() time.Time
	root  *certs.Authority
	trust *x509.CertPool
	names map[string][]string // of the certificate that a file has, or the backend at an address

	mu     sync.Mutex
	files  map[string][]byte
	served map[string]*tls.Certificate // of the backends that speak TLS, by address
	client tls.Certificate             // of the clients
}

// newPapers issues what the configuration names. It is nil where nobody speaks TLS.
func newPapers(sc *Scenario, sim *netsim.Sim) *papers {
	if sc.Settings == nil || !slices.ContainsFunc(sc.configs(), speaksTLS) {
		return nil
	}
	p := &papers{
		clk: sim.Clock().Now, trust: x509.NewCertPool(), names: map[string][]string{}, files: map[string][]byte{},
		served: map[string]*tls.Certificate{},
	}
	p.root = certs.NewAuthority("the simulation's authority", sim.Rand("certificates"), p.clk())
	p.trust.AppendCertsFromPEM(p.root.PEM())
	p.client = p.certificate("a client")
	for _, c := range sc.configs() {
		p.front(c)
		p.back(c, sc)
	}
	return p
}

// configs are all configurations that are in force at some time. What one of them says of a file or of a backend holds from
// the beginning on.
func (sc *Scenario) configs() []*config.Config {
	all := []*config.Config{sc.Settings}
	for i := range sc.Operations {
		if o := &sc.Operations[i]; o.Settings != nil {
			all = append(all, o.Settings)
		}
	}
	return all
}

// front issues what listeners show.
func (p *papers) front(c *config.Config) {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if l.TLS == nil {
			continue
		}
		p.authority(l.TLS.ClientCA)
		for _, c := range l.TLS.Certificates {
			p.pair(c, append(hostsOf(l), ProxyName, ProxyAddr))
		}
	}
}

// back issues what upstreams and their backends show.
func (p *papers) back(c *config.Config, sc *Scenario) {
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		if u.TLS == nil {
			continue
		}
		p.authority(u.TLS.CA)
		p.pair(u.TLS.Certificate, []string{ProxyName})
		for _, b := range u.Backends {
			for _, address := range append(sc.behind(b.Address), sc.insteadOf(b.Address)...) {
				p.serve(address, nameOf(u, b.Address))
			}
		}
		for j := range sc.Operations {
			if o := &sc.Operations[j]; o.Kind == OpAdd && o.Upstream == u.Name {
				p.serve(o.Backend, nameOf(u, o.Backend))
			}
		}
	}
}

// serve makes a backend speak TLS.
func (p *papers) serve(address, name string) {
	if p.served[address] == nil {
		p.names[address] = []string{name}
		c := p.certificate(name)
		p.served[address] = &c
	}
}

func speaksTLS(c *config.Config) bool {
	return slices.ContainsFunc(c.Listeners, func(l config.Listener) bool { return l.TLS != nil }) ||
		slices.ContainsFunc(c.Upstreams, func(u config.Upstream) bool { return u.TLS != nil })
}

// hostsOf are the hosts that a listener's routes name.
func hostsOf(l *config.Listener) []string {
	var all []string
	for i := range l.Routes {
		if h := l.Routes[i].Match.Host; h != "" {
			all = append(all, h)
		}
	}
	return all
}

// nameOf is the name that a backend must prove.
func nameOf(u *config.Upstream, address string) string {
	if u.TLS.ServerName != "" {
		return u.TLS.ServerName
	}
	return hostOf(address)
}

func (p *papers) certificate(names ...string) tls.Certificate {
	cert, key := p.root.Issue(certificateLife, names...)
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		panic("scenario: " + err.Error()) // we have made it ourselves
	}
	return c
}

// authority puts the one authority into a file.
func (p *papers) authority(file string) {
	if file != "" {
		p.files[file] = p.root.PEM()
	}
}

// pair puts a certificate into its files.
func (p *papers) pair(c config.Certificate, names []string) {
	if c.Cert == "" {
		return
	}
	cert, key := p.root.Issue(certificateLife, names...)
	p.names[c.Cert] = names
	if c.Key == "" {
		p.files[c.Cert] = append(cert, key...)
		return
	}
	p.files[c.Cert], p.files[c.Key] = cert, key
}

// ReadFile is the proxy's door to its certificate files.
func (p *papers) ReadFile(name string) ([]byte, error) {
	if p == nil {
		return nil, errors.New("no certificates are simulated")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if text, ok := p.files[name]; ok {
		return text, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// reader is the proxy's door to files: certificates, and secrets, of which each is made of the name of its file.
func (sc *Scenario) reader(p *papers) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		for _, c := range sc.configs() {
			for i := range c.Upstreams {
				if k := c.Upstreams[i].Sticky; k != nil && slices.Contains(k.SecretFiles, name) {
					return []byte("the simulated secret in " + name), nil
				}
			}
		}
		return p.ReadFile(name)
	}
}

// renew puts new certificates into all files of listeners and upstreams, and gives new ones to the backends.
func (p *papers) renew(c *config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			for _, pair := range t.Certificates {
				p.pair(pair, p.names[pair.Cert])
			}
		}
	}
	for i := range c.Upstreams {
		if t := c.Upstreams[i].TLS; t != nil {
			p.pair(t.Certificate, []string{ProxyName})
		}
	}
	for _, address := range slices.Sorted(maps.Keys(p.served)) {
		fresh := p.certificate(p.names[address]...)
		p.served[address] = &fresh
	}
}

// server makes the TLS side of a connection that a backend has accepted, if it speaks TLS. Its handshake comes with the
// first read.
func (p *papers) server(nc net.Conn, address string, http2 bool) net.Conn {
	if p == nil {
		return nc
	}
	p.mu.Lock()
	c := p.served[address]
	p.mu.Unlock()
	if c == nil {
		return nc
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{*c}, Time: p.clk}
	if http2 {
		cfg.NextProtos = []string{"h2", "http/1.1"}
	}
	return tls.Server(nc, cfg)
}

// dialled makes the handshake of a client that has connected to the proxy, until the deadline. It returns why that failed.
func (p *papers) dialled(nc net.Conn, target string, deadline time.Time) (net.Conn, string) {
	if nc.SetDeadline(deadline) != nil {
		return nil, FailHandshake
	}
	tc := tls.Client(nc, &tls.Config{
		RootCAs: p.trust, ServerName: hostOf(target), Time: p.clk, Certificates: []tls.Certificate{p.client},
		NextProtos: []string{"http/1.1"},
	})
	if err := tc.Handshake(); err != nil {
		_ = nc.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, FailTimeout
		}
		return nil, FailHandshake
	}
	return tc, ""
}

// replacedFiles tells which files the run has replaced.
func replacedFiles(c *config.Config) []string {
	var out []string
	note := func(who string, files ...string) {
		files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
		if len(files) > 0 {
			out = append(out, fmt.Sprintf("the certificate files of %s are generated: %s", who, strings.Join(files, ", ")))
		}
	}
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			files := []string{t.ClientCA}
			for _, pair := range t.Certificates {
				files = append(files, pair.Cert, pair.Key)
			}
			note("the listener "+c.Listeners[i].Address, files...)
		}
	}
	for i := range c.Upstreams {
		if k := c.Upstreams[i].Sticky; k != nil {
			out = append(out, fmt.Sprintf("the secrets of the upstream %s are made up: %s", c.Upstreams[i].Name, strings.Join(k.SecretFiles, ", ")))
		}
		if t := c.Upstreams[i].TLS; t != nil {
			note("the upstream "+c.Upstreams[i].Name, t.CA, t.Certificate.Cert, t.Certificate.Key)
		}
	}
	return out
}
