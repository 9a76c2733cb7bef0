package config

import (
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// maxUnavailableBody bounds Unavailable.Body.
const maxUnavailableBody = 64 << 10

// Unavailable is the answer of status 503 that the proxy gives itself where nothing else is left: no backend of the upstream is
// available, or too many requests wait, or one has waited for too long. HTTP only; a connection of a TCP listener is closed.
type Unavailable struct {
	// RetryAfter tells the client when to try again (RFC 9110 section 10.2.3), in whole seconds: a part of one is a whole
	// one. Key retry_after, default 1s, from 1s to 24h, or Off: nothing is told.
	RetryAfter time.Duration
	// Body is the answer's content. Key body, default empty: a line that says why. At most 64 KiB.
	Body string
	// ContentType is that of Body. Key content_type, default "text/plain; charset=utf-8", of at most 256 visible characters.
	ContentType string
}

func defaultUnavailable() Unavailable {
	return Unavailable{RetryAfter: time.Second, ContentType: "text/plain; charset=utf-8"}
}

func (a *Unavailable) fill() {
	d := defaultUnavailable()
	fill(&a.RetryAfter, d.RetryAfter)
	fill(&a.ContentType, d.ContentType)
}

func (a *Unavailable) form() form.Form {
	return form.Form{
		{Key: "retry_after", Value: form.DurationOrOff(&a.RetryAfter, time.Second, day, Off)},
		{Key: "body", Value: form.String(&a.Body, checkUnavailableBody)},
		{Key: "content_type", Value: form.String(&a.ContentType, checkContentType)},
	}
}

func checkUnavailableBody(s string) string {
	if len(s) > maxUnavailableBody {
		return "must have at most 64 KiB"
	}
	return ""
}

func checkContentType(s string) string {
	kind, _, _ := strings.Cut(s, ";")
	main, sub, isType := strings.Cut(strings.TrimSpace(kind), "/")
	visible := strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) < 0
	if !isType || main == "" || sub == "" || !visible || len(s) > 256 || strings.TrimSpace(s) != s {
		return "want a media type such as text/html; charset=utf-8"
	}
	return ""
}
