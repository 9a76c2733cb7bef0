package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// freePort is a port of loopback that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// program runs a program that serves on a port, and ends it with the test. It skips the test where it is not installed.
func program(t *testing.T, port int, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	cmd := exec.Command(path, args...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = nc.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "%s does not listen", name)
}

func written(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// behind starts an nginx that wants the header and answers with what it says.
func behind(t *testing.T, port int) {
	dir := t.TempDir()
	program(t, port, "nginx", "-p", dir, "-c", written(t, dir, "nginx.conf", fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server {
    listen 127.0.0.1:%[2]d proxy_protocol;
    location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port > $proxy_protocol_server_port for $http_x_forwarded_for"; }
  }
}`, dir, port)))
}

// before starts an HAProxy that sends the header.
func before(t *testing.T, port, to int, how string) {
	program(t, port, "haproxy", "-db", "-f", written(t, t.TempDir(), "haproxy.cfg", fmt.Sprintf(`
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen all
  bind 127.0.0.1:%d
  server one 127.0.0.1:%d %s
`, port, to, how)))
}

func TestHAProxyBeforeUsAndNginxBehindUsAgreeAboutTheClient(t *testing.T) {
	for _, how := range []struct{ before, behind, protocol string }{
		{"send-proxy", config.SendProxyV2, config.ProtocolHTTP},
		{"send-proxy-v2", config.SendProxyV1, config.ProtocolHTTP},
		{"send-proxy-v2 proxy-v2-options crc32c,unique-id", config.SendProxyV2, config.ProtocolTCP},
	} {
		t.Run(how.before+" "+how.behind+" "+how.protocol, func(t *testing.T) {
			last := freePort(t)
			behind(t, last)
			s := talkSettings("127.0.0.1:0", []string{fmt.Sprintf("127.0.0.1:%d", last)})
			s.Listeners[0].Protocol = how.protocol
			s.Listeners[0].ProxyProtocol = &config.ProxyProtocol{From: []string{"127.0.0.1"}}
			s.Upstreams[0].SendProxy = how.behind
			server, err := proxy.New(proxy.Config{Settings: s})
			require.NoError(t, err)
			require.NoError(t, server.Start(t.Context()))
			defer server.Close()
			first := freePort(t)
			before(t, first, server.Addrs()[0].(*net.TCPAddr).Port, how.before)

			for range 3 {
				nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", first))
				require.NoError(t, err)
				_, err = nc.Write([]byte("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"))
				require.NoError(t, err)
				require.NoError(t, nc.SetDeadline(time.Now().Add(hung)))
				answer, err := io.ReadAll(nc)
				require.NoError(t, err)
				want := fmt.Sprintf("%s > %d for ", nc.LocalAddr(), first)
				if how.protocol == config.ProtocolHTTP {
					want += "127.0.0.1"
				}
				require.Contains(t, string(answer), "\r\n\r\n"+want)
				require.NoError(t, nc.Close())
			}
			st := server.Stats()
			require.Zero(t, st.FailedTotal())
		})
	}
}
