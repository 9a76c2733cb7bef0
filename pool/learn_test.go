package pool

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConnectionPoolLearnerBelievesThePeerLessAMargin(t *testing.T) {
	for told, want := range map[time.Duration]time.Duration{
		75 * time.Second: 67500 * time.Millisecond, // a tenth
		5 * time.Second:  4 * time.Second,          // a second
		time.Second:      500 * time.Millisecond,   // half
		0:                0,
		-time.Second:     0,
	} {
		var l learner
		l.tell(time.Hour)
		l.tell(told)
		require.Equal(t, want, l.timeout(0), told)
	}
}

func TestConnectionPoolLearnerConcludesFromThreeActsOfThePeerAndNotFromTwo(t *testing.T) {
	var l learner
	l.foundClosed(10*time.Second, 10*time.Second)
	l.foundClosed(20*time.Second, 10*time.Second)
	require.Zero(t, l.timeout(20*time.Second))
	l.foundClosed(32*time.Second, 12*time.Second)
	require.Equal(t, 9*time.Second, l.timeout(32*time.Second))
	l.tell(5 * time.Second)
	require.Equal(t, 4*time.Second, l.timeout(32*time.Second), "what was told is shorter")
	l.tell(time.Hour)
	require.Equal(t, 9*time.Second, l.timeout(32*time.Second), "what was seen is shorter")
}

func TestConnectionPoolLearnerLearnsNothingFromOneRestartHoweverLateItsTracesAreFound(t *testing.T) {
	var l learner
	const restart = 100 * time.Second
	for i := range 50 { // idle since different times before it, found at different times after it
		since, found := restart-time.Duration(i+1)*time.Second, restart+time.Duration(i)*time.Second
		l.foundClosed(found, found-since)
	}
	require.Zero(t, l.timeout(restart+50*time.Second))
}

func TestConnectionPoolLearnerIsContradictedByAGoodLookAtAnEqualAge(t *testing.T) {
	learned := func() *learner {
		l := new(learner)
		for i := range 3 {
			l.foundClosed(time.Duration(i+1)*10*time.Second, 10*time.Second)
		}
		return l
	}
	now := 31 * time.Second
	l := learned()
	l.foundGood(now, 10*time.Second-1)
	require.Equal(t, 9*time.Second, l.timeout(now))
	l.foundGood(now, 10*time.Second)
	require.Zero(t, l.timeout(now))
	for i := range 9 {
		now += 10 * time.Second
		l.foundClosed(now, time.Duration(i+2)*time.Second)
	}
	require.Zero(t, l.timeout(now), "closes that a good look in memory contradicts do not count")
	l = new(learner)
	l.foundGood(time.Second, time.Minute)
	for i := range 3 {
		l.foundClosed(learnMemory+time.Duration(i+1)*10*time.Second, 10*time.Second)
	}
	require.Equal(t, 9*time.Second, l.timeout(learnMemory+30*time.Second), "the good look is forgotten")
}

func TestConnectionPoolLearnerForgetsATimeoutForWhichNothingSpeaksAnyMore(t *testing.T) {
	var l learner
	for i := range 3 {
		l.foundClosed(time.Duration(i+1)*10*time.Second, 10*time.Second)
	}
	require.Equal(t, 9*time.Second, l.timeout(30*time.Second+learnMemory-1))
	require.Zero(t, l.timeout(30*time.Second+learnMemory))
}

func TestConnectionPoolLearnerIgnoresWhatIsTooShortToTell(t *testing.T) {
	var l learner
	for i := range 20 {
		l.foundClosed(time.Duration(i)*time.Minute, learnFloor-1)
	}
	require.Empty(t, l.episodes)
	for i := range 3 {
		l.foundClosed(time.Duration(i+1)*10*time.Second, learnFloor)
	}
	require.Equal(t, learnFloor, l.timeout(30*time.Second), "never below the floor")
}

// peerModel is a peer with a timeout of its own, and a pool that uses a stack of connections to it.
type peerModel struct {
	timeout     time.Duration // of the peer; a very long one stands for none
	idleTimeout time.Duration // of the pool
	l           learner
	now         time.Duration
	lookEvery   time.Duration // each idle connection is looked at so often; 0: only when it must
	idle        []restingConn // the last used on top
	onChange    func(time.Duration)
}

type restingConn struct {
	since time.Duration
	dead  bool // a restart closed it
}

// look tells the learner what a look at a connection finds.
func (m *peerModel) look(c restingConn) (good bool) {
	idle := m.now - c.since
	if good = !c.dead && idle < m.timeout; good {
		m.l.foundGood(m.now, idle)
	} else {
		m.l.foundClosed(m.now, idle)
	}
	m.onChange(m.l.timeout(m.now))
	return good
}

// pass lets time go by.
func (m *peerModel) pass(d time.Duration) {
	for m.lookEvery > 0 && d > m.lookEvery {
		d -= m.lookEvery
		m.expire(m.lookEvery)
		m.idle = slices.DeleteFunc(m.idle, func(c restingConn) bool { return !m.look(c) })
	}
	m.expire(d)
}

// expire lets time go by. Connections whose time has come are looked at and retired, the oldest first.
func (m *peerModel) expire(d time.Duration) {
	end := m.now + d
	for len(m.idle) > 0 {
		limit := m.idleTimeout
		if t := m.l.timeout(m.now); t > 0 {
			limit = min(limit, t)
		}
		at := max(m.idle[0].since+limit, m.now)
		if at > end {
			break
		}
		m.now = at
		c := m.idle[0]
		m.idle = m.idle[1:]
		m.look(c)
	}
	m.now = end
}

