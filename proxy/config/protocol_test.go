package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAProtocolOfBackendsIsOneThatTheUpstreamCanSpeak(t *testing.T) {
	const head = "listeners: [{address: \":80\", upstream: web}]\nupstreams: {web: {backends: [{address: \"10.0.0.1:80\"}], "
	require.Equal(t, UpstreamHTTP1, parse(t, head+"}}").Upstreams[0].Protocol)
	require.Equal(t, UpstreamHTTP2, parse(t, head+"protocol: http2}}").Upstreams[0].Protocol)
	require.Equal(t, UpstreamAuto, parse(t, head+"protocol: auto, tls: {}}}").Upstreams[0].Protocol)
	for text, says := range map[string]string{
		head + "protocol: auto}}": "auto is chosen in the handshake of TLS",
		head + "protocol: h2}}":   "http2",
		"listeners: [{address: \":80\", protocol: tcp, upstream: web}]\nupstreams: {web: {backends: [{address: \"10.0.0.1:80\"}], protocol: http2}}":                                                   "which a listener of protocol tcp cannot use",
		"listeners: [{address: \":80\", protocol: tcp, upstream: web}]\nupstreams: {web: {backends: [{address: \"10.0.0.1:80\"}], adaptive_concurrency: {}}}":                                          "learns from answers",
		"listeners: [{address: \":80\", protocol: tcp, routes: [{match: {host: a.test}, upstream: web}]}]\nupstreams: {web: {backends: [{address: \"10.0.0.1:80\"}], adaptive_concurrency: {max: 5}}}": "learns from answers",
	} {
		_, err := Parse("test.yaml", []byte(text))
		require.ErrorContains(t, err, says)
	}
}
