package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialer opens the connections that the pool lends, and measures how long that takes. The server's name was looked up
// before, once: whoever loads a web server does not mean to load its name server too.
type dialer struct {
	addresses []string     // in the order of the resolver, with the port
	good      atomic.Int32 // index of the address that answered last: it is tried first

	made, failed atomic.Uint64

	mu    sync.Mutex
	times *timing // of the dials that gave a connection
}

// newDialer looks the target's name up.
func newDialer(ctx context.Context, t target, timeout time.Duration) (*dialer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.host)
	if err == nil && len(ips) == 0 {
		err = errors.New("it has no address")
	}
	if err != nil {
		return nil, fmt.Errorf("%s could not be found: %w", t.host, err)
	}
	d := &dialer{times: newTiming(timeout)}
	for _, ip := range ips {
		d.addresses = append(d.addresses, net.JoinHostPort(ip.Unmap().String(), t.port))
	}
	return d, nil
}

// DialContext connects to the first address that answers, beginning with the last one that did. Each gets its share of
// what is left of the time, so that one which swallows everything does not hide the next.
func (d *dialer) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	begin := time.Now()
	n := len(d.addresses)
	first := int(d.good.Load())
	var errs []error
	for k := range n {
		i := (first + k) % n
		nc, err := dialShare(ctx, network, d.addresses[i], n-k)
		if err == nil {
			d.good.Store(int32(i))
			d.made.Add(1)
			took := time.Since(begin)
			d.mu.Lock()
			d.times.add(took)
			d.mu.Unlock()
			return nc, nil
		}
		errs = append(errs, err)
	}
	d.failed.Add(1)
	if n == 1 {
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

// dialShare tries one address within an equal share of the time that is left for that many.
func dialShare(ctx context.Context, network, address string, shares int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && shares > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(shares))
		defer cancel()
	}
	var plain net.Dialer
	return plain.DialContext(ctx, network, address)
}

// measured returns the times so far, as a copy.
func (d *dialer) measured() *timing {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.times.clone()
}
