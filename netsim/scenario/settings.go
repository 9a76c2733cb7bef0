package scenario

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// This file has what a scenario puts in the place of the world that a production configuration expects: variables and
// files for its references, and addresses for its names.

// sources give the scenario's own environment and files, and note what was asked of them.
func (sc *Scenario) sources() config.Sources {
	note := func(text string) {
		if !slices.Contains(sc.used, text) {
			sc.used = append(sc.used, text)
		}
	}
	return config.Sources{
		Env: func(name string) (string, bool) {
			value, ok := sc.Env[name]
			if ok {
				note("${" + name + "} is " + value)
			} else {
				note("${" + name + "} is not set, so its default stands")
			}
			return value, ok
		},
		File: func(path string) ([]byte, error) {
			text, ok := sc.Files[path]
			if !ok {
				return nil, errors.New("no such file; proxy.files of the scenario has the files that there are")
			}
			note("${file:" + path + "} is the text of proxy.files") // most likely a secret, so it is not shown
			return []byte(text), nil
		},
		Hint: "proxy.env of the scenario sets it",
	}
}

// replaced tells in words what the run does not do as the proxy's configuration says.
func (sc *Scenario) replaced() []string {
	var out []string
	if sc.Settings == nil {
		return out
	}
	if a := sc.Settings.Admin.Address; a != "" && sc.conf != "" {
		out = append(out, "the operators' page at "+a+" is off")
	}
	if log := sc.Settings.AccessLog; log != nil {
		out = append(out, "the access log "+log.Path+" is written to nowhere")
	}
	for _, address := range sc.listeners() {
		if host, port, err := net.SplitHostPort(address); err == nil && host != "" && sc.conf != "" {
			out = append(out, "the listener "+address+" is port "+port+" of the machine "+ProxyName)
		}
	}
	out = append(out, replacedFiles(sc.Settings)...)
	out = append(out, sc.used...)
	for i := range sc.DNS {
		out = append(out, "the name "+sc.DNS[i].Name+" is "+strings.Join(sc.DNS[i].Addresses, ", "))
	}
	return out
}

// behind lists the addresses, with their ports, that a backend of the configuration has in the simulation: at least one.
func (sc *Scenario) behind(address string) []string {
	for i := range sc.DNS {
		if sameName(sc.DNS[i].Name, hostOf(address)) && len(sc.DNS[i].Addresses) > 0 {
			return withPort(sc.DNS[i].Addresses, address)
		}
	}
	return []string{address}
}

// insteadOf lists those that faults give it.
func (sc *Scenario) insteadOf(address string) []string {
	var out []string
	for i := range sc.Faults {
		if f := &sc.Faults[i]; f.Kind == DNSChange && sameName(f.Domain, hostOf(address)) {
			out = append(out, withPort(f.Addresses, address)...)
		}
	}
	return out
}

// lastBehind is the first of those that it has in the end.
func (sc *Scenario) lastBehind(address string) string {
	first := sc.behind(address)[0]
	for i := range sc.Faults {
		f := &sc.Faults[i]
		if _, ends := f.ends(); !ends && f.Kind == DNSChange && sameName(f.Domain, hostOf(address)) {
			first = withPort(f.Addresses, address)[0]
		}
	}
	return first
}

func withPort(hosts []string, address string) []string {
	_, port, _ := net.SplitHostPort(address)
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = net.JoinHostPort(h, port)
	}
	return out
}

// sameName compares names as resolvers do.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// names lists what can be looked up: the records, and the backends that have names themselves.
func (sc *Scenario) names() []string {
	var out []string
	for i := range sc.DNS {
		out = append(out, sc.DNS[i].Name)
	}
	for _, h := range sc.backendHosts() {
		if _, err := netip.ParseAddr(h); err != nil && h != "" {
			out = append(out, h)
		}
	}
	return out
}

func (sc *Scenario) checkDNS(r *form.Report) {
	for i := range sc.DNS {
		d := &sc.DNS[i]
		path := form.Join("dns", d.Name)
		_, err := netip.ParseAddr(d.Name)
		switch {
		case r.Failed(path):
		case err == nil:
			r.Fail(path, "%s is an address and not a name", d.Name)
		case d.Name == "*":
			r.Fail(path, "wants one name")
		case slices.Contains([]string{ProxyName, "localhost"}, d.Name):
			r.Fail(path, "%s is the proxy's own machine", d.Name)
		case slices.ContainsFunc(sc.DNS[:i], func(o DNSName) bool { return sameName(o.Name, d.Name) }):
			r.Fail(path, "is given twice")
		}
	}
}

