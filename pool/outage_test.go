package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// logged is a dialer that writes down what becomes of each dial.
type logged struct {
	*fakeNet
	mu  sync.Mutex
	log []logLine
}

type logLine struct {
	at, begun time.Time
	end, ok   bool
}

func (d *logged) write(l logLine) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, l)
}

func (d *logged) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	begun := d.clk.Now()
	d.write(logLine{at: begun, begun: begun})
	nc, err := d.fakeNet.DialContext(ctx, network, address)
	if ctx.Err() != context.Canceled { // by Close
		d.write(logLine{at: d.clk.Now(), begun: begun, end: true, ok: err == nil})
	}
	return nc, err
}

// check holds the log against the promise: from the first failed dial to the next success there is one dial at a time, and
// none before the pause has passed. Dials that began in the very instant of a failure did not know of it.
func (d *logged) check(t *rapid.T, least, most time.Duration) (probes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var failures, rounds, probing int
	var first, roundAt, notBefore time.Time
	probe := map[time.Time]bool{}
	for _, l := range d.log {
		switch {
		case !l.end && failures > 0 && l.at.After(first):
			probes++
			require.Zero(t, probing, "two probes at a time")
			require.False(t, l.at.Before(notBefore), "%v too early", notBefore.Sub(l.at))
			probing, probe[l.begun] = 1, true
		case l.end && probe[l.begun]:
			probing = 0
			fallthrough
		case l.end && l.ok:
			if l.ok {
				failures, rounds = 0, 0
				break
			}
			fallthrough
		case l.end:
			if failures++; failures == 1 {
				first = l.at
			}
			if rounds == 0 || !l.begun.Before(roundAt) {
				full := min(least<<min(rounds, 20), most)
				rounds++
				roundAt, notBefore = l.at, l.at.Add(full/2)
			}
		}
	}
	return probes
}

// outageCaller is one borrower of the property below.
type outageCaller struct {
	at, stay, hold time.Duration
	need           int

	asked, served time.Time
	err           error
}

type outageScript struct {
	cfg     Config
	seed    uint64
	delay   time.Duration
	turns   []time.Duration // the backend goes down, and up, and so on
	callers []*outageCaller
}

// shortIdle is an idle timeout that may be shorter than a dial, so that MinIdle is never reached.
const shortIdle = 70 * time.Millisecond

func drawOutage(t *rapid.T) outageScript {
	ms := func(from, to int, name string) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Millisecond
	}
	s := outageScript{
		seed: rapid.Uint64().Draw(t, "seed"), delay: ms(1, 150, "delay"),
		cfg: Config{
			MaxConnections: rapid.IntRange(1, 6).Draw(t, "max"), MaxDials: rapid.IntRange(1, 4).Draw(t, "maxDials"),
			RetryMin: ms(20, 200, "retryMin"), RetryMax: ms(200, 1000, "retryMax"),
			IdleTimeout: rapid.SampledFrom([]time.Duration{-1, shortIdle, time.Second}).Draw(t, "idle"),
			Patience:    rapid.SampledFrom([]float64{-1, 0.25}).Draw(t, "patience"),
		},
	}
	s.cfg.MinIdle = rapid.IntRange(0, min(s.cfg.MaxConnections, 2)).Draw(t, "minIdle")
	for range rapid.IntRange(0, 8).Draw(t, "turns") {
		s.turns = append(s.turns, ms(1, 8000, "turn"))
	}
	slices.Sort(s.turns)
	for range rapid.IntRange(1, 40).Draw(t, "callers") {
		s.callers = append(s.callers, &outageCaller{
			at: ms(0, 9000, "at"), stay: ms(1, 3000, "stay"), hold: ms(0, 600, "hold"),
			need: rapid.IntRange(1, min(s.cfg.MaxConnections, 3)).Draw(t, "need"),
		})
	}
	return s
}

func TestConnectionPoolSendsOneProbeAtATimeAndEndsEveryCallerWhateverTheBackendDoes(t *testing.T) {
	probes, turnedAway := 0, uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		s := drawOutage(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			n, away := runOutage(t, s)
			probes, turnedAway = probes+n, turnedAway+away
		})
	})
	t.Logf("%d probes, %d callers turned away", probes, turnedAway)
	require.Positive(t, probes, "the scripts show nothing")
}

