package scenario

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const overTLS = `
name: tls
about: TLS on both sides.
duration: 10s
proxy:
  listeners:
    - address: ":8443"
      upstream: web
      tls: {certificates: [{cert: site.pem}], LISTENER}
  upstreams:
    web:
      backends: [{address: "10.0.0.1:443"}, {address: web.internal:443}]
      tls: {UPSTREAM}
backends: [{address: "10.0.0.1:443"}, {address: web.internal:443}]
clients: [{name: web, arrivals: {poisson: 50/s}, keep_alive: true, timeout: 1s}]
expect: [success_rate >= 100%, leaks == 0]
`

func runOverTLS(t *testing.T, listener, upstream string) *Verdict {
	t.Helper()
	text := strings.NewReplacer("LISTENER", listener, "UPSTREAM", upstream).Replace(overTLS)
	sc, err := Parse("tls.yaml", []byte(text))
	require.NoError(t, err)
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	return v
}

func TestAProductionConfigurationWithTLSRunsUnchanged(t *testing.T) {
	for _, c := range []struct{ listener, upstream string }{
		{"session_tickets: on", "ca: ca.pem"},
		{"client_auth: require, client_ca: clients.pem", "ca: ca.pem, cert: us.pem, key: us.key"},
		{"min_version: TLSv1.3", "verify: off, server_name: other.internal"},
	} {
		v := runOverTLS(t, c.listener, c.upstream)
		require.True(t, v.OK(), "%s", v.Text())
		require.Contains(t, strings.Join(v.Replaced, "\n"), "the certificate files of the listener :8443 are generated: ")
	}
}

func TestABackendThatIsNotBelievedGetsNoRequest(t *testing.T) {
	v := runOverTLS(t, "session_tickets: on", "server_name: web.internal") // the system's authorities: none of ours
	require.Zero(t, v.Answered)
	require.Positive(t, v.Failed["connect_failed"], "%v", v.Failed)
}

func TestRenewalWithoutTLSIsAMistake(t *testing.T) {
	text := strings.NewReplacer("tls: {certificates: [{cert: site.pem}], LISTENER}", "workers: 1", "tls: {UPSTREAM}", "strategy: random").
		Replace(overTLS) + "operations: [{at: 1s, renew_certificates: {}}]\n"
	_, err := Parse("tls.yaml", []byte(text))
	require.ErrorContains(t, err, "operations[0].renew_certificates: there is no certificate")
}
