package netsim

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Three hosts in a ring: each serves an echo, and each has a client that asks the next one. What is searched
// is what faults do to them.
const (
	fuzzHosts    = 3
	fuzzRequests = 8  // of each client
	fuzzFaults   = 10 // at most, in one schedule
)

func fuzzHost(i int) string { return string(rune('a' + i%fuzzHosts)) }

// fuzzKind is one kind of fault; a and b are names of hosts, n is a number to make something of.
type fuzzKind struct {
	name string
	make func(s *Sim, a, b string, n int) *Fault // nil: see fuzzRing.fault
}

var fuzzKinds = []fuzzKind{
	{"partition", func(s *Sim, a, b string, _ int) *Fault { return s.Partition(a, b) }},
	{"partition-one-way", func(s *Sim, a, b string, _ int) *Fault { return s.PartitionOneWay(a, b) }},
	{"silent-drop", func(s *Sim, a, _ string, _ int) *Fault { return s.SilentDrop(a, "*") }},
	{"unreachable", func(s *Sim, a, b string, _ int) *Fault { return s.Unreachable(a, b) }},
	{"refuse", func(s *Sim, a, _ string, n int) *Fault { return s.Refuse(a, n%2*80) }},
	{"slow-link", func(s *Sim, a, b string, n int) *Fault {
		return s.SlowLink(a, b, Link{Latency: time.Duration(n) * ms, Jitter: 20 * ms, Loss: float64(n%8) / 20})
	}},
	{"idle-forget", func(s *Sim, a, b string, n int) *Fault {
		return s.IdleForget(a, b, time.Duration(n)*ms, n%2 == 0)
	}},
	{"conntrack-loss", func(s *Sim, a, b string, n int) *Fault { return s.ConntrackLoss(a, b, n%2 == 0) }},
	{"drip", func(s *Sim, a, b string, n int) *Fault { return s.Drip(a, b, int64(100+20*n)) }},
	{"corrupt", func(s *Sim, a, b string, n int) *Fault { return s.Corrupt(a, b, float64(n)/255) }},
	{"clog", func(s *Sim, a, b string, _ int) *Fault { return s.Clog(a, b) }},
	{"swizzle", func(s *Sim, _, _ string, n int) *Fault {
		return s.Swizzle([]string{"a", "b", "c"}, time.Duration(1+n)*ms, time.Duration(n)*ms)
	}},
	{"accept-without-service", func(s *Sim, a, _ string, _ int) *Fault { return s.AcceptWithoutService(a) }},
	{"stall", func(s *Sim, a, _ string, _ int) *Fault { return s.Stall(a) }},
	{"pause", func(s *Sim, a, _ string, _ int) *Fault { return s.Pause(a) }},
	{"fail-dns", func(s *Sim, a, _ string, _ int) *Fault { return s.FailDNS(a) }},
	{"no-such-host", func(s *Sim, a, _ string, _ int) *Fault { return s.NoSuchHost(a) }},
	{"timeout-dns", func(s *Sim, a, _ string, _ int) *Fault { return s.TimeoutDNS(a) }},
	{"change-dns", func(s *Sim, a, b string, _ int) *Fault { return s.ChangeDNS(a, "192.0.2.1", s.Host(b, "").Addr()) }},
	{"skew-clock", func(s *Sim, a, _ string, n int) *Fault { return s.SkewClock(a, time.Duration(n-128)*time.Second) }},
	{"jump-clock", func(s *Sim, a, _ string, n int) *Fault { return s.JumpClock(a, time.Duration(n-128)*time.Hour) }},
	{"drift-clock", func(s *Sim, a, _ string, n int) *Fault { return s.DriftClock(a, float64(n-128)*1000) }},
	{"reset-conns", nil},
	{"crash", nil},
	{"kill", nil},
}

// fuzzStep is one fault of a schedule: five bytes of the input.
type fuzzStep struct {
	kind      fuzzKind
	a, b      string
	n         int
	at, lasts time.Duration
}

