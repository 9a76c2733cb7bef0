package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// output collects what the program writes, and lets a test wait for a part of it.
type output struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{}
}

func newOutput() *output { return &output{news: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.news <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await returns the first group of the pattern as soon as it is there.
func (o *output) await(t *testing.T, pattern string) string {
	t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(20*time.Second)
	for {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-o.news:
		case <-late:
			require.Fail(t, "it was never written", "%s\nbut\n%s", pattern, o.String())
		}
	}
}

// program is a run of the whole program.
type program struct {
	t       *testing.T
	err     *output
	signals chan os.Signal
	code    chan int
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, err: newOutput(), signals: make(chan os.Signal, 2), code: make(chan int, 1)}
	go func() { p.code <- run(args, io.Discard, p.err, p.signals) }()
	return p
}

// address waits for the listener's own word and gives its port on the loopback address.
func (p *program) address() string {
	p.t.Helper()
	_, port, err := net.SplitHostPort(p.err.await(p.t, `msg=listening address=(\S+)`))
	require.NoError(p.t, err)
	return net.JoinHostPort("127.0.0.1", port)
}

func (p *program) exit() int {
	p.t.Helper()
	select {
	case code := <-p.code:
		return code
	case <-time.After(20 * time.Second):
		require.Fail(p.t, "the program does not end", p.err.String())
		return -1
	}
}

// once runs the program that is to end by itself.
func once(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	out, errs := newOutput(), newOutput()
	code = run(args, out, errs, make(chan os.Signal))
	return code, out.String(), errs.String()
}

func fetch(t *testing.T, url string) (status int, header http.Header, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(text)
}

func TestTheDemonstrationAnswersFromDifferentBackendsAndSIGTERMEndsIt(t *testing.T) {
	p := startProgram(t, "-port", "0", "-admin", "127.0.0.1:0")
	url := "http://" + p.address() + "/hello"
	seen := map[string]bool{}
	for range 9 {
		status, header, body := fetch(t, url)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, body, "Hello from "+header.Get("X-Backend"))
		require.Contains(t, body, "GET /hello")
		seen[header.Get("X-Backend")] = true
	}
	require.Len(t, seen, demoBackends)
	page := p.err.await(t, `msg="admin page" address=(\S+)`)
	// An answer is counted when it has been written: the client may have it a moment before.
	require.Eventually(t, func() bool {
		status, _, body := fetch(t, page+"/status")
		return status == http.StatusOK && strings.Contains(body, `"answered": 9`)
	}, 10*time.Second, 5*time.Millisecond)
	p.signals <- syscall.SIGTERM
	require.Equal(t, exitOK, p.exit())
	log := p.err.String()
	require.Contains(t, log, "msg=draining signal=terminated")
	require.Contains(t, log, "msg=stopped requests=9 failed=0")
	require.Equal(t, demoBackends, strings.Count(log, `msg="Pool Metrics" upstream=backends backend=127.0.0.1:`))
	require.Regexp(t, `msg="Manager Metrics" backends_up=3 backends_down=0 distribution=".*33\.33%.*" requests=9 `+
		`in_flight=0 answered=9 errors=none`, log)
	for _, word := range []string{"created=", "active=", "idle=", "utilization=", "reuse_rate=",
		"health_check_success_rate=", "mean_connection_lifetime="} {
		require.Contains(t, log, word)
	}
}

// slow is a backend that answers when it is told to.
type slow struct {
	ln    net.Listener
	asked chan struct{}
	reply chan struct{}
	srv   http.Server
	done  chan struct{}
}

func startSlow(t *testing.T) *slow {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &slow{ln: ln, asked: make(chan struct{}, 1), reply: make(chan struct{}), done: make(chan struct{})}
	s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked <- struct{}{}
		select {
		case <-s.reply:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "at last")
	})
	go func() {
		defer close(s.done)
		_ = s.srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = s.srv.Close()
		<-s.done
	})
	return s
}

func TestASignalDrainsAndLosesNoRequest(t *testing.T) {
	s := startSlow(t)
	p := startProgram(t, "-port", "0", "-admin", "off", "-backend", s.ln.Addr().String())
	url := "http://" + p.address() + "/"
	got := make(chan string, 1)
	go func() {
		_, _, body := fetch(t, url)
		got <- body
	}()
	<-s.asked
	p.signals <- syscall.SIGINT
	p.err.await(t, "msg=draining signal=interrupt.*open=1")
	close(s.reply)
	require.Equal(t, "at last", <-got)
	require.Equal(t, exitOK, p.exit())
	require.NotContains(t, p.err.String(), "admin page")
}

