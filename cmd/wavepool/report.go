package main

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// reportInterval is the time between two reports in the log.
const reportInterval = 10 * time.Second

// report writes what the pools and the server did to the log, now and then and at the end.
type report struct {
	s    *proxy.Server
	log  *slog.Logger
	stop chan struct{}
	wg   sync.WaitGroup
}

func startReport(s *proxy.Server, log *slog.Logger) *report {
	r := &report{s: s, log: log, stop: make(chan struct{})}
	r.wg.Go(func() {
		tick := time.NewTicker(reportInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.write()
			case <-r.stop:
				r.write()
				return
			}
		}
	})
	return r
}

func (r *report) close() {
	close(r.stop)
	r.wg.Wait()
}

// write logs one line for each backend and one for the whole.
func (r *report) write() {
	st := r.s.Stats()
	up, down := 0, 0
	var spread []string
	for i := range st.Upstreams {
		u := &st.Upstreams[i]
		up += u.Available
		down += len(u.Backends) - u.Available
		spread = append(spread, distribution(u)...)
		for j := range u.Backends {
			r.poolLine(u.Name, &u.Backends[j])
		}
	}
	r.log.Info("Manager Metrics", "backends_up", up, "backends_down", down,
		"distribution", strings.Join(spread, " "), "requests", st.Requests, "in_flight", st.InFlight,
		"answered", st.Answered, "errors", errorsByReason(&st), "connections", st.Open)
}

func (r *report) poolLine(group string, b *upstream.BackendStats) {
	checks := "none"
	if b.Checks > 0 {
		checks = percent(float64(b.ChecksPassed) / float64(b.Checks))
	}
	p := &b.Pool
	r.log.Info("Pool Metrics", "upstream", group, "backend", b.Address, "state", b.Health.Status.String(),
		"created", p.Dialled, "active", p.Lent, "idle", p.Idle, "utilization", percent(p.Utilization()),
		"reuse_rate", percent(p.ReuseRate()), "health_check_success_rate", checks,
		"mean_connection_lifetime", p.MeanLifetime().Round(time.Millisecond).String())
}

// distribution says which share of a group's attempts each backend had.
func distribution(u *upstream.Stats) []string {
	var total uint64
	for i := range u.Backends {
		total += u.Backends[i].Ended()
	}
	var out []string
	for i := range u.Backends {
		share := 0.0
		if total > 0 {
			share = float64(u.Backends[i].Ended()) / float64(total)
		}
		out = append(out, u.Backends[i].Address+"="+percent(share))
	}
	return out
}

// errorsByReason lists the failures that happened, as "reason=count".
func errorsByReason(st *proxy.Stats) string {
	var out []string
	for _, f := range proxy.Failures() {
		if n := st.Failed[f]; n > 0 {
			out = append(out, fmt.Sprintf("%s=%d", f, n))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, " ")
}

// percent writes a share so that nearly all is not shown as all.
func percent(share float64) string {
	return fmt.Sprintf("%.2f%%", math.Floor(share*10000)/100)
}
