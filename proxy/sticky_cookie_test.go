package proxy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/upstream"
)

var cookieNow = time.Unix(1_000_000_000, 0)

func testSticker(name string, secrets ...string) *sticker {
	k := &sticker{upstream: name, known: map[stickyID]string{}, cfg: config.Sticky{Cookie: "sid", TTL: time.Hour}}
	for _, s := range secrets {
		k.secrets = append(k.secrets, []byte(s))
	}
	return k
}

func listed(addresses ...string) func() []upstream.Backend {
	return func() (all []upstream.Backend) {
		for _, a := range addresses {
			all = append(all, upstream.Backend{Address: a})
		}
		return all
	}
}

const one, two = "0123456789abcdef", "fedcba9876543210"

func TestWhatBecomesOfACookie(t *testing.T) {
	value := testSticker("web", one).sign("b:80", cookieNow.Add(time.Hour))
	require.Len(t, value, cookieText)
	raw, err := base64.RawURLEncoding.DecodeString(value)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "b:80")
	for name, c := range map[string]struct {
		k       *sticker
		value   string
		at      time.Duration
		members func() []upstream.Backend
		want    Sticky
		first   bool
	}{
		"a good one":                           {testSticker("web", one), value, 0, listed("a:80", "b:80"), StickyHonoured, true},
		"of an older secret":                   {testSticker("web", two, one), value, 0, listed("b:80"), StickyHonoured, false},
		"just before its end":                  {testSticker("web", one), value, time.Hour - 1, listed("b:80"), StickyHonoured, true},
		"at its end":                           {testSticker("web", one), value, time.Hour, listed("b:80"), StickyExpired, false},
		"of a time to come, within the slack":  {testSticker("web", one), value, -time.Minute, listed("b:80"), StickyHonoured, true},
		"longer than the ttl":                  {testSticker("web", one), value, -time.Minute - 1, listed("b:80"), StickyExpired, false},
		"of a backend that is gone":            {testSticker("web", one), value, 0, listed("a:80"), StickyGone, false},
		"of a secret that has been taken away": {testSticker("web", two), value, 0, listed("b:80"), StickyForged, false},
		"of another upstream":                  {testSticker("api", one), value, 0, listed("b:80"), StickyForged, false},
		"empty":                                {testSticker("web", one), "", 0, listed("b:80"), StickyForged, false},
		"longer":                               {testSticker("web", one), value + "A", 0, listed("b:80"), StickyForged, false},
		"with a line end":                      {testSticker("web", one), value[:39] + "\n", 0, listed("b:80"), StickyForged, false},
		"not base64":                           {testSticker("web", one), strings.Repeat("*", cookieText), 0, listed("b:80"), StickyForged, false},
	} {
		address, _, first, what := c.k.read([]byte(c.value), cookieNow.Add(c.at), c.members)
		require.Equal(t, c.want, what, name)
		require.Equal(t, c.first, first, name)
		require.Equal(t, c.want == StickyHonoured, address == "b:80", name)
	}
	for i := range value {
		for _, other := range "Aa0_" {
			if byte(other) == value[i] {
				continue
			}
			forged := []byte(value)
			forged[i] = byte(other)
			_, _, _, what := testSticker("web", one).read(forged, cookieNow, listed("b:80"))
			require.Equal(t, StickyForged, what, "byte %d", i)
		}
	}
}

func TestBackendsAreLookedThroughOnceASecondAtMost(t *testing.T) {
	value := testSticker("web", one).sign("late:80", cookieNow.Add(time.Hour))
	k, looks, here := testSticker("web", one), 0, "a:80"
	members := func() []upstream.Backend {
		looks++
		return listed(here)()
	}
	read := func(at time.Duration) Sticky {
		_, _, _, what := k.read([]byte(value), cookieNow.Add(at), members)
		return what
	}
	for range 100 {
		require.Equal(t, StickyGone, read(0))
	}
	require.Equal(t, 1, looks)
	here = "late:80"
	require.Equal(t, StickyGone, read(time.Second-1))
	require.Equal(t, StickyHonoured, read(time.Second))
	require.Equal(t, StickyHonoured, read(time.Second))
	require.Equal(t, 2, looks)
	fresh := k.sign("new:80", cookieNow.Add(time.Hour))
	_, _, _, what := k.read([]byte(fresh), cookieNow.Add(time.Second), members)
	require.Equal(t, StickyHonoured, what, "one that we have named ourselves is known")
}

