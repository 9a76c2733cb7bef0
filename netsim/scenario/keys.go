package scenario

import (
	"errors"
	"math"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
	"github.com/wavepool/wavepool/proxy/http1"
)

const (
	day      = 24 * time.Hour
	tick     = time.Millisecond // the least that a timeout may be
	maxBody  = 16 << 20
	maxItems = 1000 // of most lists
)

func defaultLink() Link { return Link{Latency: 500 * time.Microsecond, Jitter: 100 * time.Microsecond} }

func defaultBackend() Backend {
	return Backend{Service: constant(5 * time.Millisecond), Concurrency: 100, BodyBytes: 200, MaxStreams: 100}
}

func defaultClient() Client {
	return Client{KeepAlive: true, Timeout: 10 * time.Second, Method: "GET", Path: "/", Connections: maxItems,
		Arrivals: Arrivals{Think: constant(100 * time.Millisecond)}}
}

// form binds the top of the file. This and the functions below are the one table of keys.
func (sc *Scenario) form() form.Form {
	return form.Form{
		{Key: "name", Value: form.String(&sc.Name, checkName)},
		{Key: "about", Value: form.String(&sc.About, nil)},
		{Key: "seed", Value: form.Int(&sc.seed, 0, math.MaxInt)},
		{Key: "duration", Value: optional{form.Duration(&sc.Duration, time.Second, day),
			func() bool { return sc.Duration == 0 }}},
		{Key: "proxy", Value: proxyValue{sc: sc}},
		{Key: "dns", Value: dnsValue{p: &sc.DNS}},
		{Key: "backends", Value: form.List(&sc.Backends, maxItems, defaultBackend, (*Backend).form)},
		{Key: "network", Value: form.Form{
			{Key: "default", Value: form.Form(sc.Network.Default.keys())},
			{Key: "links", Value: form.List(&sc.Network.Links, maxItems, func() Link { return Link{} }, (*Link).form)},
		}},
		{Key: "clients", Value: form.List(&sc.Clients, 100, defaultClient, (*Client).form)},
		{Key: "faults", Value: faultsValue{p: &sc.Faults}},
		{Key: "random_faults", Value: form.Optional(&sc.Random, defaultRandomFaults, (*RandomFaults).form)},
		{Key: "operations", Value: operationsValue{sc: sc}},
		{Key: "expect", Value: expectValue{p: &sc.Expect}},
	}
}

func (b *Backend) form() form.Form {
	return form.Form{
		{Key: "address", Value: form.String(&b.Address, nil)},
		{Key: "service", Value: b.Service.form()},
		{Key: "concurrency", Value: form.Int(&b.Concurrency, 1, 100_000)},
		{Key: "body_bytes", Value: form.Size(&b.BodyBytes, 0, maxBody)},
		{Key: "error_rate", Value: shareValue{p: &b.ErrorRate}},
		{Key: "error_service", Value: b.ErrorService.form()},
		{Key: "stall_rate", Value: shareValue{p: &b.StallRate}},
		{Key: "paths", Value: form.List(&b.Paths, 100, func() BackendPath { return BackendPath{ErrorRate: -1, BodyBytes: -1} },
			(*BackendPath).form)},
		{Key: "cold", Value: form.Form{
			{Key: "for", Value: optional{form.Duration(&b.Cold.For, tick, day), func() bool { return b.Cold.For == 0 }}},
			{Key: "factor", Value: factorValue{p: &b.Cold.Factor}},
		}},
		{Key: "protocol", Value: optional{form.OneOf(&b.Protocol, config.UpstreamHTTP1, config.UpstreamHTTP2),
			func() bool { return b.Protocol == "" }}},
		{Key: "max_streams", Value: form.Int(&b.MaxStreams, 1, 10_000)},
		{Key: "close_after_requests", Value: form.IntOrOff(&b.CloseAfterRequests, 1, 1_000_000, 0)},
		{Key: "close_idle_after", Value: form.DurationOrOff(&b.CloseIdleAfter, tick, day, 0)},
	}
}

