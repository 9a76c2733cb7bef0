package proxy

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

// twoGroups makes a server of two upstreams with one backend, checked by HTTP, of which the second is changed.
func twoGroups(t *testing.T, both, second func(*config.Upstream)) *Server {
	authority := certs.NewAuthority("ours", rand.New(rand.NewPCG(1, 2)), time.Now()).PEM()
	s := config.Default()
	for _, name := range []string{"a", "b"} {
		u := config.DefaultUpstream(name, "10.0.0.1:80")
		u.Health.Active.HTTP = &config.HTTPCheck{Body: &config.BodyCheck{Contains: "up"}}
		both(&u)
		if name == "b" {
			second(&u)
		}
		s.Upstreams = append(s.Upstreams, u)
	}
	l := config.DefaultListener(":0")
	l.Upstream = "a"
	s.Listeners = []config.Listener{l}
	server, err := New(Config{Settings: s, ReadFile: func(name string) ([]byte, error) {
		if name != "ca.pem" && name != "other.pem" {
			return nil, errors.New("no such file")
		}
		return authority, nil
	}})
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

func TestUpstreamsShareAProberExactlyWhenTheirChecksAreTheSame(t *testing.T) {
	none := func(*config.Upstream) {}
	secure := func(u *config.Upstream) {
		u.TLS = &config.UpstreamTLS{CA: "ca.pem"}
	}
	handshake := func(u *config.Upstream) {
		u.Health.Active.HTTP, u.Health.Active.TLS = nil, &config.TLSCheck{CA: "ca.pem"}
	}
	for name, c := range map[string]struct {
		both, second func(*config.Upstream)
		same         bool
	}{
		"equal settings":               {none, none, true},
		"what follows from checks":     {none, func(u *config.Upstream) { u.Health.Active.Rise, u.Health.Active.Fall = 9, 9 }, true},
		"their times":                  {none, func(u *config.Upstream) { u.Health.Active.Interval = time.Minute }, true},
		"what is not theirs":           {none, func(u *config.Upstream) { u.ResponseTimeout, u.Strategy = time.Hour, "first" }, true},
		"the path":                     {none, func(u *config.Upstream) { u.Health.Active.HTTP.Path = "/b" }, false},
		"the host":                     {none, func(u *config.Upstream) { u.Health.Active.HTTP.Host = "b" }, false},
		"the method":                   {none, func(u *config.Upstream) { u.Health.Active.HTTP.Method = "POST" }, false},
		"the status":                   {none, func(u *config.Upstream) { u.Health.Active.HTTP.Status = config.StatusRange{Low: 204, High: 204} }, false},
		"the body":                     {none, func(u *config.Upstream) { u.Health.Active.HTTP.Body.Contains = "down" }, false},
		"no body":                      {none, func(u *config.Upstream) { u.Health.Active.HTTP.Body = nil }, false},
		"the kind":                     {none, func(u *config.Upstream) { u.Health.Active.HTTP = nil }, false},
		"the PROXY protocol":           {none, func(u *config.Upstream) { u.SendProxy = config.SendProxyV1 }, false},
		"the protocol":                 {none, func(u *config.Upstream) { u.Protocol = config.UpstreamHTTP2 }, false},
		"TLS":                          {none, secure, false},
		"equal TLS":                    {secure, none, true},
		"other authorities":            {secure, func(u *config.Upstream) { u.TLS.CA = "other.pem" }, false},
		"another name":                 {secure, func(u *config.Upstream) { u.TLS.ServerName = "b" }, false},
		"how often files are read":     {secure, func(u *config.Upstream) { u.TLS.ReloadEvery = time.Hour }, true},
		"equal handshakes":             {handshake, func(u *config.Upstream) { u.Health.Active.TLS.ReloadEvery = time.Hour }, true},
		"handshakes with other names":  {handshake, func(u *config.Upstream) { u.Health.Active.TLS.ServerName = "b" }, false},
		"handshakes of other files":    {handshake, func(u *config.Upstream) { u.Health.Active.TLS.CA = "other.pem" }, false},
		"equal exchanges":              {func(u *config.Upstream) { exchanged(u, "a") }, none, true},
		"other exchanges":              {func(u *config.Upstream) { exchanged(u, "a") }, func(u *config.Upstream) { exchanged(u, "b") }, false},
		"a connection, and a question": {func(u *config.Upstream) { u.Health.Active.HTTP = nil }, func(u *config.Upstream) { exchanged(u, "b") }, false},
	} {
		s := twoGroups(t, c.both, c.second)
		require.Equal(t, c.same, s.upstreams[0].prober == s.upstreams[1].prober, name)
		require.Equal(t, s.upstreams[0].back != nil && s.upstreams[0].back == s.upstreams[1].back,
			name == "equal TLS" || name == "how often files are read", name)
	}
}

func exchanged(u *config.Upstream, expect string) {
	u.Health.Active.HTTP, u.Health.Active.TCP = nil, &config.TCPCheck{Expect: expect}
}
