package netsim

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
)

// hostState says what lives on a host.
type hostState uint8

const (
	hostUp      hostState = iota
	hostKilled            // the machine answers, but no process lives on it
	hostCrashed           // the machine is silent
)

// Host is one machine of the network, with one address and one process. It fits the dialer interface of the
// design, and its Listen fits the listen function. All methods may be called concurrently.
type Host struct {
	s     *Sim
	name  string
	addr  string
	ip    net.IP
	actor actor

	// Sim.mu guards what follows.
	state     hostState
	life      int // counts the processes that have lived here
	ctx       context.Context
	cancel    context.CancelFunc
	listeners map[int]*Listener
	conns     []*Conn // open ones, in no order
	dials     []*dialing
	ports     map[string]int // for each remote address, how many local ports were given out
	nextPort  int            // for Listen on port 0
	processes []*process     // of Go
	lookups   []*lookup      // under way
	clk       *hostClock

	// What service faults keep from happening: see fault_service.go.
	unserved, stalled, pausing bool
	gate                       waitList // who waits for the end of a pause
	gateway                    releaser
	resets                     []*Conn // closed by a RST during a pause
}

// Host returns the host of that name, and makes it if it is new. addr is an IP address such as "10.0.0.1";
// empty picks the next free one of 10.255.0.0/16. It panics when addr is not an address, belongs to another
// host, or differs from the one that the host has, and when name is "", "*", or an address of another host.
func (s *Sim) Host(name, addr string) *Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.byName[name]; h != nil {
		if addr != "" && addr != h.addr {
			panic(fmt.Sprintf("netsim: host %q has the address %s, not %s", name, h.addr, addr))
		}
		return h
	}
	if addr == "" {
		n := len(s.hosts) + 1
		addr = fmt.Sprintf("10.255.%d.%d", n>>8&255, n&255)
	}
	ip := net.ParseIP(addr)
	if ip == nil {
		panic(fmt.Sprintf("netsim: host %q: %q is not an IP address", name, addr))
	}
	addr = ip.String()
	if s.byAddr[addr] != nil || s.byAddr[name] != nil && name != addr {
		panic(fmt.Sprintf("netsim: host %q: address %s is taken", name, addr))
	}
	if name == "" || name == anyHost {
		panic("netsim: a host needs a name, and \"*\" means any host")
	}
	h := &Host{s: s, name: name, addr: addr, ip: ip, actor: newActor(name), listeners: make(map[int]*Listener),
		ports: make(map[string]int), nextPort: firstListenPort}
	h.clk = &hostClock{s.clk, h}
	h.gateway.init(s, h.actor.hash)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if s.closing {
		h.state = hostCrashed
		h.cancel()
	}
	s.hosts = append(s.hosts, h)
	s.byName[name], s.byAddr[addr] = h, h
	h.applyServices(s.now())
	return h
}

// Name returns the name that the host was made with.
func (h *Host) Name() string { return h.name }

// Addr returns the host's IP address as text.
func (h *Host) Addr() string { return h.addr }

// Context returns a context that ends when the host's process does: by Crash, Kill or Close of the
// simulation, at an instant after those of all its blocked socket calls. After Restart it returns a new
// one. All goroutines that wait for it wake in one instant, so let one goroutine wait and pass the news on.
func (h *Host) Context() context.Context {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.ctx
}

// Crash stops the machine as a power cut does: no packet leaves it any more and none is answered, so its
// peers notice nothing until they send and get no acknowledgement. Goroutines blocked in its sockets get
// net.ErrClosed, one by one; sockets stay closed for good. On a crashed host it does nothing.
func (h *Host) Crash() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.state != hostCrashed {
		h.s.note(&h.actor, "crash", "", 0)
		h.end(h.s.now(), endSilent)
	}
}

// Kill ends the host's process while the machine lives on: its kernel closes all sockets, with a FIN or,
// where received data are unread, a RST, and refuses new connections. On a host that is not up it does
// nothing.
func (h *Host) Kill() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.state == hostUp {
		h.s.note(&h.actor, "kill", "", 0)
		h.end(h.s.now(), endKill)
	}
}

