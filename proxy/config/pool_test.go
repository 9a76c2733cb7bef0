package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// withPool is a configuration whose pool says that.
func withPool(pool string) string {
	return strings.Replace(minimal, `{backends`, `{pool: {`+pool+`}, backends`, 1)
}

func TestEachNumberOfAPoolIsTakenAtItsBoundsAndRefusedBeyondThem(t *testing.T) {
	for _, b := range []struct{ key, under, least, most, over string }{
		{"max_dials", "0", "1", "100000", "100001"},
		{"max_idle", "0", "1", "50", "51"}, // max_connections is 50
		{"max_uses", "0", "1", "1000000000", "1000000001"},
		{"min_connect_timeout", "999us", "1ms", "5s", "5001ms"}, // connect_timeout is 5s
		{"trim_every", "999us", "1ms", "24h", "86400001ms"},
		{"tcp_user_timeout", "999us", "1ms", "24h", "86400001ms"},
		{"leak_after", "999us", "1ms", "168h", "604800001ms"},
		{"predict: holt, predict_every", "9999us", "10ms", "1h", "3600001ms"},
		{"keep_alive: {idle", "999ms}", "1s}", "9h}", "32400001ms}"},
		{"keep_alive: {interval", "999ms}", "1s}", "9h}", "32400001ms}"},
		{"keep_alive: {count", "0}", "1}", "127}", "128}"},
	} {
		for _, good := range []string{b.least, b.most} {
			parse(t, withPool(b.key+": "+good))
		}
		for _, bad := range []string{b.under, b.over} {
			list := mistakes(t, withPool(b.key+": "+bad))
			require.Len(t, list, 1, "%s: %s", b.key, bad)
			require.Equal(t, 1+strings.Count(minimal[:strings.Index(minimal, "{backends")], "\n"), list[0].Line)
		}
	}
}

func TestWordsSwitchOffWhatAPoolDoes(t *testing.T) {
	c := parse(t, withPool("max_idle: off, max_uses: off, min_connect_timeout: off, trim_every: off, predict: off, "+
		"tcp_user_timeout: off, leak_after: off, keep_alive: {idle: off}"))
	p := c.Upstreams[0].Pool
	require.Equal(t, []time.Duration{Off, Off, 0, 0}, []time.Duration{p.MinConnectTimeout, p.TrimEvery, p.TCPUserTimeout, p.LeakAfter})
	require.Equal(t, []int{0, 0}, []int{p.MaxIdle, p.MaxUses})
	require.Equal(t, &KeepAlive{Idle: Off, Interval: 15 * time.Second, Count: 9}, p.KeepAlive)
	require.Equal(t, p, parse(t, marshalled(t, c)).Upstreams[0].Pool)
}

func marshalled(t *testing.T, c *Config) string {
	text, err := c.Marshal()
	require.NoError(t, err)
	return string(text)
}

func TestThePatienceOfADialFollowsAShorterConnectTimeout(t *testing.T) {
	p := parse(t, withPool("connect_timeout: 500ms")).Upstreams[0].Pool
	require.Equal(t, 500*time.Millisecond, p.MinConnectTimeout, "nobody contradicted himself")
	inGo := full()
	inGo.Upstreams[0].Pool = Pool{ConnectTimeout: 500 * time.Millisecond}
	require.Equal(t, p, inGo.WithDefaults().Upstreams[0].Pool)
	require.NoError(t, inGo.Validate())
}

func TestContradictionsInAPoolAreNamed(t *testing.T) {
	for pool, want := range map[string]string{
		"max_connections: 5, min_idle: 6":                  "min_idle: is more than max_connections (6 > 5)",
		"max_connections: 5, max_idle: 6":                  "max_idle: is more than max_connections (6 > 5); off bounds idle connections by that alone",
		"max_idle: 2, min_idle: 3":                         "min_idle: is more than max_idle (3 > 2)",
		"connect_timeout: 1s, min_connect_timeout: 1500ms": "min_connect_timeout: is more than connect_timeout (1.5s > 1s)",
		"predict_every: 2s":                                "predict_every: means nothing while predict is off",
		"predict: sometimes":                               `predict: unknown value "sometimes"; one of off, reactive, holt`,
		"order: fifi":                                      `order: unknown value "fifi"; did you mean fifo? (one of recent, fifo)`,
		"max_idel: 3":                                      "max_idel: unknown key; did you mean max_idle?",
		"keep_alive: off":                                  "keep_alive: want a mapping",
		"max_connections: x, max_idle: 6, min_idle: 3, max_uses: 1": "max_connections: want a whole number",
	} {
		list := mistakes(t, withPool(pool))
		require.Len(t, list, 1, "%v", list)
		require.Contains(t, fmt.Sprint(list[0]), want)
	}
}
