package pool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/pool"
)

// startRedis starts a server on a socket of its own, with a password, and ends it with the test. It skips the test
// where Redis is not installed.
func startRedis(t *testing.T) (socket string) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	dir := t.TempDir()
	socket = filepath.Join(dir, "s")
	cmd := exec.Command(program, "--port", "0", "--unixsocket", socket, "--requirepass", "secret", "--save", "", "--dir", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := bufio.NewScanner(out)
	for said.Scan() {
		if strings.Contains(strings.ToLower(said.Text()), "ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, out) }() // it ends with the process
			return socket
		}
	}
	t.Fatal("redis-server ended: ", said.Err())
	return ""
}

// redis speaks the protocol of Redis (RESP) on a connection.
type redis struct {
	nc net.Conn
	rd *bufio.Reader
}

// send writes one command.
func (r *redis) send(args ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err := io.WriteString(r.nc, b.String())
	return err
}

// receive reads one simple answer, number or string.
func (r *redis) receive() (string, error) {
	line, err := r.rd.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '-':
		return "", errors.New(rest)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return "", err
		}
		text := make([]byte, n+2)
		_, err = io.ReadFull(r.rd, text)
		return string(text[:n]), err
	}
	return rest, nil
}

func (r *redis) do(args ...string) (string, error) {
	if err := r.send(args...); err != nil {
		return "", err
	}
	return r.receive()
}

// logIn is a Config.Setup: the password is told once for each connection.
func logIn(_ context.Context, nc net.Conn) (pool.Session, error) {
	_, err := (&redis{nc, bufio.NewReader(nc)}).do("AUTH", "secret")
	return nil, err
}

// command runs one command on a connection of the pool.
func command(ctx context.Context, p *pool.Pool, args ...string) (string, error) {
	c, err := p.Lend(ctx)
	if err != nil {
		return "", err
	}
	r, ok := c.Aux().(*redis)
	if !ok {
		r = &redis{c.NetConn(), bufio.NewReader(c.NetConn())}
		c.SetAux(r)
	}
	answer, err := r.do(args...)
	if err != nil {
		c.Discard(pool.ReasonBroken)
		return "", err
	}
	c.Release()
	return answer, nil
}

func TestConnectionPoolServesARealRedis(t *testing.T) {
	p, err := pool.New(pool.Config{Network: "unix", Address: startRedis(t), MaxConnections: 4, Setup: logIn,
		ValidateAfter: 1})
	require.NoError(t, err)
	defer p.Close()
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			for range 100 {
				if _, errs[i] = command(t.Context(), p, "INCR", "n"); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	n, err := command(t.Context(), p, "GET", "n")
	require.NoError(t, err)
	require.Equal(t, "2000", n)
	s := p.Stats()
	require.LessOrEqual(t, s.Dialled, uint64(4))
	require.EqualValues(t, 2001, s.Lends)

	// The server ends all connections but the one that says so; the pool must find that out by itself.
	_, err = command(t.Context(), p, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	require.NoError(t, err)
	conns, err := p.GetN(t.Context(), 0, 4)
	require.NoError(t, err)
	pool.ReleaseAll(conns)
	require.EqualValues(t, s.Idle-1, p.Stats().Retired[pool.ReasonPeerClosed])
	for range 20 {
		_, err = command(t.Context(), p, "INCR", "n")
		require.NoError(t, err)
	}
}

func TestConnectionPoolSaysThatARealRedisRefusesThePassword(t *testing.T) {
	wrong := func(_ context.Context, nc net.Conn) (pool.Session, error) {
		_, err := (&redis{nc, bufio.NewReader(nc)}).do("AUTH", "guess")
		return nil, err
	}
	p, err := pool.New(pool.Config{Name: "cache", Network: "unix", Address: startRedis(t), Setup: wrong})
	require.NoError(t, err)
	defer p.Close()
	_, err = p.Lend(t.Context())
	require.ErrorContains(t, err, "pool cache: set-up of ")
	require.ErrorContains(t, err, "WRONGPASS")
	require.EqualValues(t, 1, p.Stats().Retired[pool.ReasonSetupFailed])
}

// pipeline is a Session: several callers send commands on one connection without waiting for each other's answers,
// which come in the order of the commands.
type pipeline struct {
	redis
	mu    sync.Mutex
	queue chan chan answer
	done  chan struct{}
	err   error
}

type answer struct {
	text string
	err  error
}

// pipelined is a Config.Setup that makes such sessions.
func pipelined(ctx context.Context, nc net.Conn) (pool.Session, error) {
	if _, err := logIn(ctx, nc); err != nil {
		return nil, err
	}
	s := &pipeline{redis: redis{nc, bufio.NewReader(nc)}, queue: make(chan chan answer, depth), done: make(chan struct{})}
	go s.read()
	return s, nil
}

const depth = 16

func (s *pipeline) read() {
	defer close(s.done)
	for reply := range s.queue {
		text, err := s.receive()
		reply <- answer{text, err}
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
		}
	}
}

func (s *pipeline) Available() int { return depth }

func (s *pipeline) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *pipeline) Close() error {
	err := s.nc.Close()
	close(s.queue)
	<-s.done
	return err
}

func (s *pipeline) do(args ...string) (string, error) {
	reply := make(chan answer, 1)
	s.mu.Lock() // the order of the queue is that of the wire
	err := s.send(args...)
	s.queue <- reply
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	a := <-reply
	return a.text, a.err
}

func TestConnectionPoolPipelinesToARealRedis(t *testing.T) {
	p, err := pool.New(pool.Config{Network: "unix", Address: startRedis(t), MaxConnections: 2, Setup: pipelined})
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 64)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range errs {
		wg.Go(func() {
			for n := range 50 {
				c, err := p.Lend(ctx)
				if err != nil {
					errs[i] = err
					return
				}
				want := fmt.Sprintf("%d/%d", i, n)
				got, err := c.Session().(*pipeline).do("ECHO", want)
				c.Release()
				if err == nil && got != want {
					err = fmt.Errorf("asked for %s and got %s", want, got)
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	s := p.Stats()
	require.EqualValues(t, 64*50, s.Lends)
	require.EqualValues(t, 2, s.Dialled)
	p.Close()
}
