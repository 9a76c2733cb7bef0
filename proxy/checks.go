package proxy

import (
	"fmt"
	"regexp"

	"github.com/wavepool/wavepool/health"
	"github.com/wavepool/wavepool/health/probe"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
)

// newProber makes what carries out an upstream's active checks. A check goes the way of the requests: over TLS where they
// do, and as a stream of HTTP/2 where they are.
func (s *Server) newProber(c *config.Upstream, back *certs.Back) (probe.Prober, error) {
	a, dialer := c.Health.Active, s.cfg.Dialer
	if a.GRPC != nil {
		return s.newGRPCProber(c, back)
	}
	if setup := s.setUpOfChecks(c, back); setup != nil {
		dialer = setUpDialer{dialer, setup}
	}
	switch {
	case a.HTTP != nil:
		cfg, err := httpCheckOf(a.HTTP)
		if err != nil {
			return nil, fmt.Errorf("proxy: upstream %s: %w", c.Name, err)
		}
		return probe.HTTP(dialer, cfg)
	case a.TCP != nil:
		cfg, err := exchangeOf(a.TCP)
		if err != nil {
			return nil, fmt.Errorf("proxy: upstream %s: %w", c.Name, err)
		}
		return probe.Exchange(dialer, cfg)
	case a.TLS != nil:
		shake, err := certs.NewBack(certs.BackSettings{
			Doors: s.doors(), ServerName: a.TLS.ServerName, CA: a.TLS.CA, Insecure: a.TLS.Verify == config.SwitchOff,
		})
		if err != nil {
			return nil, fmt.Errorf("proxy: upstream %s: health check: %w", c.Name, err)
		}
		return &tlsCheck{probe.TLS(dialer, shake.Client), shake}, nil
	}
	return probe.TCP(dialer), nil
}

// tlsCheck is a check by handshake, with the files that it believes.
type tlsCheck struct {
	probe.Prober
	shake *certs.Back
}

// newGRPCProber makes the checks of gRPC, which are HTTP/2 even where the proxy passes bytes on that it does not read.
func (s *Server) newGRPCProber(c *config.Upstream, back *certs.Back) (probe.Prober, error) {
	speaks := *c
	speaks.Protocol = config.UpstreamHTTP2
	a := c.Health.Active.GRPC
	return probe.GRPC(setUpDialer{s.cfg.Dialer, s.setUpOfChecks(&speaks, back)}, probe.GRPCConfig{Service: a.Service, Authority: a.Authority})
}

// httpCheckOf translates what the file says of a request.
func httpCheckOf(c *config.HTTPCheck) (cfg probe.HTTPConfig, err error) {
	cfg = probe.HTTPConfig{
		Method: c.Method, Path: c.Path, Host: c.Host,
		ExpectStatus: probe.StatusRange{Min: c.Status.Low, Max: c.Status.High},
	}
	if b := c.Body; b != nil {
		if cfg.MaxBody, cfg.Contains = b.MaxBytes, []byte(b.Contains); b.Matches != "" {
			cfg.Match, err = regexp.Compile(b.Matches)
		}
	}
	return cfg, err
}

// exchangeOf translates what the file says in text.
func exchangeOf(c *config.TCPCheck) (cfg probe.ExchangeConfig, err error) {
	cfg.MaxBytes = c.MaxBytes
	if cfg.Send, err = config.ParseBytes(c.Send); err != nil {
		return cfg, err
	}
	if cfg.Expect, err = config.ParseBytes(c.Expect); err != nil || c.Regexp == "" {
		return cfg, err
	}
	cfg.Match, err = regexp.Compile(c.Regexp)
	return cfg, err
}

// judgeOf translates what the settings say about the evidence of requests. Rise and fall are those of the checks.
func judgeOf(c *config.Health) health.Config {
	p := &c.Passive
	out := health.Config{Passive: health.Passive{
		Consecutive5xx: p.Consecutive5xx, ConsecutiveGatewayErrors: p.ConsecutiveGatewayErrors, ConsecutiveFailures: p.ConsecutiveFailures,
		BaseEjectionTime: p.BaseEjectionTime, MaxEjectionTime: p.MaxEjectionTime,
		EjectionJitter: float64(p.EjectionJitterPercent) / 100, MaxEjectionPercent: p.MaxEjectionPercent,
	}}
	out.PanicPercent, out.FailOpen = c.PanicThreshold, c.OnNoBackend == config.NoBackendFailOpen
	if o := p.Outliers; o != nil {
		out.Passive.Outliers = health.Outliers{
			SuccessRate: o.SuccessRate, Latency: o.Latency,
			Interval: o.Interval, MinBackends: o.MinBackends, MinRequests: o.MinRequests,
		}
	}
	if b := c.Breaker; b != nil {
		out.Breaker = health.Breaker{
			ErrorPercent: max(b.ErrorPercent, 0), SlowPercent: b.SlowPercent, SlowAfter: b.SlowAfter,
			Window: b.Window, MinRequests: b.MinRequests, OpenTime: b.OpenTime, Probes: b.Probes,
		}
	}
	return out
}
