package certs

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Authority signs certificates for tests and simulations. Its keys come from a stream of random numbers that may be
// repeated, so they protect nothing. They are Ed25519, whose signatures always have the same length.
type Authority struct {
	rand   *rand.Rand
	from   time.Time
	cert   *x509.Certificate
	key    ed25519.PrivateKey
	pem    []byte
	serial int64
}

// NewAuthority makes an authority of that name, valid from a day before the instant for ten years.
func NewAuthority(name string, r *rand.Rand, now time.Time) *Authority {
	a := &Authority{rand: r, from: now.Add(-24 * time.Hour)}
	tmpl := a.template(name)
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	tmpl.NotAfter = a.from.AddDate(10, 0, 0)
	a.key = a.newKey()
	a.cert = tmpl
	der := a.sign(tmpl, a.key)
	a.cert, a.pem = must(x509.ParseCertificate(der)), block("CERTIFICATE", der)
	return a
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() []byte { return a.pem }

// Issue makes a certificate for names and IP addresses, good for servers and clients, and valid for so long from the
// authority's beginning on: a day before its instant. Both results are PEM.
func (a *Authority) Issue(valid time.Duration, names ...string) (cert, key []byte) {
	tmpl := a.template(names[0])
	tmpl.NotAfter = a.from.Add(valid)
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, name)
		}
	}
	private := a.newKey()
	return block("CERTIFICATE", a.sign(tmpl, private)), block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private)))
}

func (a *Authority) template(name string) *x509.Certificate {
	a.serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), NotBefore: a.from,
		Subject: pkix.Name{CommonName: name, SerialNumber: strconv.FormatInt(a.serial, 10)},
	}
}

func (a *Authority) newKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(a.rand.Uint32())
	}
	return ed25519.NewKeyFromSeed(seed)
}

func (a *Authority) sign(tmpl *x509.Certificate, key ed25519.PrivateKey) []byte {
	// An Ed25519 signature needs no randomness, and the serial number is given: the nil reader is never read.
	return must(x509.CreateCertificate(nil, tmpl, a.cert, key.Public(), a.key))
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// must is for what cannot fail with values that are made here.
func must[T any](v T, err error) T {
	if err != nil {
		panic("certs: " + err.Error())
	}
	return v
}
