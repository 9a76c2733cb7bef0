package certs

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const year = 365 * 24 * time.Hour

// shelf is a directory in memory.
type shelf map[string][]byte

func (s shelf) doors(now time.Time) Doors {
	return Doors{
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := s[name]; ok {
				return text, nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
		Now: func() time.Time { return now },
	}
}

func (s shelf) issue(a *Authority, file string, valid time.Duration, names ...string) Pair {
	p := Pair{Cert: file + ".pem", Key: file + ".key"}
	s[p.Cert], s[p.Key] = a.Issue(valid, names...)
	return p
}

var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func authority(name string, seed uint64) *Authority {
	return NewAuthority(name, rand.New(rand.NewPCG(seed, 1)), began)
}

// pair is a connection over loopback: a pipe without buffers would let both sides write at once for ever.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	near, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	far, err = ln.Accept()
	require.NoError(t, err)
	return near, far
}

// shake makes both handshakes over a pipe and returns the error of each.
func shake(t *testing.T, server, client *tls.Conn) (serverErr, clientErr error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- server.Handshake()
		_, _ = server.Read(make([]byte, 1)) // whatever comes after it, such as a client's alert
		_ = server.NetConn().Close()
	}()
	clientErr = client.Handshake()
	if clientErr == nil { // with TLS 1.3 the server judges the client later
		_ = client.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := client.Read(make([]byte, 1)); err != nil {
			var alert tls.AlertError
			if errors.As(err, &alert) {
				clientErr = err
			}
		}
	}
	_ = client.NetConn().Close()
	return <-done, clientErr
}

func meet(t *testing.T, f *Front, b *Back, address string) (*tls.Conn, *tls.Conn, error, error) {
	t.Helper()
	near, far := pair(t)
	server, client := f.Server(far), b.Client(near, address)
	serverErr, clientErr := shake(t, server, client)
	return server, client, serverErr, clientErr
}

func TestTheCertificateIsChosenByTheNameThatTheClientAsksFor(t *testing.T) {
	s, a := shelf{}, authority("root", 1)
	s["ca.pem"] = a.PEM()
	f, err := NewFront(FrontSettings{Doors: s.doors(began), Certificates: []Pair{
		s.issue(a, "first", year, "first.test"),
		s.issue(a, "wild", year, "*.wild.test", "wild.test"),
		s.issue(a, "own", year, "own.wild.test"),
		s.issue(a, "ip", year, "10.0.0.1"),
	}})
	require.NoError(t, err)
	for asked, shown := range map[string]string{
		"first.test": "first.test", "FIRST.test": "first.test", "wild.test": "*.wild.test", "a.wild.test": "*.wild.test",
		"own.wild.test": "own.wild.test", "a.b.wild.test": "first.test", "nobody.test": "first.test",
	} {
		b, err := NewBack(BackSettings{Doors: s.doors(began), Insecure: true, ServerName: asked})
		require.NoError(t, err)
		_, client, serverErr, clientErr := meet(t, f, b, "10.0.0.9:443")
		require.NoError(t, serverErr)
		require.NoError(t, clientErr)
		require.Equal(t, shown, client.ConnectionState().PeerCertificates[0].DNSNames[0], "asked for %s", asked)
	}
	require.True(t, f.Covers("own.wild.test", "OWN.wild.test"))
	require.False(t, f.Covers("own.wild.test", "other.wild.test"), "another certificate is for that")
	require.True(t, f.Covers("a.wild.test", "b.wild.test"), "the same certificate is for both")
	require.False(t, f.Covers("a.wild.test", "first.test"))
	require.True(t, f.Covers("", "first.test"), "no name was given, so none was promised")
	require.Equal(t, began.Add(-24*time.Hour).Add(year), f.Expires())
}

