package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRelativePathsBeginAtTheFolderOfTheConfiguration(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "wavepool.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
access_log: {path: logs/a.log}
listeners:
  - {address: ":1", upstream: web, tls: {certificates: [{cert: site.pem, key: /etc/site.key}], client_ca: ca.pem}}
upstreams:
  web: {backends: [{address: "a:1"}], tls: {ca: ../ca.pem, cert: us.pem}}
  raw: {backends: [{address: "b:1"}], health: {active: {tls: {ca: raw.pem}}}}
`), 0o600))
	c, err := Load(file)
	require.NoError(t, err)
	front, back := c.Listeners[0].TLS, c.Upstreams[0].TLS
	require.Equal(t, []string{
		folder + "/logs/a.log", folder + "/site.pem", "/etc/site.key", folder + "/ca.pem",
		filepath.Dir(folder) + "/ca.pem", folder + "/us.pem", "", folder + "/raw.pem",
	}, []string{
		c.AccessLog.Path, front.Certificates[0].Cert, front.Certificates[0].Key, front.ClientCA,
		back.CA, back.Certificate.Cert, back.Certificate.Key, c.Upstreams[1].Health.Active.TLS.CA,
	})
	require.NoError(t, os.WriteFile(file, []byte(`
access_log: {path: stdout}
listeners: [{address: ":1", upstream: web}]
upstreams: {web: {backends: [{address: "a:1"}]}}
`), 0o600))
	c, err = Load(file)
	require.NoError(t, err)
	require.Equal(t, LogStdout, c.AccessLog.Path)
}
