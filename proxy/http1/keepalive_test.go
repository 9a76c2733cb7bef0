package http1

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIdleTimeoutIsReadStrictly(t *testing.T) {
	for value, want := range map[string]int{
		"timeout=5":               5,
		"timeout=5, max=1000":     5,
		"max=1000,TimeOut=75":     75,
		"timeout=86400":           86400,
		"timeout=00005":           5,
		"timeout=86401":           0,
		"timeout=999999999999999": 0,
		"timeout=0":               0,
		"timeout=-1":              0,
		"timeout=+5":              0,
		"timeout=5.0":             0,
		"timeout= 5":              0,
		"timeout =5":              0,
		`timeout="5"`:             0,
		"timeout=":                0,
		"timeout":                 0,
		"timeout=x, timeout=5":    0,
		"timeouts=5":              0,
		"5":                       0,
		",,;=":                    0,
	} {
		r := &Response{KeepAlive: true, Fields: []Field{{Name: []byte("keep-alive"), Value: []byte(value)}}}
		require.Equal(t, want, r.IdleTimeout(), "%q", value)
		r.KeepAlive = false
		require.Zero(t, r.IdleTimeout(), "a connection that ends has no idle time")
	}
	require.Zero(t, (&Response{KeepAlive: true}).IdleTimeout())
}

func FuzzIdleTimeout(f *testing.F) {
	for _, seed := range []string{"timeout=5, max=1000", "max=1,timeout=86400", "timeout=", "TIMEOUT=007"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := &Response{KeepAlive: true, Fields: []Field{{Name: []byte("Keep-Alive"), Value: []byte(value)}}}
		got := r.IdleTimeout()
		require.True(t, got >= 0 && got <= maxIdleTimeout)
		if got > 0 {
			require.Regexp(t, `(?i)timeout=[0-9]{1,5}`, value)
		}
	})
}