// use lends n connections for a while: the last used that are good, and new ones.
func (m *peerModel) use(n int, d time.Duration) {
	for got := 0; got < n && len(m.idle) > 0; {
		c := m.idle[len(m.idle)-1]
		m.idle = m.idle[:len(m.idle)-1]
		if m.look(c) {
			got++
		}
	}
	m.pass(d)
	for range n {
		m.idle = append(m.idle, restingConn{since: m.now})
	}
}

// restart closes every idle connection.
func (m *peerModel) restart() {
	for i := range m.idle {
		m.idle[i].dead = true
	}
}

// peerStep is one drawn step of a pattern of use.
type peerStep struct {
	pause, use time.Duration
	n          int
	restart    bool
}

func drawPattern(t *rapid.T, restarts bool) []peerStep {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) peerStep {
		ms := func(label string, most int) time.Duration {
			// Most pauses are short, some are long.
			d := math.Exp(rapid.Float64Range(0, math.Log(float64(most))).Draw(t, label))
			return time.Duration(d * float64(time.Millisecond))
		}
		return peerStep{
			pause: ms("pause", 60_000), use: ms("use", 3_000), n: rapid.IntRange(1, 6).Draw(t, "n"),
			restart: restarts && rapid.IntRange(0, 9).Draw(t, "restart") == 0,
		}
	}), 20, 200).Draw(t, "pattern")
}

func TestConnectionPoolLearnerNeverUndercutsATrueTimeoutByMoreThanAFifth(t *testing.T) {
	learned := 0
	rapid.Check(t, func(t *rapid.T) {
		timeout := time.Duration(rapid.IntRange(2_000, 40_000).Draw(t, "timeout")) * time.Millisecond
		m := peerModel{timeout: timeout, idleTimeout: 30 * time.Second}
		m.onChange = func(got time.Duration) {
			if got > 0 {
				learned++
				require.GreaterOrEqual(t, got, timeout/10*8)
				require.Less(t, got, m.idleTimeout)
			}
		}
		for _, s := range drawPattern(t, false) {
			m.pass(s.pause)
			m.use(s.n, s.use)
		}
	})
	require.NotZero(t, learned, "no pattern taught anything")
}

func TestConnectionPoolLearnerNeverExceedsATrueTimeoutWhereLooksAreFrequent(t *testing.T) {
	learned := 0
	rapid.Check(t, func(t *rapid.T) {
		timeout := time.Duration(rapid.IntRange(2_000, 25_000).Draw(t, "timeout")) * time.Millisecond
		m := peerModel{timeout: timeout, idleTimeout: 30 * time.Second, lookEvery: timeout / 20}
		m.onChange = func(got time.Duration) {
			if got > 0 {
				learned++
				require.LessOrEqual(t, got, timeout/100*95+1)
				require.GreaterOrEqual(t, got, timeout/10*8)
			}
		}
		for _, s := range drawPattern(t, false) {
			m.pass(s.pause)
			m.use(s.n, s.use)
		}
	})
	require.NotZero(t, learned, "no pattern taught anything")
}

func TestConnectionPoolLearnerClosesInOnTheTruthFromAboveWhereLooksAreRare(t *testing.T) {
	for timeout := 2 * time.Second; timeout < 20*time.Second; timeout += 700 * time.Millisecond {
		m := peerModel{timeout: timeout, idleTimeout: 30 * time.Second, onChange: func(time.Duration) {}}
		rounds := 0
		for ; m.l.seen == 0 || m.l.seen > timeout; rounds++ { // each time it is found dead as late as can be
			m.pass(29 * time.Second)
			m.use(1, 10*time.Millisecond)
			require.Less(t, rounds, 30)
		}
		for range 19 { // it holds for the time of the memory
			m.pass(29 * time.Second)
			m.use(1, 10*time.Millisecond)
			require.LessOrEqual(t, m.l.timeout(m.now), timeout/100*95)
			require.GreaterOrEqual(t, m.l.timeout(m.now), timeout/10*8)
		}
	}
}

func TestConnectionPoolLearnerKeepsItsTimeoutThroughASingleRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timeout := time.Duration(rapid.IntRange(4_000, 25_000).Draw(t, "timeout")) * time.Millisecond
		at := rapid.IntRange(0, 30).Draw(t, "restartAt")
		age := time.Duration(rapid.IntRange(1, 3_999).Draw(t, "age")) * time.Millisecond
		m := peerModel{timeout: timeout, idleTimeout: 30 * time.Second}
		m.onChange = func(got time.Duration) {
			if got > 0 {
				require.GreaterOrEqual(t, got, timeout/2)
			}
		}
		for i := range 30 {
			m.use(2, 10*time.Millisecond)
			if i == at {
				m.pass(age)
				m.restart()
				m.use(2, 10*time.Millisecond)
			}
			m.pass(29 * time.Second)
		}
	})
}

func TestConnectionPoolLearnerLearnsNothingThatLastsFromAPeerThatRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := peerModel{timeout: math.MaxInt64, idleTimeout: 30 * time.Second, onChange: func(time.Duration) {}}
		for _, s := range drawPattern(t, true) {
			m.pass(s.pause)
			if s.restart {
				m.restart()
			}
			m.use(s.n, s.use)
		}
		for range 70 { // it stays up: what was concluded wrongly is contradicted or forgotten
			m.use(3, time.Second)
			m.pass(9 * time.Second)
		}
		require.Zero(t, m.l.timeout(m.now))
	})
}