// Restart brings a crashed or killed host back, with no listener and no connection: packets of its former
// connections are answered with RST. On a host that is up it does nothing.
func (h *Host) Restart() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if h.state == hostUp || h.s.closing {
		return
	}
	h.state = hostUp
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.s.note(&h.actor, "restart", "", 0)
}

type endKind uint8

const (
	endSilent endKind = iota
	endKill
)

// end takes the process away. Sim.mu is held.
func (h *Host) end(now int64, how endKind) {
	h.life++
	h.state = hostKilled
	if how == endSilent {
		h.state = hostCrashed
	}
	// What happens in one instant must not depend on the order in which maps and goroutines filled these
	// lists.
	for _, port := range h.sortedPorts() {
		h.listeners[port].end(now, how)
	}
	for _, d := range slices.SortedFunc(slices.Values(h.dials), func(a, b *dialing) int {
		return cmp.Compare(a.flow.client.actor.name, b.flow.client.actor.name)
	}) {
		d.finish(net.ErrClosed, now)
	}
	conns := h.sortedConns()
	for _, c := range conns {
		c.end(now, how)
	}
	h.endLookups(now)
	if how == endSilent {
		h.resets = nil
	}
	if h.pausing {
		h.proceed(now)
	}
	h.mourn(now)
	h.s.lastly.run(h.cancel, now)
}

// localPort gives out the local port of a new connection to a remote address, and a name for it that is
// never used again. Each remote address has its own count, so that dials to different ones cannot disturb
// each other's names.
func (h *Host) localPort(remote string) (port int, name string) {
	const first, count = 32768, 28232 // Linux's default range
	n := h.ports[remote]
	h.ports[remote] = n + 1
	port = first + n%count
	name = h.name + ":" + strconv.Itoa(port)
	if round := n / count; round > 0 {
		name += "." + strconv.Itoa(round+1)
	}
	return port, name
}

func (h *Host) addConn(c *Conn) {
	c.place, c.life = len(h.conns)+1, h.life
	h.conns = append(h.conns, c)
}

// dropConn takes a connection off the list of open ones; it may be off already.
func (h *Host) dropConn(c *Conn) {
	if c.place == 0 {
		return
	}
	last := h.conns[len(h.conns)-1]
	h.conns[c.place-1] = last
	last.place = c.place
	h.conns[len(h.conns)-1] = nil
	h.conns = h.conns[:len(h.conns)-1]
	c.place = 0
}

// parseAddress takes "host:port" apart.
func parseAddress(network, address string) (name string, port int, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return "", 0, net.UnknownNetworkError(network)
	}
	name, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(service)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, &net.AddrError{Err: "invalid port", Addr: address}
	}
	return name, port, nil
}

// at gives the address and the host of an IP, which may belong to nobody. Loopback is the host itself.
func (h *Host) at(ip net.IP, port int) (*net.TCPAddr, *Host) {
	if ip.IsLoopback() || ip.IsUnspecified() {
		return &net.TCPAddr{IP: h.ip, Port: port}, h
	}
	return &net.TCPAddr{IP: ip, Port: port}, h.s.byAddr[ip.String()]
}

// own turns an address to listen at into IP and host, without asking DNS: a name must be that of a host.
func (h *Host) own(network, address string) (*net.TCPAddr, *Host, error) {
	name, port, err := parseAddress(network, address)
	if err != nil {
		return nil, nil, err
	}
	if name == "" || name == "localhost" {
		return &net.TCPAddr{IP: h.ip, Port: port}, h, nil
	}
	ip := net.ParseIP(name)
	if to := h.s.byName[name]; to != nil {
		ip = to.ip
	}
	if ip == nil {
		return nil, nil, noSuchHost(name)
	}
	addr, at := h.at(ip, port)
	return addr, at, nil
}
