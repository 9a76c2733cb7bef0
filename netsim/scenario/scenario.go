package scenario

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// The name and the address of the simulated machine that the proxy runs on.
const (
	ProxyName = "proxy"
	ProxyAddr = "10.0.0.100"
)

// Scenario is one experiment: a proxy configuration, the world around it, what goes wrong, and what must hold.
// Load and Parse make it; Execute runs it any number of times and does not change it. Seed may be set between
// runs.
type Scenario struct {
	// Name stands for the scenario in its verdict. Key name, required: letters, digits, hyphens, underscores, dots.
	Name string
	// About says what the scenario teaches. Key about, optional.
	About string
	// Seed determines every draw and the order of all ties. Key seed, default 0.
	Seed uint64
	// Duration is how long clients send requests, in virtual time. Key duration, required, from 1s to 24h.
	Duration time.Duration
	// Settings are the proxy's when it starts, from the file that proxy.config names or from the mapping proxy itself.
	Settings *config.Config
	// Env and Files are what ${NAME} and ${file:PATH} in the proxy's configuration lead to, since a run must not depend on
	// the machine that it runs on. Keys proxy.env and proxy.files: a mapping from names, or from paths as the
	// configuration writes them, to text; at most 1000 each.
	Env, Files map[string]string
	// DNS holds the names of backends, and their addresses. At most 1000.
	DNS []DNSName
	// Backends are the simulated servers, one for each backend address of Settings and of what operations bring in.
	Backends []Backend
	// Network describes the links between the machines.
	Network Network
	// Clients send the requests. At least one, at most 100; their names are those of their machines.
	Clients []Client
	// Faults are what goes wrong, at most 1000.
	Faults []Fault
	// Random are more of them, drawn from the seed. Key random_faults, default none.
	Random *RandomFaults
	// Operations are what an operator does to the running proxy, at most 1000.
	Operations []Operation
	// Expect is what must hold for the verdict to pass, at most 100.
	Expect []Expectation

	file string   // the name that the scenario was read under
	seed int      // as read
	conf string   // key proxy.config: where the settings are, relative to file
	used []string // references that the settings had, and what stood for them
	last members  // which backends are left when all operations are done
}

// DNSName is a record of the simulated name server. The proxy asks it at each dial of a backend that has a name, as a Go
// program does that has no cache; lookups take no time unless a fault makes them slow.
type DNSName struct {
	// Name is the name, as the proxy's configuration has it. Case and a dot at its end do not matter.
	Name string
	// Addresses are its IP addresses, 1 to 16, which are tried in this order. Each is that of a simulated backend.
	Addresses []string
}

// Backend is one simulated HTTP server. It echoes the X-Nonce field of each request. A request without one is a
// health check and is answered 200 at once.
type Backend struct {
	// Address is host:port as the proxy's configuration has it. Backends with equal hosts share a machine.
	// Required.
	Address string
	// Service is how long a request takes once it has begun. Key service, default 5ms.
	Service Distribution
	// Concurrency is how many requests are served at one time; more wait, first come first served. Key concurrency,
	// default 100, from 1 to 100000.
	Concurrency int
	// BodyBytes is the length of each answer's body. Key body_bytes, default 200, from 0 to 16MiB.
	BodyBytes int
	// ErrorRate is the share of requests answered 503, from 0 to 1. Key error_rate, default 0.
	ErrorRate float64
	// ErrorService is how long such a request takes. Key error_service, default (no Kind) as long as any other.
	ErrorService Distribution
	// StallRate is the share of requests of whose answer only the head and half of the body come, and then nothing more: the
	// connection stays open, and the place of Concurrency taken, until the peer ends it. From 0 to 1. Key stall_rate,
	// default 0.
	StallRate float64
	// Paths are those for which other settings hold. Of several that fit a request the first in the list counts. Key
	// paths, at most 100.
	Paths []BackendPath
	// Cold makes service times longer at first, as with empty caches. Key cold, default off.
	Cold Cold
	// Protocol is what it speaks: http1, or http2 to those who choose that (by ALPN over TLS, by its preface in clear text), and
	// HTTP/1.1 to the others. Key protocol, default (empty) http2 where it belongs to an upstream with protocol http2.
	Protocol string
	// MaxStreams is how many requests it takes at one time on one connection of HTTP/2; it refuses those beyond. Key
	// max_streams, default 100, from 1 to 10000.
	MaxStreams int
	// CloseAfterRequests ends a connection in order, with its last answer, after so many requests; one of HTTP/2 by GOAWAY
	// when it takes the last of them. Key close_after_requests, default off (0), from 1 to 1000000.
	CloseAfterRequests int
	// CloseIdleAfter closes a connection on which no request has come for so long, without a word before: the
	// race of every keep-alive. On one of HTTP/2 nothing is under way for so long. Key close_idle_after, default off (0), from
	// 1ms to 24h.
	CloseIdleAfter time.Duration
}