func TestTheBackendsOfTheSettingsAreKnownBeforeTheFirstCookieComes(t *testing.T) {
	s := &Server{cfg: Config{ReadFile: func(name string) ([]byte, error) { return []byte(name), nil }}}
	k, err := s.newSticker(&config.Upstream{Name: "web", Backends: []config.Backend{{Address: "a:80"}, {Address: "b:80"}},
		Sticky: &config.Sticky{SecretFiles: []string{one, two}, TTL: time.Hour, SameSite: config.SameSiteOff}})
	require.NoError(t, err)
	for _, secret := range []string{one, two} {
		value := testSticker("web", secret).sign("b:80", cookieNow.Add(time.Hour))
		address, _, _, what := k.read([]byte(value), cookieNow, func() []upstream.Backend {
			require.Fail(t, "those who come while one looks would lose their sessions at each reload")
			return nil
		})
		require.Equal(t, StickyHonoured, what)
		require.Equal(t, "b:80", address)
	}
}

// For -race. Without it the run time may end a process that reads a map while another goroutine writes to it.
func TestBackendsAreLookedThroughWhileOthersSign(t *testing.T) {
	k := testSticker("web", one)
	var addresses []string
	for i := range 200 {
		addresses = append(addresses, fmt.Sprintf("b%d:80", i))
	}
	value := testSticker("web", one).sign("b0:80", cookieNow.Add(time.Hour))
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for i := range 200 {
				k.mu.Lock()
				k.known, k.looked = map[stickyID]string{}, time.Time{}
				k.mu.Unlock()
				k.read([]byte(value), cookieNow, listed(addresses[:2]...))
				k.sign(addresses[i], cookieNow.Add(time.Hour))
			}
		})
	}
	done.Wait()
}

func TestTheFieldsThatSetACookieOfOurNameAreFound(t *testing.T) {
	field := func(name, value string) http1.Field { return http1.Field{Name: []byte(name), Value: []byte(value)} }
	fields := []http1.Field{field("X", "sid=1"), field("Set-Cookie", "sidd=1; sid=2"), field("set-cookie", " sid =1; Path=/"), field("SET-COOKIE", "sid")}
	require.Equal(t, 2, setsCookie(fields, "sid"))
	require.Equal(t, 3, setsCookie(append(fields[:2:2], field("a", "b"), fields[3]), "sid"))
	require.Equal(t, -1, setsCookie(fields, "SID"))
}

func TestTheWordsForCookiesAreAClosedList(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Stickies() {
		require.False(t, seen[s.String()])
		seen[s.String()] = true
	}
	require.Len(t, seen, NumStickies)
	require.Equal(t, "unknown", Sticky(NumStickies).String())
}

// Whatever a client sends, it is forged, or it is what we have signed; and nothing of it is read beyond its length.
func FuzzCookieThatNamesABackend(f *testing.F) {
	k := testSticker("web", one, two)
	good := k.sign("b:80", cookieNow.Add(time.Hour))
	older := testSticker("web", two).sign("b:80", cookieNow.Add(time.Minute))
	for _, value := range []string{good, older, good[1:], "", "sid=" + good, `"` + good + `"`, good + "; sid=" + older, strings.Repeat("A", cookieText)} {
		f.Add([]byte("a=b; sid=" + value + "; c"))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		req := &http1.Request{Fields: []http1.Field{{Name: []byte("Cookie"), Value: header}, {Name: []byte("cookie"), Value: []byte("sid=" + good)}}}
		before := bytes.Clone(header)
		last := ""
		for value := range cookies(req, "sid") {
			last = string(value)
			address, ends, _, what := k.read(value, cookieNow, listed("b:80"))
			if what == StickyHonoured {
				require.Contains(t, []string{good, older}, last)
				require.Equal(t, "b:80", address)
				require.True(t, ends.After(cookieNow))
			} else {
				require.Empty(t, address)
			}
		}
		require.Equal(t, good, last, "no crumb hides another field's")
		require.Equal(t, before, header)
	})
}
