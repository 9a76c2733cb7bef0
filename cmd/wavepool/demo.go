package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
)

// demoBackends is how many backends the demonstration starts.
const demoBackends = 3

// demo is the set of small backends that a new user sees the proxy work with.
type demo struct {
	listeners []net.Listener
	servers   []*http.Server
	wg        sync.WaitGroup
}

// startDemo starts the backends on ports of their own on the loopback address.
func startDemo(log *slog.Logger) (*demo, error) {
	d := &demo{}
	for i := range demoBackends {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			d.close()
			return nil, fmt.Errorf("demonstration backend: %w", err)
		}
		name := fmt.Sprintf("demo-%d", i+1)
		srv := &http.Server{Handler: demoHandler(name, ln.Addr().String()), ReadHeaderTimeout: 10 * time.Second}
		d.listeners, d.servers = append(d.listeners, ln), append(d.servers, srv)
		d.wg.Go(func() { _ = srv.Serve(ln) }) // it ends with close
		log.Info("no -backend was given: demonstration backend started", "name", name, "address", ln.Addr().String())
	}
	return d, nil
}

func demoHandler(name, address string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Backend", name)
		fmt.Fprintf(w, "Hello from %s (%s): %s %s\n", name, address, r.Method, r.URL.RequestURI())
	})
}

func (d *demo) backends() []config.Backend {
	var all []config.Backend
	for _, ln := range d.listeners {
		all = append(all, config.Backend{Address: ln.Addr().String(), Weight: 1})
	}
	return all
}

func (d *demo) close() {
	for _, srv := range d.servers {
		_ = srv.Close()
	}
	d.wg.Wait()
}
