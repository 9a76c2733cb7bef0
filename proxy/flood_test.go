package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wavepool/wavepool/proxy"
)

// roleEnv makes the test binary a process of another kind, so that what each takes can be told from what the others take:
// roleBackend, or the address of one, before which it is the proxy that is attacked.
const (
	roleEnv     = "WAVEPOOL_ROLE"
	roleBackend = "backend"
)

// toll is what an attack has cost the proxy so far.
type toll struct {
	CPU    time.Duration
	Heap   uint64 // bytes in use, what is garbage included
	Floods uint64
}

// reached is what has come to the backend.
type reached struct{ Requests, Bytes int64 }

// play is the other process. It writes its address, and a line of JSON for each line that it reads, until there are no more.
func play(role string) {
	var address net.Addr
	var tell func(how string) any
	var err error
	if role == roleBackend {
		address, tell, err = beBackend()
	} else {
		address, tell, err = beAttacked(role)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(address)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_ = json.NewEncoder(os.Stdout).Encode(tell(lines.Text()))
	}
}

func beAttacked(backend string) (net.Addr, func(string) any, error) {
	s := talkSettings("127.0.0.1:0", []string{backend})
	s.Upstreams[0].Pool.MaxConnections = 200
	server, err := proxy.New(proxy.Config{Settings: s})
	if err == nil {
		err = server.Start(context.Background())
	}
	if err != nil {
		return nil, nil, err
	}
	return server.Addrs()[0], func(how string) any {
		if how == "clean" {
			runtime.GC()
		}
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		return toll{took(), mem.HeapInuse, server.Stats().Floods}
	}, nil
}

// big is the answer that a slow reader asks for.
const big = 8 << 20

func beBackend() (net.Addr, func(string) any, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	var requests, told atomic.Int64
	body := make([]byte, big)
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Good") == "" {
			requests.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/big" {
			_, _ = w.Write(body)
		}
	})}
	go func() { _ = backend.Serve(counting{ln, &told}) }()
	return ln.Addr(), func(string) any { return reached{requests.Load(), told.Load()} }, nil
}

// siege is a proxy under attack with its backend.
type siege struct {
	t       *testing.T
	front   string
	proxy   *child
	backend *child
	spent   atomic.Int64 // bytes that the attacker has sent
	got     atomic.Int64 // bytes that it was sent
}

// child is another process that plays.
type child struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func begin(t *testing.T, role string) (*child, string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	c := &child{t, in, bufio.NewScanner(out)}
	require.True(t, c.out.Scan())
	return c, c.out.Text()
}

func (c *child) ask(how string, answer any) {
	_, err := io.WriteString(c.in, how+"\n")
	require.NoError(c.t, err)
	require.True(c.t, c.out.Scan())
	require.NoError(c.t, json.Unmarshal(c.out.Bytes(), answer))
}

func besiege(t *testing.T) *siege {
	s := &siege{t: t}
	var address string
	s.backend, address = begin(t, roleBackend)
	s.proxy, s.front = begin(t, address)
	return s
}

// toll asks the proxy.
func (s *siege) toll(how string) (t toll) {
	s.proxy.ask(how, &t)
	return t
}

// reached asks the backend.
func (s *siege) reached() (r reached) {
	s.backend.ask("", &r)
	return r
}

// counting counts what is read from its connections.
type counting struct {
	net.Listener
	n *atomic.Int64
}

func (l counting) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countingConn{nc, l.n}, nil
}

