//go:build unix

package probe

import (
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The examples of documentation are tried on the servers that they are about, where these are installed.

func TestTheExampleForRedisPassesOnRedis(t *testing.T) {
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	port := freePort(t)
	runServer(t, exec.Command(redis, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()), "")
	passesSoon(t, "127.0.0.1:"+port, ExchangeConfig{Send: []byte("PING\r\n"), Expect: []byte("+PONG")})
}

func TestTheExampleForPostgreSQLPassesOnPostgreSQL(t *testing.T) {
	dir := postgresDir()
	if dir == "" {
		t.Skip("postgres is not installed")
	}
	// It does not run for root.
	name := ""
	if os.Getuid() == 0 {
		if name = "postgres"; !isUser(name) {
			name = "nobody"
		}
	}
	data, err := os.MkdirTemp("", "wavepool-postgres") // a folder of the test is closed to others than its owner
	require.NoError(t, err)
	defer os.RemoveAll(data)
	initdb := exec.Command(filepath.Join(dir, "initdb"), "-D", data, "-A", "trust", "-U", "wavepool", "--no-sync")
	initdb.Dir = os.TempDir()
	as(t, initdb, name, data)
	out, err := initdb.CombinedOutput()
	require.NoError(t, err, "%s", out)
	port := freePort(t)
	server := exec.Command(filepath.Join(dir, "postgres"), "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off")
	server.Dir = os.TempDir()
	runServer(t, server, name)
	passesSoon(t, "127.0.0.1:"+port, ExchangeConfig{
		Send: []byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"), Match: regexp.MustCompile("^[SN]"),
	})
}

// postgresDir finds the programs of PostgreSQL, which Debian keeps off the path.
func postgresDir() string {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(all) == 0 {
		return ""
	}
	return filepath.Dir(all[len(all)-1])
}

func isUser(name string) bool {
	_, err := user.Lookup(name)
	return err == nil
}

// as has a command run as that user, who is given a folder; as ourselves without a name.
func as(t *testing.T, cmd *exec.Cmd, name, folder string) {
	if name == "" {
		return
	}
	u, err := user.Lookup(name)
	require.NoError(t, err)
	uid, err := strconv.Atoi(u.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(u.Gid)
	require.NoError(t, err)
	if folder != "" {
		require.NoError(t, os.Chown(folder, uid, gid))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// runServer runs a server until the test ends.
func runServer(t *testing.T, cmd *exec.Cmd, name string) {
	as(t, cmd, name, "")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // PostgreSQL's children end with it, at once
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	return port
}

// passesSoon checks a server that starts until it passes.
func passesSoon(t *testing.T, server string, cfg ExchangeConfig) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	passed := false
	s := Schedule{Interval: 50 * time.Millisecond, Spread: -1}
	require.NoError(t, Run(ctx, s, mustExchange(t, nil, cfg), server, func(_ time.Time, err error) {
		if err == nil {
			passed = true
			cancel()
		}
	}))
	require.True(t, passed)
	wrong := cfg
	wrong.Expect, wrong.Match = []byte("something else"), nil
	requireKind(t, BadAnswer, mustExchange(t, nil, wrong).Probe(limited(t), server))
}
