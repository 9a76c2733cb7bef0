package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheAnswerOfAnUnavailableUpstreamIsBounded(t *testing.T) {
	with := func(section string) string {
		return strings.Replace(minimal, `{backends`, `{unavailable: {`+section+`}, backends`, 1)
	}
	require.Len(t, parse(t, with(`body: "`+strings.Repeat("x", 64<<10)+`"`)).Upstreams[0].Unavailable.Body, 64<<10)
	require.Contains(t, mistakes(t, with(`body: "`+strings.Repeat("x", 64<<10+1)+`"`))[0].Error(), "must have at most 64 KiB")
	require.Equal(t, "a/"+strings.Repeat("b", 254), parse(t, with(`content_type: a/`+strings.Repeat("b", 254))).Upstreams[0].Unavailable.ContentType)
	for _, bad := range []string{"html", "/html", "text/", `"text/html\r\nX: y"`, `" text/html"`, "a/" + strings.Repeat("b", 255), "té/xt"} {
		require.Contains(t, mistakes(t, with("content_type: "+bad))[0].Error(), "want a media type", bad)
	}
	require.Contains(t, mistakes(t, with("retry_after: 25h"))[0].Error(), "retry_after")
}
