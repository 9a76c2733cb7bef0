package config

import (
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Sticky has a client's requests go to the backend that answered its first one, by a cookie that the answer sets. The cookie names the
// backend without telling its address, and is signed (HMAC-SHA256); one that is forged, expired, of another upstream or of a
// backend that is no more is ignored and counted. While its backend is available a request waits for room there, as far as
// Queue.MaxWaitingPerBackend lets it; beyond that, and when its backend is down, ejected, or gone, another one answers, and the cookie names that from then on. A backend that is being drained keeps its sessions,
// whose cookies are not renewed, and gets no others. It stands beside whatever strategy.
type Sticky struct {
	// Cookie is its name, a token of RFC 6265. Key cookie, default wavepool. Two upstreams with routes of one host, in one listener, have
	// different names, or paths.
	Cookie string
	// SecretFiles are files of which each holds a secret of 16 to 4096 bytes (newlines at the end do not count), best from
	// a source of chance (head -c 32 /dev/urandom | base64). The first signs, and all are believed: a new one is put at the
	// end of all proxies' lists first, then at their beginning, and the old one is taken away when TTL has passed. They are read
	// again at each reload. Key secret_files, at least one, at most 10. A relative path begins at the folder of the file.
	SecretFiles []string
	// TTL is how long a cookie holds. A client that comes again when half of it is over gets a new one. Key ttl, default 24h,
	// from 1s to 8760h.
	TTL time.Duration
	// Path is the part of the site for which the client sends it. Key path, default /.
	Path string
	// Secure says whether the client is to send it over TLS alone: SecureAuto, the default, where the answer goes over TLS
	// itself; SecureOn; SecureOff. Key secure.
	Secure string
	// SameSite says what requests from other sites carry it: SameSiteLax, the default, SameSiteStrict, SameSiteNone, which
	// needs SecureOn, or SameSiteOff, which leaves it to the client. Key same_site.
	SameSite string
	// OnCacheable says what becomes of the cookie where an answer to GET or HEAD says that a cache which many clients share may keep
	// it (RFC 9111: public, or s-maxage, max-age or Expires, without private, no-store and no-cache, of which those that name fields
	// count where Set-Cookie is among them; CDN-Cache-Control and its like, RFC 9213, and Surrogate-Control
	// likewise): everybody would get the cookie of one. CacheableSkip, the default, sets none there: a session
	// begins with the first answer that is the client's own. CacheablePrivate sets it, and has such answers, and those that say
	// nothing, say Cache-Control: private: caches in front keep nothing that a client gets who comes without a cookie.
	// CacheableSet sets it. Key on_cacheable.
	OnCacheable string
}

// The words of Sticky.
const (
	SecureAuto = "auto"
	SecureOn   = "on"
	SecureOff  = "off"

	SameSiteLax    = "lax"
	SameSiteStrict = "strict"
	SameSiteNone   = "none"
	SameSiteOff    = "off"

	CacheableSkip    = "skip"
	CacheablePrivate = "private"
	CacheableSet     = "set"
)

func defaultSticky() Sticky {
	return Sticky{Cookie: "wavepool", TTL: 24 * time.Hour, Path: "/", Secure: SecureAuto, SameSite: SameSiteLax,
		OnCacheable: CacheableSkip}
}

// filled returns a copy with its defaults, or nil.
func (s *Sticky) filled() *Sticky {
	if s == nil {
		return nil
	}
	out, d := *s, defaultSticky()
	fill(&out.Cookie, d.Cookie)
	fill(&out.TTL, d.TTL)
	fill(&out.Path, d.Path)
	fill(&out.Secure, d.Secure)
	fill(&out.SameSite, d.SameSite)
	fill(&out.OnCacheable, d.OnCacheable)
	out.SecretFiles = append([]string(nil), s.SecretFiles...)
	return &out
}

func (s *Sticky) form() form.Form {
	return form.Form{
		{Key: "cookie", Value: form.String(&s.Cookie, checkCookie)},
		{Key: "secret_files", Value: form.Strings(&s.SecretFiles, 10, required)},
		{Key: "ttl", Value: form.Duration(&s.TTL, time.Second, 365*day)},
		{Key: "path", Value: form.String(&s.Path, checkCookiePath)},
		{Key: "secure", Value: form.OneOf(&s.Secure, SecureAuto, SecureOn, SecureOff)},
		{Key: "same_site", Value: form.OneOf(&s.SameSite, SameSiteLax, SameSiteStrict, SameSiteNone, SameSiteOff)},
		{Key: "on_cacheable", Value: form.OneOf(&s.OnCacheable, CacheableSkip, CacheablePrivate, CacheableSet)},
	}
}

func checkCookie(s string) string {
	if s == "" || len(s) > 64 || !token(s) {
		return "want the name of a cookie, at most 64 letters, digits and !#$%&'*+-.^_`|~; got \"" + s + "\""
	}
	return ""
}

func checkCookiePath(s string) string {
	if msg := checkPath(s); msg != "" {
		return msg
	}
	if len(s) > 256 || strings.ContainsRune(s, ';') {
		return "want at most 256 bytes without a semicolon, which would end it"
	}
	return ""
}

// check finds the settings that contradict each other.
func (s *Sticky) check(r *form.Report, path string) {
	if s == nil || r.Skipped(path) {
		return
	}
	at := func(key string) string { return form.Join(path, key) }
	if len(s.SecretFiles) == 0 && !r.Failed(path, at("secret_files")) {
		r.Fail(at("secret_files"), "is required: at least one file with a secret")
	}
	if r.Failed(at("secure")) {
		return
	}
	if s.SameSite == SameSiteNone && s.Secure != SecureOn && !r.Failed(at("same_site")) {
		r.Fail(at("same_site"), "none is believed by clients only with secure: on")
	}
	switch {
	case r.Failed(at("cookie"), at("path")):
	case strings.HasPrefix(s.Cookie, "__Host-") && (s.Secure != SecureOn || s.Path != "/"):
		r.Fail(at("cookie"), "a name that begins with __Host- needs secure: on, and the path /")
	case strings.HasPrefix(s.Cookie, "__Secure-") && s.Secure != SecureOn:
		r.Fail(at("cookie"), "a name that begins with __Secure- needs secure: on")
	}
}

// checkCookies finds upstreams of one host whose cookies overwrite each other: each answer of one would end the session with the other.
func (c *Config) checkCookies(r *form.Report, path string, l *Listener) {
	if r.Skipped(path) || l.Protocol == ProtocolTCP {
		return
	}
	type cookie struct{ host, name, path string }
	of := make(map[cookie]string)
	for _, to := range l.Routes {
		u := c.UpstreamNamed(to.Upstream)
		if u == nil || u.Sticky == nil {
			continue
		}
		at := form.Join(form.Join("upstreams", u.Name), "sticky")
		is := cookie{strings.ToLower(to.Match.Host), u.Sticky.Cookie, u.Sticky.Path}
		switch first := of[is]; {
		case first == "":
			of[is] = u.Name
		case first != u.Name && !r.Failed(at, form.Join(at, "cookie"), form.Join(at, "path")):
			r.Fail(form.Join(at, "cookie"), "is that of %s too, which has routes of the same host: each would end the sessions of the other; "+
				"give one of them another name", first)
		}
	}
}