// fuzzSchedule reads an input: the seed, and five bytes for each fault.
func fuzzSchedule(in []byte) (seed uint64, steps []fuzzStep) {
	if len(in) == 0 {
		return 0, nil
	}
	for rest := in[1:]; len(rest) >= 5 && len(steps) < fuzzFaults; rest = rest[5:] {
		hosts := int(rest[1])
		steps = append(steps, fuzzStep{kind: fuzzKinds[int(rest[0])%len(fuzzKinds)], a: fuzzHost(hosts),
			b: fuzzHost(hosts/fuzzHosts + 1), n: int(rest[2]), at: time.Duration(rest[3]) * 4 * ms,
			lasts: time.Duration(rest[4]) * 16 * ms})
	}
	return uint64(in[0]), steps
}

// fuzzRing is the program. Its counts are changed by goroutines of one simulation, each at its own instant.
type fuzzRing struct {
	s                       *Sim
	mu                      sync.Mutex
	begun, answered, failed int
	wrong                   int // answers that are not what was asked
	outcomes                []string
}

func (r *fuzzRing) run(s *Sim, steps []fuzzStep) {
	r.s = s
	s.SetDNSLatency(ms)
	var wg sync.WaitGroup
	for i := range fuzzHosts {
		r.serve(s.Host(fuzzHost(i), fmt.Sprint("10.0.0.", i+1)))
	}
	for i := range fuzzHosts {
		start(s.Clock(), &wg, func() { r.client(s.Host(fuzzHost(i), ""), fuzzHost(i+1)) })
	}
	for _, f := range steps {
		start(s.Clock(), &wg, func() {
			s.Clock().Sleep(f.at)
			r.fault(f)
		})
	}
	wg.Wait()
	s.Clock().Sleep(time.Hour) // what is left of connections ends by itself
}

func (r *fuzzRing) fault(f fuzzStep) {
	h := r.s.Host(f.a, "")
	switch {
	case f.kind.make != nil:
		fault := f.kind.make(r.s, f.a, f.b, f.n)
		r.s.Clock().Sleep(f.lasts)
		fault.Stop()
		return
	case f.kind.name == "reset-conns":
		r.s.ResetConns(f.a, f.b)
		return
	case f.kind.name == "crash":
		h.Crash()
	default:
		h.Kill()
	}
	r.s.Clock().Sleep(f.lasts)
	h.Restart()
	r.serve(h)
}

// serve has the host answer. A host that serves already, or is down, does not mind.
func (r *fuzzRing) serve(h *Host) {
	h.Go("server", func(ctx context.Context) {
		l, err := h.Listen(ctx, "tcp", ":80")
		if err != nil {
			return
		}
		defer l.Close()
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.Go(fmt.Sprint("echo", n), func(context.Context) { echo(h, c) })
		}
	})
}

