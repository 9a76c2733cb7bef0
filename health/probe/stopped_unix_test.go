//go:build unix

package probe

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process that is stopped, or swapped out, or deadlocked, says nothing, while its kernel goes on to accept connections for
// it. Only a check that wants an answer finds that out.
func TestAStoppedProcessIsFoundByChecksThatWantAnAnswer(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), beABackend+"=1")
	stdin, err := child.StdinPipe()
	require.NoError(t, err)
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	defer func() {
		_ = child.Process.Signal(syscall.SIGCONT)
		_ = stdin.Close()
		_ = child.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	backend := strings.TrimSpace(line)

	asks := map[string]Prober{
		"send and expect": mustExchange(t, nil, ExchangeConfig{Send: []byte("PING\r\n"), Expect: []byte("+PONG")}),
		"HTTP":            mustHTTP(t, nil, HTTPConfig{}),
	}
	for name, p := range asks {
		require.NoError(t, p.Probe(limited(t), backend), name)
	}
	require.NoError(t, child.Process.Signal(syscall.SIGSTOP))
	stopped(t, child.Process.Pid)
	require.NoError(t, TCP(nil).Probe(limited(t), backend), "its kernel accepts for it")
	for name, p := range asks {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		requireKind(t, Timeout, p.Probe(ctx, backend))
		cancel()
		require.NoError(t, t.Context().Err(), name)
	}
	require.NoError(t, child.Process.Signal(syscall.SIGCONT))
	for name, p := range asks {
		require.NoError(t, p.Probe(limited(t), backend), name)
	}
}

// stopped waits until a child has been stopped.
func stopped(t *testing.T, pid int) {
	var status syscall.WaitStatus
	got, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
	require.NoError(t, err)
	require.Equal(t, pid, got)
	require.True(t, status.Stopped())
}