func TestASecondSignalStopsAtOnce(t *testing.T) {
	s := startSlow(t)
	p := startProgram(t, "-port", "0", "-admin", "off", "-backend", s.ln.Addr().String())
	url := "http://" + p.address() + "/"
	cut := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		cut <- err
	}()
	<-s.asked
	p.signals <- syscall.SIGTERM
	p.err.await(t, "msg=draining")
	p.signals <- syscall.SIGTERM
	require.Equal(t, exitFailed, p.exit())
	require.Error(t, <-cut)
	require.Contains(t, p.err.String(), "1 connections were cut off")
	require.Contains(t, p.err.String(), `errors="shutdown=1"`)
}

func TestTCPModeCarriesBytes(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	p := startProgram(t, "-port", "0", "-admin", "off", "-mode", "tcp", "-backend", ln.Addr().String())
	client, err := net.Dial("tcp", p.address())
	require.NoError(t, err)
	_, err = fmt.Fprint(client, "ping")
	require.NoError(t, err)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	var text []byte
	for len(text) == 0 { // checks connect as well, and say nothing
		backend, err := ln.Accept()
		require.NoError(t, err)
		text, _ = io.ReadAll(backend)
		if len(text) > 0 {
			_, err = fmt.Fprint(backend, "pong")
			require.NoError(t, err)
		}
		require.NoError(t, backend.Close())
	}
	require.Equal(t, "ping", string(text))
	answer, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "pong", string(answer))
	require.NoError(t, client.Close())
	p.signals <- syscall.SIGTERM
	require.Equal(t, exitOK, p.exit())
}

func TestAPortInUseIsExplained(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	addr := ln.Addr().String()
	code, _, stderr := once(t, "-listen", addr, "-admin", "off")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "listen on "+addr)
	require.Contains(t, stderr, "another program has this port; stop it, or choose another port with -port or -listen")

	code, _, stderr = once(t, "-listen", "127.0.0.1:0", "-admin", addr)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "admin page")
	require.Contains(t, stderr, "-admin, or none with -admin off")
}

func TestVersionAndHelp(t *testing.T) {
	code, stdout, stderr := once(t, "-version")
	require.Equal(t, exitOK, code)
	require.True(t, strings.HasPrefix(stdout, "wavepool "), stdout)
	require.Empty(t, stderr)
	code, stdout, stderr = once(t, "-h")
	require.Equal(t, exitOK, code)
	require.Empty(t, stdout)
	for _, want := range []string{"usage: wavepool [flags]", "-backend address", "signals:", "exit codes:"} {
		require.Contains(t, stderr, want)
	}
}

func TestWrongFlagsSayWhatWasMeant(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-bakend", "a:1"}, "did you mean -backend?"},
		{[]string{"-strategy", "round-robbin"}, "did you mean round-robin?"},
		{[]string{"-strategy", "zzzzzz"}, "it is one of "},
		{[]string{"-mode", "tpc", "-backend", "a:1"}, "did you mean tcp?"},
		{[]string{"-mode", "tcp"}, "needs a -backend"},
		{[]string{"-port", "70000"}, "is not a port"},
		{[]string{"-port", "x"}, "invalid value"},
		{[]string{"-workers", "0"}, "is not positive"},
		{[]string{"-max-connections", "-1"}, "is not positive"},
		{[]string{"-idle-timeout", "0s"}, "is not positive"},
		{[]string{"-health-interval", "-1s"}, "is not positive"},
		{[]string{"-backend", "a:1,,b:1"}, "an empty address"},
		{[]string{"-backend", "nonsense"}, "nonsense"},
		{[]string{"-config", "/does/not/exist.yaml"}, "/does/not/exist.yaml"},
		{[]string{"serve"}, `unexpected argument "serve"`},
	} {
		code, stdout, stderr := once(t, c.args...)
		require.Equal(t, exitUsage, code, "%v: %s", c.args, stderr)
		require.Empty(t, stdout)
		require.True(t, strings.HasPrefix(stderr, "wavepool: "), stderr)
		require.Contains(t, stderr, c.want, "%v", c.args)
	}
}