func (p *BackendPath) form() form.Form {
	return form.Form{
		{Key: "prefix", Value: form.String(&p.Prefix, valid(http1.ValidPath, "a beginning of paths, such as /slow"))},
		{Key: "service", Value: p.Service.form()},
		{Key: "error_rate", Value: shareValue{p: &p.ErrorRate}},
		{Key: "body_bytes", Value: optional{form.Size(&p.BodyBytes, 0, maxBody), func() bool { return p.BodyBytes == -1 }}},
	}
}

func (l *Link) keys() []form.Field {
	return []form.Field{
		{Key: "latency", Value: form.Duration(&l.Latency, 0, time.Hour)},
		{Key: "jitter", Value: form.Duration(&l.Jitter, 0, time.Hour)},
		{Key: "loss", Value: shareValue{p: &l.Loss}},
	}
}

func (l *Link) form() form.Form {
	return append(form.Form{{Key: "between", Value: betweenValue{p: &l.Between}}}, l.keys()...)
}

func (c *Client) form() form.Form {
	return form.Form{
		{Key: "name", Value: form.String(&c.Name, checkName)},
		{Key: "arrivals", Value: c.Arrivals.form()},
		{Key: "keep_alive", Value: boolValue{p: &c.KeepAlive}},
		{Key: "timeout", Value: form.Duration(&c.Timeout, tick, time.Hour)},
		{Key: "method", Value: form.String(&c.Method, valid(http1.ValidMethod, "an HTTP method"))},
		{Key: "path", Value: form.String(&c.Path, valid(http1.ValidPath, "a path such as /index.html"))},
		{Key: "body_bytes", Value: form.Size(&c.BodyBytes, 0, maxBody)},
		{Key: "requests", Value: form.List(&c.Requests, 100, defaultRequest, (*Request).form)},
		{Key: "retries", Value: form.Int(&c.Retries, 0, 10)},
		{Key: "backoff", Value: c.Backoff.form()},
		{Key: "retry_budget", Value: shareValue{p: &c.RetryBudget}},
		{Key: "read_rate", Value: byteRateValue{p: &c.ReadRate}},
		{Key: "connections", Value: form.Int(&c.Connections, 1, 100_000)},
		{Key: "to", Value: form.String(&c.To, nil)},
	}
}

// valid turns a yes or no into the text that form.String wants.
func valid(ok func(string) bool, what string) func(string) string {
	return func(s string) string {
		if ok(s) {
			return ""
		}
		return "want " + what
	}
}

// checkName wants a word that can stand in a trace, in a file name and as the name of a machine.
func checkName(s string) string {
	const want = "1 to 64 letters, digits, hyphens, underscores and dots"
	if s == "" {
		return "is required: " + want
	}
	for i := range len(s) {
		c := s[i]
		word := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !word || len(s) > 64 {
			return "want " + want
		}
	}
	return ""
}

// proxyValue is {config: FILE}, or a whole configuration in place.
type proxyValue struct {
	readOnly
	sc *Scenario
}

func (v proxyValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		r.Fail(path, "want {config: FILE}, or the proxy's configuration itself")
		return
	}
	sources := form.Form{{Key: "env", Value: textsValue{p: &v.sc.Env, check: checkVariable}},
		{Key: "files", Value: textsValue{p: &v.sc.Files}}}
	before := mistakes(r)
	if mapped(n, "config") != nil {
		append(sources, form.Field{Key: "config", Value: form.String(&v.sc.conf, nil)}).Read(r, path, n)
		if mistakes(r) == before {
			v.sc.Settings = v.sc.loadConfig(r, form.Join(path, "config"), v.sc.conf)
		}
		return
	}
	given, rest := without(n, "env", "files")
	if sources.Read(r, path, given); mistakes(r) > before {
		return // whatever the configuration lacks may follow from that
	}
	c, err := config.ParseNode(r.File, rest, v.sc.sources())
	v.sc.Settings = c
	var all config.Errors
	if errors.As(err, &all) {
		for _, e := range all {
			r.FailAt(e.Line, form.Join(path, e.Path), "%s", e.Msg)
		}
	}
}

func (v proxyValue) Check(r *form.Report, path string) {
	if !r.Given(path) {
		r.Fail(path, "is required: {config: FILE}, or the proxy's configuration itself")
	}
}