// BackendPath is how a backend serves a part of its paths. What a file leaves out is as for all others.
type BackendPath struct {
	// Prefix is a beginning of the path, by whole segments: /slow is one of /slow and /slow/1 and not of /slower.
	// Required.
	Prefix string
	// Service is how long such a request takes. Key service, default (no Kind) the backend's.
	Service Distribution
	// ErrorRate is the share of such requests answered 503, from 0 to 1. Key error_rate, default (-1) the backend's.
	ErrorRate float64
	// BodyBytes is the length of the answer's body. Key body_bytes, default (-1) the backend's, from 0 to 16MiB.
	BodyBytes int
}

// Cold is the time after a start in which a service is slow: its factor falls evenly from Factor to 1.
type Cold struct {
	// For is how long it takes to become warm, from the beginning and from each restart of the service. Key for, from 1ms to
	// 24h; required.
	For time.Duration
	// Factor is by how much longer requests take just after a start. Key factor, from 1 to 1000; required.
	Factor float64
}

// Network describes all links. A link is the same both ways.
type Network struct {
	// Default is every link that Links does not name. Key default: latency 500us, jitter 100us and no loss.
	Default Link
	// Links are the special ones; a later one wins over an earlier one. At most 1000.
	Links []Link
}

// Link is a path between two machines.
type Link struct {
	// Between names the two ends: proxy, the host part of a backend's address, a client's name, or * for any.
	Between [2]string
	// Latency is the one-way delay and Jitter what is added to it, drawn from 0 to Jitter for each packet. From
	// 0 to 1h.
	Latency, Jitter time.Duration
	// Loss is the share of packets that are lost and sent again after a timeout, from 0 to 1.
	Loss float64
}

// Client is one source of requests, on a machine of its own that has its name.
type Client struct {
	// Name is required and unique; it is not proxy and not a backend's host.
	Name string
	// Arrivals say when requests begin. Required.
	Arrivals Arrivals
	// KeepAlive lets connections carry more than one request. Key keep_alive, default true.
	KeepAlive bool
	// Timeout bounds a request from its arrival to its last byte, dial included. Key timeout, default 10s, from 1ms
	// to 1h.
	Timeout time.Duration
	// Method and Path make the request line. Defaults GET and /.
	Method, Path string
	// BodyBytes is the length of each request's body. Key body_bytes, default 0, from 0 to 16MiB.
	BodyBytes int
	// Requests are a mix, in place of Method, Path and BodyBytes, which are one kind. Key requests, default none, at most
	// 100.
	Requests []Request
	// Retries is how often a request that fails is made again: after every failure but an answer of 4xx. It stays one
	// request, which is answered or fails with its last try; Timeout then bounds each try. Key retries, default 0, from 0
	// to 10.
	Retries int
	// Backoff is the wait before the first further try; before each later one it is drawn anew and doubled, to an hour at
	// most. Key backoff, default 0.
	Backoff Distribution
	// RetryBudget bounds the retries to this share of the requests: each request adds so much to a purse that holds ten
	// retries at most and is full at first, and each retry takes one out of it. Key retry_budget, written 20%, default off
	// (0), from 0 to 1.
	RetryBudget float64
	// ReadRate makes it read answers no faster than so many bytes per second. Key read_rate, written 10KiB/s, default off
	// (0), from 1 to 1GiB/s.
	ReadRate int
	// Connections is how many idle connections an open-loop client keeps for reuse, the youngest first; when
	// none is idle it opens another one. Key connections, default 1000, from 1 to 100000.
	Connections int
	// To is the listener's address as the configuration has it. Key to, default the first listener.
	To string
}

