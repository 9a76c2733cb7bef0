package proxy

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

var (
	parameters = regexp.MustCompile(`;[^/\\]*`)
	slashes    = regexp.MustCompile(`[/\\]+`)
)

// backendReadings are what backends make of a path: each may do any of this, in any order that is found in the wild.
func backendReadings(p string) (all []string) {
	unescape := func(p string) string {
		if out, err := url.PathUnescape(p); err == nil {
			return out
		}
		return p
	}
	clean := func(p string) string { return path.Clean("/" + p) }
	cut := func(p string) string { return parameters.ReplaceAllString(p, "") }
	merge := func(p string) string { return slashes.ReplaceAllString(p, "/") }
	for _, one := range []string{p, unescape(p), unescape(unescape(p))} {
		all = append(all, merge(one), clean(one), clean(merge(one)), cut(merge(one)), clean(merge(cut(one))), clean(cut(one)))
	}
	return append(all, merge(unescape(cut(p))), clean(merge(unescape(merge(cut(p))))), clean(merge(cut(unescape(cut(p))))))
}

// A path that is let through leads to the same place whatever its backend makes of it.
func TestNoReadingOfAPathThatIsServedLeadsElsewhere(t *testing.T) {
	var tab table
	targets := map[string]*target{"all": {}, "api": {}, "deep": {}, "odd": {}}
	tab = newTable([]config.Route{
		{Match: config.Match{PathPrefix: "/api/v1"}, Upstream: "deep"}, {Match: config.Match{PathPrefix: "/api"}, Upstream: "api"},
		{Match: config.Match{PathPrefix: "/o:d"}, Upstream: "odd"}, {Match: config.Match{PathPrefix: "/"}, Upstream: "all"},
	}, targets)
	served := 0
	rapid.Check(t, func(t *rapid.T) {
		p := "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"api", "v1", "/", "/", "/", "o:d", "o%3Ad", "%61", "pi",
			"a", "%2561", "\\", ";", ";x=y", ".", "..", "%2e", "%2E", "%252e", "%2f", "%5c", "%252F", "%3b", "%25", "%20", "?", "x"}),
			0, 8).Draw(t, "parts"), "")
		to := tab.find([]byte("h"), []byte(p))
		if tab.ambiguous([]byte("h"), []byte(p), to, make([]byte, 0, 8)) {
			return
		}
		served++
		plain, _, _ := strings.Cut(p, "?")
		for _, reading := range backendReadings(plain) {
			require.Same(t, to, tab.lookUp([]byte("h"), []byte(reading)), "%q read as %q", p, reading)
		}
	})
	require.Positive(t, served)
}

func TestRoutesOfOtherPriorityLeadToTheSamePlace(t *testing.T) {
	targets := map[string]*target{"web": {}, "api": {}}
	tab := newTable([]config.Route{
		{Match: config.Match{PathPrefix: "/buy"}, Upstream: "web", Priority: config.PriorityHigh},
		{Match: config.Match{PathPrefix: "/bulk"}, Upstream: "web", Priority: config.PriorityLow},
		{Match: config.Match{PathPrefix: "/api"}, Upstream: "api", Priority: config.PriorityNormal},
		{Match: config.Match{PathPrefix: "/none"}, Upstream: "none", Priority: config.PriorityHigh},
		{Match: config.Match{PathPrefix: "/"}, Upstream: "web"},
	}, targets)
	at := func(path string) *target { return tab.find([]byte("h"), []byte(path)) }
	require.Equal(t, []upstream.Class{upstream.ClassHigh, upstream.ClassLow, upstream.ClassNormal, upstream.ClassNormal},
		[]upstream.Class{at("/buy").class, at("/bulk").class, at("/api").class, at("/").class})
	require.Same(t, targets["web"], at("/"))
	require.Nil(t, at("/none"))
	for _, a := range []string{"/buy", "/bulk", "/"} {
		for _, b := range []string{"/buy", "/bulk", "/"} {
			require.True(t, at(a).leadsWhere(at(b)), a+b)
		}
		require.False(t, at(a).leadsWhere(at("/api")) || at("/api").leadsWhere(at(a)) || at(a).leadsWhere(nil))
	}
	require.False(t, tab.ambiguous([]byte("h"), []byte("/%62uy"), at("/%62uy"), nil), "/buy is web's too")
	require.True(t, tab.ambiguous([]byte("h"), []byte("/%61pi"), at("/%61pi"), nil))
}
