package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// balanced is a configuration with these lines in its upstream.
func balanced(lines string) string {
	return "listeners: [{address: \":8080\", upstream: web}]\nupstreams:\n  web:\n    backends: [{address: \"10.0.0.1:80\"}]\n    " +
		strings.ReplaceAll(lines, "\n", "\n    ") + "\n"
}

func TestAStrategyByKeyHasAKeyWhateverTheFileSays(t *testing.T) {
	cases := map[string]Hash{
		"strategy: maglev":                                                         {HashSource, "", Off},
		"strategy: ring-hash\nhash:":                                               {HashSource, "", Off},
		"strategy: maglev\nhash: {source_address: true}":                           {HashSource, "", Off},
		"strategy: maglev\nhash: {source_address: false, path: true}":              {HashPath, "", Off},
		"strategy: rendezvous\nhash: {balance_factor: 101}":                        {HashSource, "", 101},
		"strategy: maglev\nhash: {header: X-User, balance_factor: 125}":            {HashHeader, "X-User", 125},
		"strategy: maglev\nhash: {cookie: __Host-sid, balance_factor: 1000}":       {HashCookie, "__Host-sid", 1000},
		"strategy: maglev\nhash: {path: false, header: \"true\"}":                  {HashHeader, "true", Off},
		"strategy: maglev\nhash: {path: true, balance_factor: \"${FACTOR:-150}\"}": {HashPath, "", 150},
		"strategy: maglev\nhash: {balance_factor: 200, source_address: \"true\"}":  {HashSource, "", 200},
	}
	for text, want := range cases {
		c := parse(t, balanced(text))
		require.Equal(t, &want, c.Upstreams[0].Hash, text)
		require.NoError(t, c.Validate(), text)
	}
	for _, strategy := range Strategies() {
		c := parse(t, balanced("strategy: "+strategy))
		require.Equal(t, StrategyByKey(strategy), c.Upstreams[0].Hash != nil, strategy)
	}
}

func TestAHashBuiltInGoIsCheckedAsOneInAFile(t *testing.T) {
	for msg, h := range map[string]Hash{
		"want source_address, header, cookie or path": {By: "weather"},
		"path has no name":                            {By: HashPath, Name: "x"},
		"want the name of a header":                   {By: HashHeader},
		"want the name of a cookie":                   {By: HashCookie, Name: "a=b"},
		"balance_factor":                              {BalanceFactor: 1001},
	} {
		c := parse(t, balanced("strategy: maglev"))
		c.Upstreams[0].Hash = &h
		require.ErrorContains(t, c.Validate(), msg)
	}
	c := parse(t, balanced("strategy: maglev"))
	c.Upstreams[0].Hash = &Hash{}
	require.NoError(t, c.Validate())
	require.Equal(t, Hash{}, *c.Upstreams[0].Hash, "who checks changes nothing")
	want := DefaultHash()
	require.Equal(t, &want, c.WithDefaults().Upstreams[0].Hash)
	c = c.WithDefaults()
	c.Upstreams[0].Strategy = StrategyRandom
	require.NoError(t, c.Validate(), "defaults are nobody's mistake")
	require.Nil(t, c.WithDefaults().Upstreams[0].Hash)
	c.Upstreams[0].Hash.BalanceFactor = 200
	require.ErrorContains(t, c.Validate(), "means nothing to random")
}

func TestABackupIsOfTheSecondTier(t *testing.T) {
	c := parse(t, strings.Replace(balanced("slow_start: 30s"), `{address: "10.0.0.1:80"}`,
		`{address: "10.0.0.1:80"}, {address: "10.0.0.2:80", backup: true}, {address: "10.0.0.3:80", backup: false, weight: 2},
		{address: "10.0.0.4:80", priority: 15}`, 1))
	require.Equal(t, []Backend{{"10.0.0.1:80", 1, 0, ""}, {"10.0.0.2:80", 1, 1, ""}, {"10.0.0.3:80", 2, 0, ""},
		{"10.0.0.4:80", 1, 15, ""}},
		c.Upstreams[0].Backends)
	require.Equal(t, 30*time.Second, c.Upstreams[0].SlowStart)
}
