package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/http1"
)

// fieldsOf are those of lines.
func fieldsOf(lines ...string) (fields []http1.Field) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, http1.Field{Name: []byte(name), Value: []byte(strings.TrimPrefix(value, " "))})
	}
	return fields
}

func linesOf(fields []http1.Field) (lines []string) {
	for _, f := range fields {
		lines = append(lines, string(f.Name)+": "+string(f.Value))
	}
	return lines
}

func TestWhichAnswersAreForAll(t *testing.T) {
	later, earlier := "Expires: Sun, 09 Sep 2001 01:46:41 GMT", "Expires: Sun, 09 Sep 2001 01:46:40 GMT" // cookieNow is the latter
	for _, c := range []struct {
		promise string
		lines   []string
		open    bool // to a request without credentials
		known   bool // to one with them
	}{
		{"it says nothing", nil, false, false},
		{"nothing to caches", []string{"Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT", "ETag: \"a\""}, false, false},
		{"public", []string{"Cache-Control: public"}, true, true},
		{"in any case", []string{"cache-CONTROL: Public"}, true, true},
		{"public, and always asked about", []string{"Cache-Control: public, max-age=0"}, true, true},
		{"it lasts", []string{"Cache-Control: max-age=1"}, true, false},
		{"it lasts long", []string{"Cache-Control: max-age=99999999999999999999"}, true, false},
		{"quoted", []string{"Cache-Control: max-age=\"60\""}, true, false},
		{"it does not last", []string{"Cache-Control: max-age=0"}, false, false},
		{"nor so", []string{"Cache-Control: max-age=00"}, false, false},
		{"no number", []string{"Cache-Control: max-age=-1, max-age=1x, max-age"}, false, false},
		{"one of two", []string{"Cache-Control: max-age=0, max-age=5"}, true, false},
		{"one of two, the other way", []string{"Cache-Control: max-age=5, max-age=0"}, true, false},
		{"shared caches have a time of their own", []string{"Cache-Control: max-age=0, s-maxage=1"}, true, true},
		{"or none", []string{"Cache-Control: max-age=60, s-maxage=0"}, false, false},
		{"private", []string{"Cache-Control: private, max-age=60"}, false, false},
		{"private in another field", []string{"Cache-Control: public, max-age=60", "Cache-Control: private"}, false, false},
		{"other fields of it", []string{"Cache-Control: private=\"x, y\", max-age=60"}, true, false},
		{"not even that", []string{"Cache-Control: private=\"\", max-age=60"}, true, false},
		{"the cookie alone", []string{"Cache-Control: private=\"x, Set-Cookie\", max-age=60"}, false, false},
		{"without quotes", []string{"Cache-Control: max-age=60, private=set-cookie"}, false, false},
		{"one that is like it", []string{"Cache-Control: max-age=60, private=\"set-cookie2\""}, true, false},
		{"a quoted comma ends nothing", []string{"Cache-Control: x=\"a, private, \\\" no-store\", max-age=60"}, true, false},
		{"not kept", []string{"Cache-Control: public,no-store"}, false, false},
		{"asked about each time", []string{"Cache-Control: no-cache, max-age=60"}, false, false},
		{"the cookie is asked about", []string{"Cache-Control: public, no-cache=\"set-cookie\""}, false, false},
		{"another field is asked about", []string{"Cache-Control: public, no-cache=\"x\""}, true, true},
		{"asked about when it is old", []string{"Cache-Control: max-age=60, must-revalidate"}, true, true},
		{"asked about at an instant", []string{later, "Cache-Control: Must-Revalidate"}, true, true},
		{"asked about, though it does not last", []string{"Cache-Control: max-age=0, must-revalidate"}, false, false},
		{"until an instant", []string{later}, true, false},
		{"which is over", []string{earlier}, false, false},
		{"which is none", []string{"Expires: 0"}, false, false},
		{"not asked for where there is a time", []string{later, "Cache-Control: max-age=0"}, false, false},
		{"nor where it is forbidden", []string{later, "Cache-Control: no-store"}, false, false},
		{"something else is said", []string{later, "Cache-Control: no-transform"}, true, false},
		{"shared caches alone", []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=60"}, true, true},
		{"not for them", []string{"CDN-Cache-Control: max-age=60, private"}, false, false},
		{"those of one network alone", []string{"Cache-Control: no-store", "Some-CDN-cache-control: max-age=60"}, true, true},
		{"one of two networks", []string{"A-Cache-Control: no-store", "B-Cache-Control: max-age=60"}, true, true},
		{"another field", []string{"X-Cache-Control-Was: max-age=60", "Cache-Controls: max-age=60"}, false, false},
		{"surrogates", []string{"Cache-Control: private", "Surrogate-Control: max-age=60+600, content=\"ESI/1.0\""}, true, true},
		{"no surrogates", []string{"Surrogate-Control: no-store, max-age=60"}, false, false},
		{"empty", []string{"Cache-Control: ,, ,"}, false, false},
	} {
		require.Equal(t, c.open, forAll(fieldsOf(c.lines...), false, cookieNow), c.promise)
		require.Equal(t, c.known, forAll(fieldsOf(c.lines...), true, cookieNow), c.promise)
	}
}

func TestAnAnswerIsMadeItsClientsOwn(t *testing.T) {
	for _, c := range [][2]string{
		{"", "Cache-Control: private"},
		{"Cache-Control: public, max-age=60, S-MAXAGE=5, x=\"public, y\"", "Cache-Control: private, max-age=60, x=\"public, y\""},
		{"A: b|Cache-Control: public|ETag: c|cache-control: max-age=7", "A: b|ETag: c|Cache-Control: private, max-age=7"},
		{"Cache-Control: private, max-age=60|CDN-Cache-Control: max-age=60|A: b", "Cache-Control: private, max-age=60|A: b"},
		{"Surrogate-Control: max-age=1|Cache-Control: no-store", "Cache-Control: no-store"},
		{"Some-CDN-Cache-Control: max-age=60|A: b", "A: b|Cache-Control: private"},
		{"Cache-Control: private=\"x\", max-age=60", "Cache-Control: private, private=\"x\", max-age=60"},
	} {
		var lines []string
		if c[0] != "" {
			lines = strings.Split(c[0], "|")
		}
		require.Equal(t, strings.Split(c[1], "|"), linesOf(forItsClient(fieldsOf(lines...))))
	}
}

// Directives come apart at the commas outside of quotes, and at those alone; an answer that has been made its client's own is for nobody
// else, and the rest of what it says stays in its order.
func FuzzCacheControl(f *testing.F) {
	for _, value := range []string{"public, max-age=60", "x=\"a, \\\" b\", private", "\"", "\\", "a=\"\\", ",,\t ,", "s-maxage = 5", "max-age=\"0", "no-cache=\"set-cookie\"",
		"public , MAX-AGE=1+2"} {
		f.Add([]byte(value), []byte("max-age=0"))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var said []string
		for _, value := range [][]byte{one, two} {
			from := 0
			for d := range directives(value) {
				at := strings.Index(string(value[from:]), string(d))
				require.GreaterOrEqual(t, at, 0)
				between := string(value[from : from+at])
				require.Empty(t, strings.Trim(between, " \t,"), "nothing is left out")
				require.Equal(t, strings.Trim(string(d), " \t"), string(d))
				require.True(t, from == 0 || strings.Contains(between, ","), "they are apart")
				from += at + len(d)
				said = append(said, string(d))
			}
			require.Empty(t, strings.Trim(string(value[from:]), " \t,"))
		}
		fields := []http1.Field{{Name: []byte("Cache-Control"), Value: one}, {Name: []byte("cache-control"), Value: two}}
		forbidden := cachingOf(fields, cacheControlField).forbidden
		own := forItsClient(slices.Clone(fields))
		require.False(t, forAll(own, false, time.Time{}))
		if forbidden {
			require.Equal(t, linesOf(fields), linesOf(own))
			return
		}
		said = slices.DeleteFunc(said, func(d string) bool { return named([]byte(d), "public") || named([]byte(d), "s-maxage") })
		require.Len(t, own, 1)
		require.Equal(t, strings.Join(append([]string{"private"}, said...), ", "), string(own[0].Value))
	})
}