// checkLookup wants a name that somebody looks up.
func (sc *Scenario) checkLookup(r *form.Report, path, name string) {
	known := sc.names()
	if r.Failed(path, "dns", "backends") || slices.ContainsFunc(known, func(k string) bool { return sameName(k, name) }) {
		return
	}
	near := config.Nearest(name, known)
	switch {
	case len(known) == 0:
		r.Fail(path, "nobody looks up a name here: the section dns has none")
	case name == "":
		r.Fail(path, "is required: one of %s", strings.Join(known, ", "))
	case near != "":
		r.Fail(path, "nobody looks up the name %q; did you mean %s?", name, near)
	default:
		r.Fail(path, "nobody looks up the name %q; one of %s", name, strings.Join(known, ", "))
	}
}

// namesAreGood says whether all records could be read, so that what follows from them may be told.
func (sc *Scenario) namesAreGood(r *form.Report) bool {
	return !r.Failed("dns") && !slices.ContainsFunc(sc.DNS, func(d DNSName) bool { return r.Failed(form.Join("dns", d.Name)) })
}

// mistakes counts those that r has been told.
func mistakes(r *form.Report) int {
	var all config.Errors
	errors.As(r.Err(), &all)
	return len(all)
}

// without splits a mapping: the pairs of those keys, and all others.
func without(n *yaml.Node, keys ...string) (given, rest *yaml.Node) {
	a, b := *n, *n
	a.Content, b.Content = nil, nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		to := &b
		if slices.Contains(keys, n.Content[i].Value) {
			to = &a
		}
		to.Content = append(to.Content, n.Content[i], n.Content[i+1])
	}
	return &a, &b
}

// pairs visits the entries of a mapping in their order; keys that are given twice are mistakes.
func pairs(r *form.Report, path, want string, n *yaml.Node, visit func(path, key string, value *yaml.Node)) {
	n = follow(n)
	if n.Kind != yaml.MappingNode || len(n.Content)/2 > maxItems {
		r.Fail(path, "want a mapping of at most %d entries, such as %s", maxItems, want)
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := form.Join(path, key.Value)
		r.Mark(at, key.Line)
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "":
			r.FailAt(key.Line, path, "a key must be a plain word")
		case seen[key.Value]:
			r.Fail(at, "is given twice")
		default:
			visit(at, key.Value, n.Content[i+1])
		}
		seen[key.Value] = true
	}
}

// textsValue is a mapping from words to text.
type textsValue struct {
	readOnly
	p     *map[string]string
	check func(key string) string // what is wrong with a key, or ""
}

func (v textsValue) Read(r *form.Report, path string, n *yaml.Node) {
	out := make(map[string]string)
	pairs(r, path, "{NAME: text}", n, func(at, key string, value *yaml.Node) {
		text, ok := scalar(value)
		switch {
		case v.check != nil && v.check(key) != "":
			r.Fail(at, "%s", v.check(key))
		case !ok:
			r.Fail(at, "want text")
		default:
			out[key] = text
		}
	})
	*v.p = out
}

func (textsValue) Check(*form.Report, string) {}

// checkVariable wants a word that can name a variable of the environment.
func checkVariable(s string) string {
	for i := range len(s) {
		c := s[i]
		if letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'; !letter && (i == 0 || c < '0' || c > '9') {
			return "a variable is named by letters, digits and underscores"
		}
	}
	return ""
}

// maxAddresses bounds those of one name.
const maxAddresses = 16

// dnsValue is a mapping from names to lists of addresses.
type dnsValue struct {
	readOnly
	p *[]DNSName
}

func (v dnsValue) Read(r *form.Report, path string, n *yaml.Node) {
	var out []DNSName
	pairs(r, path, "{web.internal: [10.0.0.1]}", n, func(at, key string, value *yaml.Node) {
		d := DNSName{Name: key}
		addressesValue{p: &d.Addresses}.Read(r, at, value)
		out = append(out, d)
	})
	*v.p = out
}

func (dnsValue) Check(*form.Report, string) {}

// addressesValue is a list of IP addresses, of which there is at least one.
type addressesValue struct {
	readOnly
	p *[]string
}

func (v addressesValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > maxAddresses {
		r.Fail(path, "want a list of 1 to %d IP addresses, such as [10.0.0.1]", maxAddresses)
		return
	}
	var out []string
	for _, item := range n.Content {
		text, _ := scalar(item)
		addr, err := netip.ParseAddr(text)
		if err != nil {
			r.FailAt(item.Line, path, "want IP addresses, such as 10.0.0.1; got %q", text)
			return
		}
		out = append(out, addr.String())
	}
	*v.p = out
}

func (v addressesValue) Check(r *form.Report, path string) {
	if len(*v.p) == 0 && !r.Failed(path) {
		r.Fail(path, "is required: a list of IP addresses, such as [10.0.0.1]")
	}
}
