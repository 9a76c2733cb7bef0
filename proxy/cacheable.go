package proxy

import (
	"bytes"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/wavepool/wavepool/proxy/http1"
)

// Whether a cache that many clients share may keep an answer and give it to others: then a cookie of ours on it would be everybody's.
// What counts is what the answer says of itself (RFC 9111 section 3). Of one that says nothing a cache may think for itself, but most
// answers of programs say nothing, and caches hardly keep those that set a cookie.

// The fields that speak to caches: to all of them, and to shared ones alone (W3C Edge Architecture 1.0; of RFC 9213 section 2 there is one
// for each kind of them, by whose suffix they are known: CDN-Cache-Control is that of section 3, and networks have their own).
var (
	cacheControlField     = []byte("cache-control")
	surrogateControlField = []byte("surrogate-control")
	targetedSuffix        = []byte("-cache-control")
	expiresField          = []byte("expires")
)

// forShared says whether a field of that name speaks to shared caches alone.
func forShared(name []byte) bool {
	at := len(name) - len(targetedSuffix)
	return at > 0 && bytes.EqualFold(name[at:], targetedSuffix) || bytes.EqualFold(name, surrogateControlField)
}

// directives are those of a Cache-Control field, each as it stands there (RFC 9111 section 5.2): a token, which may have an argument
// that may be a quoted string.
func directives(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for quoted, from, at := false, 0, 0; at <= len(value); at++ {
			switch {
			case at == len(value) || value[at] == ',' && !quoted:
				if one := bytes.Trim(value[from:at], " \t"); len(one) > 0 && !yield(one) {
					return
				}
				from = at + 1
			case value[at] == '"':
				quoted = !quoted
			case value[at] == '\\' && quoted:
				at = min(at+1, len(value)-1)
			}
		}
	}
}

// named says whether a directive has that name.
func named(directive []byte, name string) bool {
	got, _, _ := bytes.Cut(directive, equals)
	return bytes.EqualFold(bytes.Trim(got, " \t"), []byte(name))
}

// lasts says whether the argument of a directive is a number of seconds above 0. One that is no number makes an answer stale (RFC 9111
// section 4.2.1), and one that is too large is a large one (section 1.2.2).
func lasts(directive []byte) bool {
	_, arg, _ := bytes.Cut(directive, equals)
	arg = bytes.Trim(arg, " \t\"")
	arg, _, _ = bytes.Cut(arg, []byte("+")) // of Surrogate-Control: for how long it may be used stale
	some := false
	for _, b := range arg {
		if b < '0' || b > '9' {
			return false
		}
		some = some || b != '0'
	}
	return some
}

// aboutOurs says whether private, or no-cache, speaks of a field that sets a cookie. With names it speaks of these fields alone: the rest
// of the answer may be kept, and used (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
func aboutOurs(directive []byte) bool {
	_, names, some := bytes.Cut(directive, equals)
	return !some || listHas(bytes.Trim(names, " \t\""), "set-cookie")
}

// caching is what the fields of one name say of an answer.
type caching struct {
	forbidden bool // not to be kept, or not without asking each time, or by its client alone
	public    bool
	validated bool // never used stale: then it may be kept where its request had credentials
	shared    int  // s-maxage: 1 says that it is more than 0, -1 that it is not
	all       int  // max-age, likewise
}

func cachingOf(fields []http1.Field, name []byte) (l caching) {
	sign := func(d []byte, was int) int {
		if lasts(d) || was > 0 {
			return 1
		}
		return -1
	}
	for i := range fields {
		if !bytes.EqualFold(fields[i].Name, name) {
			continue
		}
		for d := range directives(fields[i].Value) {
			switch {
			case named(d, "no-store"), (named(d, "private") || named(d, "no-cache")) && aboutOurs(d):
				l.forbidden = true
			case named(d, "must-revalidate"):
				l.validated = true
			case named(d, "public"):
				l.public = true
			case named(d, "s-maxage"):
				l.shared = sign(d, l.shared)
			case named(d, "max-age"):
				l.all = sign(d, l.all)
			}
		}
	}
	return l
}

// forAll says whether an answer says that a shared cache may keep it. Authorized: its request had credentials, so that only public,
// s-maxage and must-revalidate let it (RFC 9111 section 3.5).
func forAll(fields []http1.Field, authorized bool, now time.Time) bool {
	for i := range fields {
		if !forShared(fields[i].Name) {
			continue
		}
		if l := cachingOf(fields[i:i+1], fields[i].Name); l.all > 0 && !l.forbidden {
			return true
		}
	}
	l := cachingOf(fields, cacheControlField)
	authorized = authorized && !l.validated
	switch {
	case l.forbidden:
		return false
	case l.public || l.shared != 0:
		return l.public || l.shared > 0
	case l.all != 0 || authorized:
		return l.all > 0 && !authorized
	}
	for i := range fields {
		if bytes.EqualFold(fields[i].Name, expiresField) {
			at, err := http.ParseTime(string(fields[i].Value))
			return err == nil && at.After(now)
		}
	}
	return false
}

// forItsClient makes the fields of an answer say that its client alone may keep it, if they do not forbid that to all others already.
// The rest of what they say stays.
func forItsClient(fields []http1.Field) []http1.Field {
	var kept []byte
	if !cachingOf(fields, cacheControlField).forbidden {
		kept = []byte("private")
		for i := range fields {
			if !bytes.EqualFold(fields[i].Name, cacheControlField) {
				continue
			}
			for d := range directives(fields[i].Value) {
				if !named(d, "public") && !named(d, "s-maxage") {
					kept = append(append(kept, ", "...), d...)
				}
			}
		}
	}
	fields = slices.DeleteFunc(fields, func(f http1.Field) bool {
		own := bytes.EqualFold(f.Name, cacheControlField) && kept != nil
		return own || forShared(f.Name)
	})
	if kept != nil {
		fields = append(fields, http1.Field{Name: []byte("Cache-Control"), Value: kept})
	}
	return fields
}