// echo answers until the client is silent for too long.
func echo(h *Host, c net.Conn) {
	defer c.Close()
	b := make([]byte, 700)
	for {
		_ = c.SetDeadline(h.Clock().Now().Add(5 * time.Second))
		n, err := c.Read(b)
		if err == nil {
			_, err = c.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// client asks so many times, over one connection while it lasts.
func (r *fuzzRing) client(h *Host, server string) {
	var c net.Conn
	for i := range fuzzRequests {
		r.count(func() { r.begun++ })
		err := error(nil)
		if c == nil {
			ctx, cancel := h.Clock().WithTimeout(context.Background(), 2*time.Second)
			c, err = h.DialContext(ctx, "tcp", server+":80")
			cancel()
		}
		if err == nil {
			err = r.ask(h, c, i)
			if err != nil {
				_ = c.Close()
				c = nil
			}
		} else {
			c = nil
		}
		r.count(func() {
			if err == nil {
				r.answered++
			} else {
				r.failed++
			}
			r.outcomes = append(r.outcomes, fmt.Sprint(h.Name(), i, err))
		})
		r.s.Clock().Sleep(100 * ms)
	}
	if c != nil {
		_ = c.Close()
	}
}

func (r *fuzzRing) ask(h *Host, c net.Conn, i int) error {
	_ = c.SetDeadline(h.Clock().Now().Add(3 * time.Second))
	asked := make([]byte, 1+i*i*100)
	for j := range asked {
		asked[j] = byte(j*7 + i)
	}
	if _, err := c.Write(asked); err != nil {
		return err
	}
	got := make([]byte, len(asked))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != string(asked) {
		r.count(func() { r.wrong++ })
	}
	return nil
}

func (r *fuzzRing) count(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// nothingLeft looks into the simulation after everything has ended.
func (r *fuzzRing) nothingLeft(t require.TestingT) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.rules)
	require.Empty(t, s.services)
	require.Empty(t, s.clocks)
	require.Empty(t, s.names.faults)
	for _, h := range s.hosts {
		require.Empty(t, h.dials, h.name)
		require.Empty(t, h.lookups, h.name)
		require.Empty(t, h.resets, h.name)
		require.Nil(t, h.gate.head, h.name)
		require.NotNil(t, h.listeners[80], "%s serves again", h.name)
		require.Empty(t, h.listeners[80].queue, h.name)
		require.Zero(t, h.listeners[80].halfOpen, h.name)
		require.Empty(t, h.conns, h.name)
	}
}

// check runs one schedule twice and looks at what must hold whatever happens.
func (r *fuzzRing) check(t require.TestingT, in []byte) Result {
	seed, steps := fuzzSchedule(in)
	cfg := Config{Seed: seed, Latency: ms, Jitter: ms, SendBuffer: 2000, RecvBuffer: 1500, UserTimeout: 20 * time.Second,
		KeepTrace: true}
	res := Run(cfg, func(s *Sim) {
		r.run(s, steps)
		r.nothingLeft(t)
	})
	require.NoError(t, res.Err, "%+v", steps)
	require.Equal(t, fuzzHosts*fuzzRequests, r.begun)
	require.Equal(t, r.begun, r.answered+r.failed)
	corrupted := false
	for i := range res.Trace.Events {
		corrupted = corrupted || res.Trace.Events[i].Kind == "corrupt"
	}
	if !corrupted {
		require.Zero(t, r.wrong, "bytes differ or come out of order")
	}
	if len(steps) == 0 {
		require.Equal(t, r.begun, r.answered)
	}
	again := &fuzzRing{}
	second := Run(cfg, func(s *Sim) { again.run(s, steps) })
	require.NoError(t, second.Err)
	require.Empty(t, Diff(res.Trace, second.Trace))
	require.Equal(t, r.outcomes, again.outcomes)
	return res
}

func FuzzFaultSchedules(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) { new(fuzzRing).check(t, in) })
}

func TestEveryKindOfFaultAloneKeepsThePromisesOfFaultSchedules(t *testing.T) {
	for i, kind := range fuzzKinds {
		t.Run(kind.name, func(t *testing.T) {
			r := new(fuzzRing)
			res := r.check(t, []byte{1, byte(i), 4, 130, 30, 60})
			told := func(e Event) bool { return strings.Contains(e.Actor+e.Kind, strings.TrimSuffix(kind.name, "-conns")) }
			found := false
			for _, e := range res.Trace.Events {
				found = found || told(e)
			}
			require.True(t, found, "the trace does not tell of it")
			t.Logf("trace %016x", res.Hash)
		})
	}
}

const fuzzCorpus = "testdata/fuzz/FuzzFaultSchedules"

func TestTheCorpusOfFaultSchedulesHoldsEveryKind(t *testing.T) {
	files, err := os.ReadDir(fuzzCorpus)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(fuzzCorpus, f.Name()))
		require.NoError(t, err)
		_, quoted, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(string(text)), ")"), "[]byte(")
		require.True(t, ok, f.Name())
		in, err := strconv.Unquote(quoted)
		require.NoError(t, err)
		_, steps := fuzzSchedule([]byte(in))
		for _, step := range steps {
			seen[step.kind.name] = true
		}
	}
	for _, kind := range fuzzKinds {
		require.True(t, seen[kind.name], kind.name)
	}
}