func TestABackendMustProveItsNameToAnAuthorityThatIsBelieved(t *testing.T) {
	s, a := shelf{}, authority("root", 1)
	s["ca.pem"], s["other.pem"] = a.PEM(), authority("other", 2).PEM()
	front := func(p Pair) *Front {
		f, err := NewFront(FrontSettings{Doors: s.doors(began), Certificates: []Pair{p}})
		require.NoError(t, err)
		return f
	}
	good := s.issue(a, "good", year, "web.test", "10.0.0.1")
	old := s.issue(a, "old", time.Hour, "web.test")
	for _, c := range []struct {
		why     string
		set     BackSettings
		pair    Pair
		address string
		refused string
	}{
		{"the name of the address", BackSettings{CA: "ca.pem"}, good, "web.test:443", ""},
		{"an address of numbers", BackSettings{CA: "ca.pem"}, good, "10.0.0.1:443", ""},
		{"another name that is set", BackSettings{CA: "ca.pem", ServerName: "web.test"}, good, "10.0.0.7:443", ""},
		{"a name that it has not", BackSettings{CA: "ca.pem"}, good, "10.0.0.7:443", "10.0.0.7"},
		{"an authority that is not believed", BackSettings{CA: "other.pem", ServerName: "web.test"}, good, "a:1", "unknown authority"},
		{"the system's authorities", BackSettings{ServerName: "web.test"}, good, "a:1", "unknown authority"},
		{"a certificate out of date", BackSettings{CA: "ca.pem", ServerName: "web.test"}, old, "a:1", "expired"},
		{"whoever it is", BackSettings{Insecure: true}, old, "a:1", ""},
	} {
		c.set.Doors = s.doors(began)
		b, err := NewBack(c.set)
		require.NoError(t, err)
		_, _, _, clientErr := meet(t, front(c.pair), b, c.address)
		if c.refused == "" {
			require.NoError(t, clientErr, c.why)
		} else {
			require.ErrorContains(t, clientErr, c.refused, c.why)
		}
	}
}

func TestAClientWithoutAGoodCertificateIsRefusedWhereOneIsRequired(t *testing.T) {
	s, a, other := shelf{}, authority("root", 1), authority("other", 2)
	s["ca.pem"] = a.PEM()
	shown := s.issue(a, "server", year, "web.test")
	good, bad := s.issue(a, "good", year, "a client"), s.issue(other, "bad", year, "a client")
	for _, c := range []struct {
		auth   string
		client Pair
		passes bool
	}{
		{AuthRequire, good, true}, {AuthRequire, bad, false}, {AuthRequire, Pair{}, false},
		{AuthRequest, good, true}, {AuthRequest, bad, false}, {AuthRequest, Pair{}, true},
		{AuthNone, bad, true},
	} {
		set := FrontSettings{Doors: s.doors(began), Certificates: []Pair{shown}, ClientAuth: c.auth, ClientCA: "ca.pem"}
		if c.auth == AuthNone {
			set.ClientCA = ""
		}
		f, err := NewFront(set)
		require.NoError(t, err)
		for _, lowest := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg := &tls.Config{InsecureSkipVerify: true, MaxVersion: lowest}
			if c.client != (Pair{}) { // shown whomever the listener believes
				cert, err := tls.X509KeyPair(s[c.client.Cert], s[c.client.Key])
				require.NoError(t, err)
				cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			near, far := pair(t)
			serverErr, _ := shake(t, f.Server(far), tls.Client(near, cfg))
			require.Equal(t, c.passes, serverErr == nil, "%q, shown %q: %v", c.auth, c.client.Cert, serverErr)
		}
	}
}

func TestSettingsThatWouldLetEverybodyInAreAnError(t *testing.T) {
	s, a := shelf{}, authority("root", 1)
	s["ca.pem"], s["empty.pem"] = a.PEM(), []byte("nothing here\n")
	p := s.issue(a, "server", year, "web.test")
	for _, c := range []struct {
		set  FrontSettings
		want string
	}{
		{FrontSettings{}, "needs a certificate"},
		{FrontSettings{Certificates: []Pair{p}, ClientAuth: AuthRequire}, "no authority is given"},
		{FrontSettings{Certificates: []Pair{p}, ClientAuth: AuthRequest}, "no authority is given"},
		{FrontSettings{Certificates: []Pair{p}, ClientCA: "ca.pem"}, "no client is asked"},
		{FrontSettings{Certificates: []Pair{p}, ClientAuth: "requires", ClientCA: "ca.pem"}, `"requires"`},
		{FrontSettings{Certificates: []Pair{p}, ClientAuth: AuthRequire, ClientCA: "empty.pem"}, "empty.pem has no certificate"},
		{FrontSettings{Certificates: []Pair{p}, ClientAuth: AuthRequire, ClientCA: "gone.pem"}, "open gone.pem"},
		{FrontSettings{Certificates: []Pair{{Cert: "gone.pem"}}}, "open gone.pem"},
		{FrontSettings{Certificates: []Pair{{Cert: p.Cert}}}, "server.pem"},
		{FrontSettings{Certificates: []Pair{p}, MinVersion: "TLSv1.1"}, `"TLSv1.1"`},
	} {
		c.set.Doors = s.doors(began)
		_, err := NewFront(c.set)
		require.ErrorContains(t, err, c.want)
	}
	_, err := NewBack(BackSettings{Doors: s.doors(began), CA: "empty.pem"})
	require.ErrorContains(t, err, "empty.pem has no certificate")
	_, err = NewBack(BackSettings{Doors: s.doors(began), CA: "ca.pem", Insecure: true})
	require.ErrorContains(t, err, "not verified")
	_, err = NewBack(BackSettings{Doors: s.doors(began), MinVersion: "TLSv1.0"})
	require.ErrorContains(t, err, `"TLSv1.0"`)
}