type countingConn struct {
	net.Conn
	n *atomic.Int64
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// attacker is one connection of an attack, whose frames are written by the thousand.
type attacker struct {
	s     *siege
	nc    net.Conn
	buf   bytes.Buffer
	fr    *http2.Framer
	head  bytes.Buffer
	enc   *hpack.Encoder
	next  uint32
	ended chan string // how the connection has ended: the code of its GOAWAY, or "cut"
	told  atomic.Bool // that there was a GOAWAY
	data  chan int    // sizes of DATA, where it is wanted
	last  atomic.Uint32
	fates chan bool // one for each head and each reset that comes; false for a GOAWAY
}

func (s *siege) attack(settings ...http2.Setting) *attacker {
	nc, err := (&net.Dialer{}).DialContext(s.t.Context(), "tcp", s.front)
	require.NoError(s.t, err)
	require.NoError(s.t, nc.SetDeadline(time.Now().Add(hung)))
	a := &attacker{s: s, nc: nc, next: 1, ended: make(chan string, 1), data: make(chan int, 1<<16), fates: make(chan bool, 1<<16)}
	a.fr, a.enc = http2.NewFramer(&a.buf, nil), hpack.NewEncoder(&a.head)
	a.fr.AllowIllegalWrites = true
	a.buf.WriteString(http2.ClientPreface)
	_ = a.fr.WriteSettings(settings...)
	go a.listen()
	return a
}

// listen reads what comes, until the end.
func (a *attacker) listen() {
	how := "cut"
	fr := http2.NewFramer(nil, countingConn{a.nc, &a.s.got})
	fr.SetMaxReadFrameSize(1 << 20)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			close(a.data)
			close(a.fates)
			a.ended <- how
			return
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if f.LastStreamID == 1<<31-1 { // a warning, which is not heeded
				continue
			}
			how = f.ErrCode.String()
			a.last.Store(f.LastStreamID)
			a.told.Store(true)
			a.fates <- false
		case *http2.HeadersFrame, *http2.RSTStreamFrame:
			select {
			case a.fates <- true:
			default:
			}
		case *http2.DataFrame:
			select {
			case a.data <- len(f.Data()):
			default:
			}
		}
	}
}

// flush sends what has been put together, and says whether the connection still takes it.
func (a *attacker) flush() bool {
	n, err := a.nc.Write(a.buf.Bytes())
	a.s.spent.Add(int64(n))
	a.buf.Reset()
	return err == nil
}

// end waits for the other side to end the connection.
func (a *attacker) end() string {
	how := <-a.ended
	_ = a.nc.Close()
	return how
}

// leave ends it.
func (a *attacker) leave() {
	_ = a.nc.Close()
	<-a.ended
}

// open puts the head of a stream together.
func (a *attacker) open(end bool, path string, more ...hpack.HeaderField) uint32 {
	id := a.next
	a.next += 2
	a.head.Reset()
	method := "POST"
	if end {
		method = "GET"
	}
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: path},
	}, more...) {
		_ = a.enc.WriteField(f)
	}
	_ = a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: a.head.Bytes(), EndHeaders: true, EndStream: end})
	return id
}

// served checks that another client is.
func (s *siege) served() {
	s.t.Helper()
	req := request("GET", "http://"+s.front+"/", nil)
	req.Header.Set("Good", "1")
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr, Timeout: hung}).Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, 200, resp.StatusCode)
}

// took is what this process has used of the processor.
func took() time.Duration {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// flood is one way to attack. It is made often, each time on a new connection.
type flood struct {
	name     string
	requests int64    // at most so many reach the backend for each connection
	ends     []string // how a connection may end; none: the attacker leaves it
	attack   func(s *siege) *attacker
}

const (
	rounds     = 10
	mostHeap   = 64 << 20
	amplifying = 100
)

func (f *flood) run(t *testing.T) {
	s := besiege(t)
	s.served()
	before, mine := s.toll("clean"), took()
	peak := before.Heap
	var attackers []*attacker
	for i := range rounds {
		attackers = append(attackers, f.attack(s))
		if i%5 == 0 {
			s.served()
		}
		peak = max(peak, s.toll("").Heap)
		if f.ends == nil {
			attackers[i].leave()
		}
	}
	for _, a := range attackers {
		if f.ends != nil {
			require.Contains(t, f.ends, a.end())
		}
	}
	s.served()
	after := s.toll("")
	cpu, own := after.CPU-before.CPU, took()-mine
	end := s.reached()
	spent, sent := s.spent.Load(), s.got.Load()+end.Bytes
	t.Logf("%-28s bytes %6.2f (%d for %d)  CPU %6.2f (%v for %v)  heap +%.1f MiB  requests %d  ended %d", f.name,
		float64(sent)/float64(spent), sent, spent, float64(cpu)/float64(own), cpu.Round(time.Millisecond), own.Round(time.Millisecond),
		float64(peak-before.Heap)/(1<<20), end.Requests, after.Floods)
	require.Less(t, sent, amplifying*spent, "bytes")
	if !raceEnabled { // whose work is none of the proxy's
		require.Less(t, cpu, amplifying*own, "CPU")
	}
	require.Less(t, peak-before.Heap, uint64(mostHeap), "memory")
	require.LessOrEqual(t, end.Requests, rounds*f.requests, "requests at the backend")
}

func TestFloodsOfHTTP2AreBoundedAndAmplifyLessThanAHundredfold(t *testing.T) {
	for _, f := range floods() {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), f.run)
	}
}
