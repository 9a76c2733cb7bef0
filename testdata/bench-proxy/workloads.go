package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// kind is how a workload is measured.
type kind int

const (
	requests   kind = iota // wrk, processor time for each request
	gigabytes              // wrk, processor time for each gigabyte
	latency                // requests at an even rate, added latency
	idleMemory             // memory for each idle client connection
)

// mode is what a proxy does with connections.
type mode int

const (
	plain  mode = iota // HTTP/1.1 in clear text
	tcp                // bytes both ways
	secure             // HTTP/1.1 over TLS on the clients' side
)

// workload is one table.
type workload struct {
	name  string
	kind  kind
	about string
	conns int
	path  string
	close bool // a connection for each request
	mode  mode
	cpu   float64 // promised: at most so many times HAProxy's processor time; 0: nothing was promised
	speed float64 // promised: at least so many times HAProxy's throughput
	p99   float64 // promised: at most so many times HAProxy's 99th percentile
}

var workloads = []workload{
	{name: "small8", about: "GET of 200 bytes, 8 connections", conns: 8, path: "/small", cpu: 1, speed: 1, p99: 1},
	{name: "small64", about: "GET of 200 bytes, 64 connections", conns: 64, path: "/small", cpu: 1, speed: 1, p99: 1},
	{name: "small1000", about: "GET of 200 bytes, 1,000 connections", conns: 1000, path: "/small", cpu: 1, speed: 1, p99: 1},
	{name: "connect", about: "GET of 200 bytes, a connection each, 32 at a time", conns: 32, path: "/small", close: true, cpu: 1.1},
	{name: "large", kind: gigabytes, about: "GET of 1 MB, 8 connections", conns: 8, path: "/large", cpu: 1},
	{name: "tcp-large", kind: gigabytes, about: "TCP mode, GET of 1 MB, 8 connections", conns: 8, path: "/large", mode: tcp, cpu: 1},
	{name: "tcp-small", about: "TCP mode, GET of 200 bytes, 8 connections", conns: 8, path: "/small", mode: tcp},
	{name: "tls8", about: "TLS, GET of 200 bytes, 8 connections", conns: 8, path: "/small", mode: secure, cpu: 1.3},
	{name: "tls64", about: "TLS, GET of 200 bytes, 64 connections", conns: 64, path: "/small", mode: secure, cpu: 1.3},
	{name: "latency", kind: latency, about: "GET of 200 bytes, 1,000 each second at an even rate", path: "/small"},
	{name: "idle", kind: idleMemory, about: "idle client connections after one request each", path: "/small"},
}

func workloadNames() []string {
	var all []string
	for _, w := range workloads {
		all = append(all, w.name)
	}
	return all
}

// result is one measurement.
type result struct {
	cpu        float64 // microseconds for each request, or milliseconds for each gigabyte
	rate       float64 // requests, or gigabytes, each second
	p50, p99   float64 // microseconds
	bytes      float64 // memory for each connection
	errorCount int
}

// bench is the whole run.
type bench struct {
	settings        settings
	dir             string
	wavepoolProgram string
	backendPort     int
	certificate     string // a PEM file with a certificate and its key
	running         []*process
}

const largeBytes = 1 << 20

// prepare builds what is missing and starts the backend.
func (b *bench) prepare(ctx context.Context) error {
	b.wavepoolProgram = b.settings.wavepool
	if b.wavepoolProgram == "" {
		b.wavepoolProgram = filepath.Join(b.dir, "wavepool")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.wavepoolProgram, "./cmd/wavepool")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	if err := os.Chmod(b.dir, 0o755); err != nil { // nginx's workers run as somebody else
		return err
	}
	if _, err := b.write("large", strings.Repeat("0123456789abcdef", largeBytes/16)); err != nil {
		return err
	}
	if err := b.makeCertificate(); err != nil {
		return err
	}
	b.backendPort = freePort()
	command, err := b.nginx("backend", 1, fmt.Sprintf(`
  server {
    listen 127.0.0.1:%d backlog=4096;
    root %s;
    location = /small { return 200 "%s"; }
  }`, b.backendPort, b.dir, strings.Repeat("x", 200)))
	if err != nil {
		return err
	}
	_, err = b.start(ctx, command, b.backendPort)
	return err
}

// freePort is a port that nobody listened on a moment ago.
func freePort() int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// measure runs a workload over all proxies, round by round. Each proxy is started anew for the workload.
func (b *bench) measure(ctx context.Context, w workload, peers []peer) ([][]result, error) {
	peers = b.able(w, peers)
	out := make([][]result, len(peers))
	type place struct {
		p    *process
		port int
	}
	places := make([]place, len(peers))
	for i, p := range peers {
		places[i].port = b.backendPort
		if p.command == nil {
			continue
		}
		places[i].port = freePort()
		command, err := p.command(b, places[i].port, b.backendPort, w.mode)
		if err != nil {
			return nil, err
		}
		if places[i].p, err = b.start(ctx, command, places[i].port); err != nil {
			return nil, err
		}
		defer b.end(places[i].p)
	}
	rounds := b.settings.rounds
	if w.kind == idleMemory {
		rounds = 1
	}
	for round := range rounds + 1 {
		for i, p := range peers {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d := b.settings.duration
			if round == 0 {
				if w.kind == idleMemory {
					continue
				}
				d = min(d, 300*time.Millisecond) // to warm up
			}
			r, err := b.once(ctx, w, places[i].p, places[i].port, d)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if round > 0 {
				out[i] = append(out[i], r)
			}
		}
		fmt.Fprintf(os.Stderr, "\r%-10s round %d of %d ", w.name, round, rounds)
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	return out, nil
}

// able leaves out the proxies that have no part in a workload.
func (b *bench) able(w workload, peers []peer) []peer {
	return slices.DeleteFunc(slices.Clone(peers), func(p peer) bool {
		return !slices.Contains(p.can, w.mode) || w.kind == idleMemory && (p.command == nil ||
			p.name == haproxy && haproxyConnections() <= b.settings.idle)
	})
}

// once makes one measurement.
func (b *bench) once(ctx context.Context, w workload, p *process, port int, d time.Duration) (result, error) {
	pid := 0
	if p != nil {
		pid = p.cmd.Process.Pid
	}
	switch w.kind {
	case latency:
		return evenRate(ctx, port, w.path, 1000, d)
	case idleMemory:
		return idleConnections(ctx, pid, port, w.path, b.settings.idle)
	}
	before := cpuTime(pid)
	r, n, size, err := wrk(ctx, w, port, d)
	if err != nil {
		return r, err
	}
	used := cpuTime(pid) - before
	if w.kind == gigabytes {
		r.cpu = used.Seconds() * 1000 / (float64(size) / 1e9)
		r.rate = float64(size) / 1e9 / d.Seconds()
		return r, nil
	}
	r.cpu = float64(used.Nanoseconds()) / 1000 / float64(n)
	return r, nil
}