func TestOldVersionsAndWeakCiphersAreRefused(t *testing.T) {
	s, a := shelf{}, authority("root", 1)
	f, err := NewFront(FrontSettings{Doors: s.doors(began), Certificates: []Pair{s.issue(a, "server", year, "web.test")}})
	require.NoError(t, err)
	for _, cfg := range []*tls.Config{
		{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		cfg.InsecureSkipVerify = true
		near, far := pair(t)
		serverErr, clientErr := shake(t, f.Server(far), tls.Client(near, cfg))
		require.Error(t, serverErr)
		require.Error(t, clientErr)
	}
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		near, far := pair(t)
		client := tls.Client(near, &tls.Config{InsecureSkipVerify: true, MinVersion: v, MaxVersion: v})
		serverErr, clientErr := shake(t, f.Server(far), client)
		require.NoError(t, serverErr)
		require.NoError(t, clientErr)
	}
}

func TestReloadTakesNewFilesAsAWholeOrNotAtAll(t *testing.T) {
	s, a := shelf{}, authority("root", 1)
	s["ca.pem"] = a.PEM()
	pairs := []Pair{s.issue(a, "one", year, "one.test"), s.issue(a, "two", year, "two.test")}
	f, err := NewFront(FrontSettings{Doors: s.doors(began), Certificates: pairs})
	require.NoError(t, err)
	b, err := NewBack(BackSettings{Doors: s.doors(began), CA: "ca.pem"})
	require.NoError(t, err)
	shown := func(name string) string {
		_, client, _, err := meet(t, f, b, name+":443")
		require.NoError(t, err)
		return client.ConnectionState().PeerCertificates[0].Subject.SerialNumber
	}
	before := shown("one.test")
	changed, err := f.Reload()
	require.NoError(t, err)
	require.False(t, changed)

	s.issue(a, "one", year, "one.test")
	two := s[pairs[1].Key]
	s[pairs[1].Key] = []byte("half a fi")
	changed, err = f.Reload()
	require.ErrorContains(t, err, "two.pem")
	require.False(t, changed)
	require.Equal(t, before, shown("one.test"))

	s[pairs[1].Key] = two
	changed, err = f.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	require.NotEqual(t, before, shown("one.test"))

	other := authority("other", 2)
	s["ca.pem"] = other.PEM()
	changed, err = b.Reload()
	require.NoError(t, err)
	require.True(t, changed)
	_, _, _, err = meet(t, f, b, "one.test:443")
	require.ErrorContains(t, err, "unknown authority")
}

func TestTicketsResumeASessionUnlessTheyAreOff(t *testing.T) {
	for _, off := range []bool{false, true} {
		s, a := shelf{}, authority("root", 1)
		f, err := NewFront(FrontSettings{Doors: s.doors(began), NoTickets: off,
			Certificates: []Pair{s.issue(a, "server", year, "web.test")}})
		require.NoError(t, err)
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "web.test", ClientSessionCache: tls.NewLRUClientSessionCache(1),
			Time: func() time.Time { return began }}
		for i := range 2 {
			near, far := pair(t)
			client := tls.Client(near, cfg)
			serverErr, clientErr := shake(t, f.Server(far), client)
			require.NoError(t, serverErr)
			require.NoError(t, clientErr)
			require.Equal(t, i == 1 && !off, client.ConnectionState().DidResume)
		}
	}
}
