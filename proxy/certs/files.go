package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// Doors are what the outside world comes in through. The zero value is the real world.
type Doors struct {
	// ReadFile returns a file's contents. Default: os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Now is the instant at which a certificate must be valid. Default: the real clock.
	Now func() time.Time
}

func (d *Doors) fill() {
	if d.ReadFile == nil {
		d.ReadFile = os.ReadFile
	}
}

// Pair names the two files of a certificate.
type Pair struct {
	// Cert is a PEM file: the certificate, and behind it those that lead to a root, in order.
	Cert string
	// Key is a PEM file with the certificate's private key. Empty means that Cert holds it too.
	Key string
}

// files reads each file once, and remembers what was in it.
type files struct {
	read func(string) ([]byte, error)
	had  map[string][]byte
}

func (d *Doors) files() *files { return &files{read: d.ReadFile, had: map[string][]byte{}} }

func (f *files) get(name string) ([]byte, error) {
	if text, ok := f.had[name]; ok {
		return text, nil
	}
	text, err := f.read(name)
	if err != nil {
		return nil, err
	}
	f.had[name] = text
	return text, nil
}

// same says whether two readings found the same in all files.
func (f *files) same(other *files) bool {
	if len(f.had) != len(other.had) {
		return false
	}
	for name, text := range f.had { // their order decides nothing
		if was, ok := other.had[name]; !ok || !bytes.Equal(was, text) {
			return false
		}
	}
	return true
}

func (f *files) pair(p Pair) (*tls.Certificate, error) {
	if p.Key == "" {
		p.Key = p.Cert
	}
	cert, err := f.get(p.Cert)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := f.get(p.Key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err)
	}
	return &c, nil
}

// pool reads whom to believe. A file without a certificate is an error: it would mean nobody, or worse, everybody.
func (f *files) pool(name string) (*x509.CertPool, error) {
	text, err := f.get(name)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificate authorities: %s has no certificate in PEM form", name)
	}
	return pool, nil
}

// suites are those of TLS 1.2 with forward secrecy and authenticated encryption; TLS 1.3 has no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// version turns a setting into the number that TLS has for it.
func version(v string) (uint16, error) {
	switch v {
	case "", "TLSv1.2":
		return tls.VersionTLS12, nil
	case "TLSv1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("lowest version %q: TLSv1.2 and TLSv1.3 are known", v)
}
