package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const reloadable = `
listeners: [{address: "127.0.0.1:0", upstream: web}]
upstreams: {web: {backends: [{address: "%s"}], health: {active: off}}}
admin: {address: off}
drain_timeout: %s
`

func TestSIGHUPReloadsTheFileAndGoesOnWithTheOldOneWhenItHasMistakes(t *testing.T) {
	d, err := startDemo(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer d.close()
	file := filepath.Join(t.TempDir(), "wavepool.yaml")
	write := func(backend, drain string) {
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, reloadable, backend, drain), 0o644))
	}
	one, two := d.backends()[0].Address, d.backends()[1].Address
	write(one, "30s")
	p := startProgram(t, "-config", file)
	url := "http://" + p.address() + "/"
	_, h, _ := fetch(t, url)
	require.Equal(t, "demo-1", h.Get("X-Backend"))

	write(two, "30 seconds")
	p.signals <- syscall.SIGHUP
	p.err.await(t, `msg=mistake error="\S+wavepool.yaml:5: drain_timeout`)
	p.err.await(t, `msg="not reloaded; the configuration stays as it was" file=\S+ mistakes=1`)
	_, h, _ = fetch(t, url)
	require.Equal(t, "demo-1", h.Get("X-Backend"))

	write(two, "20s")
	p.signals <- syscall.SIGHUP
	p.err.await(t, `msg=reloaded file=\S+ changes=3`)
	p.err.await(t, `msg=changed what="drain_timeout: 20s instead of 30s"`)
	_, h, _ = fetch(t, url)
	require.Equal(t, "demo-2", h.Get("X-Backend"))

	p.signals <- syscall.SIGTERM
	require.Equal(t, exitOK, p.exit(), p.err.String())
}

func TestSIGHUPWithoutAFileChangesNothing(t *testing.T) {
	p := startProgram(t, "-backend", "127.0.0.1:9", "-listen", "127.0.0.1:0", "-admin", "off")
	p.address()
	p.signals <- syscall.SIGHUP
	p.err.await(t, `nothing to reload`)
	p.signals <- syscall.SIGTERM
	require.Equal(t, exitOK, p.exit())
}

func TestCheckTellsTheMistakesOfAFileAndStartsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wavepool.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, reloadable, "10.0.0.1:80", "30s"), 0o644))
	code, stdout, _ := once(t, "-check", file)
	require.Equal(t, exitOK, code)
	require.Equal(t, file+": no mistakes\n", stdout)
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, reloadable, "10.0.0.1", "30s"), 0o644))
	code, _, stderr := once(t, "-check", file)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "wavepool.yaml:3: upstreams.web.backends[0].address")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
		strings.Replace(reloadable, "health:", "tls: {ca: /nowhere/ca.pem}, health:", 1), "10.0.0.1:80", "30s"), 0o644))
	code, _, stderr = once(t, "-check", file)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "upstream web: certs: certificate authorities: open /nowhere/ca.pem")
}

func TestCheckTakesItsFileHoweverItIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wavepool.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, reloadable, "10.0.0.1:80", "30s"), 0o644))
	for _, args := range [][]string{
		{"-check", file}, {"-check=" + file}, {"-check", "-config", file}, {"-config", file, "-check"}, {"-check", file, "-config", file},
		{"-check", file, "-debug"},
	} {
		code, stdout, stderr := once(t, args...)
		require.Equal(t, exitOK, code, "%v: %s", args, stderr)
		require.Equal(t, file+": no mistakes\n", stdout)
	}
	code, stdout, _ := once(t, "-check", "-backend", "10.0.0.1:80")
	require.Equal(t, exitOK, code)
	require.Equal(t, "the flags: no mistakes\n", stdout)
	for _, c := range []struct{ args, want []string }{
		{[]string{"-check"}, []string{"-check needs a file"}},
		{[]string{"-check", file, "-config", "other.yaml"}, []string{"different files"}},
		{[]string{"-check", file, file}, []string{"unexpected argument"}},
		{[]string{"-check", file, "-nonsense"}, []string{"nonsense"}},
	} {
		code, _, stderr := once(t, c.args...)
		require.Equal(t, exitUsage, code, c.args)
		require.Contains(t, stderr, c.want[0])
	}
}

func TestCheckTellsWhatWouldKeepTheLogFromBeingWrittenAndWhoIsNeverUsed(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "wavepool.yaml")
	yaml := fmt.Sprintf(reloadable, "10.0.0.1:80", "30s")
	for _, c := range []struct{ path, want string }{
		{filepath.Join(folder, "access.log"), ""}, {"stdout", ""},
		{filepath.Join(folder, "none", "access.log"), "no such file or directory"}, {folder, "is a directory"},
	} {
		require.NoError(t, os.WriteFile(file, []byte(yaml+"access_log: {path: "+c.path+"}\n"), 0o644))
		code, _, stderr := once(t, "-check", file)
		require.Equal(t, c.want != "", code == exitUsage, stderr)
		require.Contains(t, stderr, c.want)
		require.NoFileExists(t, filepath.Join(folder, "access.log"))
	}
	yaml = strings.Replace(yaml, "upstreams: {", "upstreams: {spare: {backends: [{address: \"10.0.0.9:80\"}]}, ", 1)
	require.NoError(t, os.WriteFile(file, []byte(yaml), 0o644))
	code, stdout, stderr := once(t, "-check", file)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "no mistakes")
	require.Contains(t, stderr, "warning: upstreams.spare: no listener and no route leads to it")
}

// As logrotate does it: the file is moved away, a signal follows.
func TestSIGUSR1AndSIGHUPOpenTheAccessLogAnew(t *testing.T) {
	d, err := startDemo(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer d.close()
	file := filepath.Join(t.TempDir(), "access.log")
	p := startProgram(t, "-backend", d.backends()[0].Address, "-listen", "127.0.0.1:0", "-admin", "off", "-access-log", file)
	url := "http://" + p.address() + "/"
	var old []string
	for i, sig := range []os.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		fetch(t, fmt.Sprint(url, i))
		old = append(old, fmt.Sprint(file, ".", i))
		require.NoError(t, os.Rename(file, old[i]))
		p.signals <- sig
		p.err.await(t, fmt.Sprintf(`(?s)(access log opened anew.*){%d}`, i+1))
		require.FileExists(t, file)
	}
	fetch(t, url+"2")
	p.signals <- syscall.SIGTERM
	require.Equal(t, exitOK, p.exit(), p.err.String())
	var paths []string
	for _, name := range append(old, file) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			var e struct {
				Path, Outcome string
				Status        int
			}
			require.NoError(t, json.Unmarshal([]byte(line), &e))
			require.Equal(t, []any{"answered", 200}, []any{e.Outcome, e.Status})
			paths = append(paths, e.Path)
		}
	}
	require.ElementsMatch(t, []string{"/0", "/1", "/2"}, paths, "each line is in one of the files, once")
}

func TestAnAccessLogThatCannotBeOpenedIsToldAtTheStart(t *testing.T) {
	code, _, stderr := once(t, "-backend", "127.0.0.1:9", "-listen", "127.0.0.1:0", "-admin", "off", "-access-log",
		filepath.Join(t.TempDir(), "no", "such", "folder"))
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "access log: ")
	require.Contains(t, stderr, "no such file or directory")
}
