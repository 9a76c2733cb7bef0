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
	"syscall"
	"time"
)

// peer is one proxy.
type peer struct {
	name string
	can  []mode // what it can be measured in
	// command returns what starts it: it listens on the port and passes on to the backend.
	command func(b *bench, port, backend int, m mode) ([]string, error)
}

const (
	ours      = "wavepool"
	haproxy   = "haproxy"
	nginxName = "nginx"
)

var peers = []peer{
	{ours, []mode{plain, tcp, secure}, (*bench).wavepoolCommand},
	{haproxy, []mode{plain, tcp, secure}, (*bench).haproxyCommand},
	{nginxName, []mode{plain, secure}, (*bench).nginxCommand},
	{"relay", []mode{plain, tcp}, self("relay")},
	{"fasthttp", []mode{plain}, self("fasthttp")},
	{"net/http", []mode{plain}, self("reverseproxy")},
	{"direct", []mode{plain, tcp}, nil}, // no proxy: what the generator and the backend take by themselves
}

func peerNames() []string {
	var all []string
	for _, p := range peers {
		all = append(all, p.name)
	}
	return all
}

// self runs one of our own servers, in a process of its own.
func self(kind string) func(b *bench, port, backend int, m mode) ([]string, error) {
	return func(_ *bench, port, backend int, _ mode) ([]string, error) {
		exe, err := os.Executable()
		return []string{exe, "serve", kind, fmt.Sprint(port), fmt.Sprint(backend)}, err
	}
}

func (b *bench) write(name, text string) (string, error) {
	file := filepath.Join(b.dir, name)
	return file, os.WriteFile(file, []byte(text), 0o644)
}

func (b *bench) wavepoolCommand(port, backend int, m mode) ([]string, error) {
	listener := `protocol: http, idle_timeout: 60s, routes: [{match: {path_prefix: /}, upstream: web}]`
	switch m {
	case tcp:
		listener = `protocol: tcp, upstream: web`
	case secure:
		listener += fmt.Sprintf(`, tls: {certificates: [{cert: %s}]}`, b.certificate)
	}
	file, err := b.write(fmt.Sprintf("wavepool-%d.yaml", port), fmt.Sprintf(`
listeners:
  - {address: "127.0.0.1:%d", %s}
upstreams:
  web:
    backends: [{address: "127.0.0.1:%d"}]
    pool: {max_connections: 2000, idle_timeout: 30s}
    health: {active: {interval: 5s}}
admin: {address: "off"}
`, port, listener, backend))
	return []string{b.wavepoolProgram, "-config", file}, err
}

func (b *bench) haproxyCommand(port, backend int, m mode) ([]string, error) {
	how, bind := "mode http\n  option forwardfor\n  option http-keep-alive\n  http-reuse always", ""
	switch m {
	case tcp:
		how = "mode tcp"
	case secure:
		bind = " ssl crt " + b.certificate
	}
	file, err := b.write(fmt.Sprintf("haproxy-%d.cfg", port), fmt.Sprintf(`
global
  nbthread 2
  maxconn %d
  maxpipes 200
defaults
  %s
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option splice-auto
frontend front
  bind 127.0.0.1:%d%s
  maxconn %d
  default_backend web
backend web
  server one 127.0.0.1:%d check inter 5s
`, haproxyConnections(), how, port, bind, haproxyConnections(), backend))
	program, lerr := lookup("haproxy")
	if err == nil {
		err = lerr
	}
	return []string{program, "-db", "-f", file}, err
}

// haproxyConnections is as many client connections as the limit of open files lets HAProxy have, which counts two files
// for each of them, and 30,000 at most.
func haproxyConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1000
	}
	return int(min(30_000, (limit.Max-1000)/2))
}

func (b *bench) nginxCommand(port, backend int, m mode) ([]string, error) {
	listen := ""
	if m == secure {
		listen = fmt.Sprintf(" ssl; ssl_certificate %[1]s; ssl_certificate_key %[1]s", b.certificate)
	}
	return b.nginx(fmt.Sprintf("nginx-%d", port), 2, fmt.Sprintf(`
  upstream web { server 127.0.0.1:%d; keepalive 1000; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:%d%s;
    location / {
      proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }`, backend, port, listen))
}

// nginx writes a configuration with the http section given and returns the command.
func (b *bench) nginx(name string, workers int, http string) ([]string, error) {
	file, err := b.write(name+".conf", fmt.Sprintf(`
worker_processes %d; daemon off; error_log /dev/null crit; pid %s/%s.pid; worker_rlimit_nofile 60000;
events { worker_connections 20000; }
http {
  access_log off; keepalive_timeout 75s; keepalive_requests 1000000000; sendfile on; tcp_nodelay on;
  client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
%s
}
`, workers, b.dir, name, b.dir, b.dir, b.dir, b.dir, b.dir, http))
	program, lerr := lookup("nginx")
	if err == nil {
		err = lerr
	}
	return []string{program, "-c", file, "-p", b.dir}, err
}

// process is something that was started, with the processes that it has started itself.
type process struct {
	cmd *exec.Cmd
	log string
}

// start runs a command and waits until its port answers.
func (b *bench) start(ctx context.Context, command []string, port int) (*process, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...), log: filepath.Join(b.dir, fmt.Sprintf("%d.log", port))}
	file, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	b.running = append(b.running, p)
	for range 500 {
		if nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			nc.Close()
			return p, nil
		}
		if ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(p.log)
	return nil, fmt.Errorf("%s does not answer on port %d:\n%s", command[0], port, text)
}

// end stops a process and those below it.
func (b *bench) end(p *process) {
	_ = p.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
	b.running = slices.DeleteFunc(b.running, func(r *process) bool { return r == p })
}

// stop ends whatever still runs.
func (b *bench) stop() {
	for len(b.running) > 0 {
		b.end(b.running[len(b.running)-1])
	}
}

// selection is what the flags chose.
type selection struct {
	workloads []workload
	peers     []peer
}

func choose(s settings) (selection, error) {
	var c selection
	pick := func(list string, known []string) ([]string, error) {
		if list == "" {
			return known, nil
		}
		names := strings.Split(list, ",")
		for _, n := range names {
			if !slices.Contains(known, n) {
				return nil, fmt.Errorf("%q is none of: %s", n, strings.Join(known, ", "))
			}
		}
		return names, nil
	}
	names, err := pick(s.only, workloadNames())
	if err != nil {
		return c, err
	}
	for _, w := range workloads {
		if slices.Contains(names, w.name) && (w.kind != idleMemory || s.idle > 0) {
			c.workloads = append(c.workloads, w)
		}
	}
	if names, err = pick(s.peers, peerNames()); err != nil {
		return c, err
	}
	for _, p := range peers {
		if slices.Contains(names, p.name) {
			c.peers = append(c.peers, p)
		}
	}
	return c, nil
}
