package proxy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/lb"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/http1"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// request parses a head of these fields.
func request(t require.TestingT, fields ...string) *http1.Request {
	var req http1.Request
	head := strings.Join(append([]string{"GET /a/b?c=d HTTP/1.1", "Host: a.test"}, fields...), "\r\n") + "\r\n\r\n"
	require.NoError(t, req.Parse([]byte(head), nil))
	return &req
}

func TestACookieIsFoundByItsName(t *testing.T) {
	cases := []struct {
		fields []string
		want   string
	}{
		{nil, ""},
		{[]string{"Cookie: sid=1"}, "1"},
		{[]string{"cookie: a=0; sid=1; b=2"}, "1"},
		{[]string{"Cookie: sid=1; sid=2"}, "1"},
		{[]string{"Cookie: a=b", "Cookie: sid=c"}, "c"}, // as HTTP/2 has them
		{[]string{"Cookie: sid=a=b"}, "a=b"},
		{[]string{`Cookie: sid="x y"`}, `"x y"`},
		{[]string{"Cookie: xsid=1"}, ""},
		{[]string{"Cookie: SID=1"}, ""}, // names have a case
		{[]string{"Cookie: sid"}, ""},
		{[]string{"Cookie: sid="}, ""},
		{[]string{"Cookie: ;;  sid=1;"}, "1"},
		{[]string{"Set-Cookie: sid=1"}, ""},
	}
	for _, c := range cases {
		require.Equal(t, c.want, string(cookie(request(t, c.fields...), "sid")), "%q", c.fields)
	}
}

func TestTheClientOfATrustedProxyIsTheLastOneThatIsNoProxy(t *testing.T) {
	cases := []struct {
		fields []string
		want   string // "" for none
	}{
		{nil, ""},
		{[]string{"X-Forwarded-For: 192.0.2.1"}, "192.0.2.1"},
		{[]string{"X-Forwarded-For: 6.6.6.6, 192.0.2.1"}, "192.0.2.1"},
		{[]string{"X-Forwarded-For: 6.6.6.6,192.0.2.1 , 10.0.0.1,10.0.0.2"}, "192.0.2.1"},
		{[]string{"x-forwarded-for: 192.0.2.1", "X-Forwarded-For: 10.0.0.1"}, "192.0.2.1"},
		{[]string{"X-Forwarded-For: ::ffff:192.0.2.1"}, "192.0.2.1"},
		{[]string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1"},
		{[]string{"X-Forwarded-For: 192.0.2.1, unknown"}, ""},
		{[]string{"X-Forwarded-For: 10.0.0.1"}, ""},
		{[]string{"X-Forwarded-For: ,"}, ""},
	}
	c := &httpConn{client: &client{}}
	c.work = &work{plan: &plan{edge: edge{trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}
	for _, k := range cases {
		c.req = *request(t, k.fields...)
		got := c.forwardedFor()
		if k.want == "" {
			require.False(t, got.IsValid(), "%q: %s", k.fields, got)
			continue
		}
		require.Equal(t, k.want, got.String(), "%q", k.fields)
	}
}

func TestTheKeyOfASourceIsThatOfItsNetwork(t *testing.T) {
	key := func(ip string) uint64 { return keyOfAddress(netip.MustParseAddr(ip)) }
	require.NotEqual(t, key("192.0.2.1"), key("192.0.2.2"))
	require.Equal(t, key("2001:db8::1"), key("2001:db8::2"), "one subscriber has a whole /64")
	require.NotEqual(t, key("2001:db8:0:1::1"), key("2001:db8:0:2::1"))
	require.Zero(t, keyOfAddress(netip.Addr{}))
}

func TestSettingsAndBalancerKnowTheSameStrategies(t *testing.T) {
	require.ElementsMatch(t, lb.Strategies(), config.Strategies())
	for _, name := range config.Strategies() {
		require.Equal(t, lb.ByKey(name), config.StrategyByKey(name), name)
		require.Equal(t, lb.SlowStarts(name), config.StrategySlowStarts(name), name)
	}
	require.Equal(t, upstream.MaxPriority, config.MaxPriority)
	require.False(t, lb.ByKey("nothing of the kind") || lb.SlowStarts("nothing of the kind"))
}

// What clients write into Cookie and X-Forwarded-For is theirs: it is read without a panic, and what is found was
// written there.
func FuzzKeysOfRequests(f *testing.F) {
	f.Add("a=0; sid=1", "192.0.2.1, 10.0.0.1")
	f.Add(";;=;sid", ",,")
	f.Add("sid=\"", "2001:db8::1%eth0")
	c := &httpConn{client: &client{}}
	c.work = &work{plan: &plan{edge: edge{trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}
	f.Fuzz(func(t *testing.T, cookies, forwarded string) {
		req := http1.Request{Fields: []http1.Field{
			{Name: []byte("Cookie"), Value: []byte(cookies)}, {Name: []byte("X-Forwarded-For"), Value: []byte(forwarded)},
		}}
		if value := cookie(&req, "sid"); len(value) > 0 {
			require.Contains(t, cookies, "sid="+string(value))
		}
		c.req = req
		if ip := c.forwardedFor(); ip.IsValid() {
			require.False(t, c.plan.edge.trusts(ip))
			require.Empty(t, ip.Zone())
		}
	})
}