func runOutage(t *rapid.T, s outageScript) (probes int, turnedAway uint64) {
	d := &logged{fakeNet: newFakeNet(s.delay)}
	cfg := s.cfg
	cfg.Address, cfg.Dialer = "a:1", d
	cfg.Rand = func(string) *rand.Rand { return rand.New(rand.NewPCG(s.seed, 1)) }
	p, err := New(cfg)
	require.NoError(t, err)
	p.Warm()
	var wg sync.WaitGroup
	for i, at := range s.turns {
		wg.Go(func() {
			// Between the milliseconds at which dials end: of two that end in one instant, one well and one not, the log
			// cannot know which of them the pool has heard first.
			p.clk.Sleep(at + 500*time.Microsecond)
			d.setFail(i%2 == 0)
		})
	}
	for _, c := range s.callers {
		wg.Go(func() { c.live(t, p) })
	}
	for range 200 {
		p.clk.Sleep(50 * time.Millisecond)
		synctest.Wait()
		checkOutage(t, p)
	}
	wg.Wait()
	if s.cfg.IdleTimeout < 0 { // else one may be served with what has died, and goes to the head of the line again
		checkOrder(t, s.callers)
	}
	d.setFail(false)
	p.clk.Sleep(3 * time.Second)
	c, err := p.Lend(context.Background())
	require.NoError(t, err)
	c.Release()
	st := p.Stats()
	for n := 0; st.Idle < s.cfg.MinIdle && s.cfg.IdleTimeout != shortIdle; n++ {
		require.Less(t, n, 500)
		p.clk.Sleep(time.Millisecond)
		st = p.Stats()
	}
	_, most := d.count()
	require.LessOrEqual(t, most, s.cfg.MaxDials)
	p.Close()
	requireConserved(t, p.Stats())
	require.Zero(t, d.open())
	require.Zero(t, p.running)
	return d.check(t, s.cfg.RetryMin, s.cfg.RetryMax), st.TurnedAway
}

// live borrows what the caller needs, or gives up after its stay.
func (c *outageCaller) live(t *rapid.T, p *Pool) {
	p.clk.Sleep(c.at)
	ctx, cancel := p.clk.WithTimeout(context.Background(), c.stay)
	defer cancel()
	c.asked = p.clk.Now()
	conns, err := p.GetN(ctx, 0, c.need)
	c.served, c.err = p.clk.Now(), err
	if err == nil {
		p.clk.Sleep(c.hold)
		ReleaseAll(conns)
		return
	}
	var dial *DialError
	known := errors.As(err, &dial) || errors.Is(err, context.DeadlineExceeded)
	require.True(t, known, "%v", err)
	if err == context.DeadlineExceeded {
		require.Equal(t, c.stay, c.served.Sub(c.asked), "the deadline is exact")
	}
}

// checkOutage holds what must be true at any time.
func checkOutage(t *rapid.T, p *Pool) {
	s := p.Stats()
	requireConserved(t, s)
	p.lock()
	defer p.unlock()
	// What is lent is missed by MinIdle only when something else happens.
	wanted := p.waiters.need > 0 || p.lacksIdleLocked() && p.readyLocked() == 0 || p.outage.asked
	if p.outage.holds() && wanted {
		require.True(t, p.outage.probing || p.paceAt != never || p.slotsLocked() == 0, "nobody will try again: %+v", s)
	}
	if s.Down {
		require.LessOrEqual(t, s.Waiting, s.Dialling, "somebody waits in vain: %+v", s)
	}
}

// checkOrder holds that whoever came first was served first.
func checkOrder(t *rapid.T, callers []*outageCaller) {
	for _, a := range callers {
		for _, b := range callers {
			if a.err == nil && b.err == nil && a.asked.Before(b.asked) {
				require.False(t, b.served.Before(a.served), "served out of turn: %+v %+v", a, b)
			}
		}
	}
}