// Load reads the scenario file at path. A file that cannot be read gives the *fs.PathError of the system; a file
// with mistakes gives config.Errors, which lists all of them. Relative paths in it begin at the file's own
// folder.
func Load(path string) (*Scenario, error) {
	data, err := readFile(path)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return nil, fmt.Errorf("read scenario: %w; give its files, such as %s", err, filepath.Join(path, "*.yaml"))
	case err != nil:
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return Parse(path, data)
}

// readFile reads no more than a byte above what is accepted, which is enough to tell that a file is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, form.MaxBytes+1))
}

// Parse reads a scenario from data; name stands for the file in its messages, and relative paths begin at its
// folder. The error is a config.Errors and lists every mistake.
func Parse(name string, data []byte) (*Scenario, error) {
	r := form.NewReport(name)
	n := form.Document(r, data)
	if n == nil {
		return nil, r.Err()
	}
	sc := &Scenario{file: name}
	sc.Network.Default = defaultLink()
	form.Read(r, n, sc.form())
	sc.check(r)
	if err := r.Err(); err != nil {
		return nil, err
	}
	sc.Seed = uint64(sc.seed)
	return sc, nil
}

// UseConfig replaces the proxy's settings by those of another file, so that one scenario can judge several
// configurations. Every backend of them must be simulated. An error leaves the scenario as it was.
//
// Its references lead to the Env and the Files of the scenario.
func (sc *Scenario) UseConfig(path string) error {
	old, conf, used := sc.Settings, sc.conf, sc.used
	sc.used = nil
	c, err := config.LoadFrom(path, sc.sources())
	if err != nil {
		sc.used = used
		return err
	}
	sc.Settings, sc.conf = c, path
	var r form.Report
	sc.checkSettings(&r)
	sc.checkOperations(&r)
	sc.checkClients(&r)
	if err := r.Err(); err != nil {
		sc.Settings, sc.conf, sc.used = old, conf, used
		return fmt.Errorf("%s does not fit the scenario %s: %w", path, sc.Name, err)
	}
	return nil
}

// loadConfig reads the configuration file that the value at path names; nil when it has mistakes.
func (sc *Scenario) loadConfig(r *form.Report, path, file string) *config.Config {
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(sc.file), file)
	}
	c, err := config.LoadFrom(file, sc.sources())
	var all config.Errors
	switch {
	case errors.As(err, &all):
		for _, e := range all {
			// The mistake is in another file, whose line and path its own text carries.
			r.FailAt(r.Line(path), "", "%s: %s", path, e.Error())
		}
	case err != nil:
		r.Fail(path, "%v", err)
	}
	return c
}

// hosts lists the names of all machines: the proxy, the backends' and the clients', each once.
func (sc *Scenario) hosts() []string {
	names := append([]string{ProxyName}, sc.backendHosts()...)
	for i := range sc.Clients {
		names = append(names, sc.Clients[i].Name)
	}
	return names
}

// backendHosts lists the machines of the backends, each once.
func (sc *Scenario) backendHosts() []string {
	var names []string
	for i := range sc.Backends {
		if h := hostOf(sc.Backends[i].Address); !slices.Contains(names, h) {
			names = append(names, h)
		}
	}
	return names
}

// hostOf is the host part of an address, or the whole where it has none.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
