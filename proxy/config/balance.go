package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// The parts of a request by which a strategy that chooses by a key can choose.
const (
	HashSource = "source_address" // the client's address
	HashHeader = "header"         // a field of the request's head
	HashCookie = "cookie"         // a cookie that the client sends
	HashPath   = "path"           // the path of the request's target, without the query
)

// Hash says by what a strategy chooses that chooses by a key, and how strictly.
//
// A key prefers the backends in an order of its own, on which all proxies with the same list agree. The first of them
// is taken that is available, within its bound, and has room: neither max_connections nor max_dials stand in the way.
type Hash struct {
	// By is HashSource (the default), HashHeader, HashCookie or HashPath. In the file it is the key: source_address:
	// true, header: NAME, cookie: NAME or path: true, of which there is one.
	//
	// The source address of an IPv6 client is its /64 network; behind a proxy that is believed (trusted_proxies) it
	// is the last address in X-Forwarded-For that is not such a proxy's. A request that has no such field, cookie or
	// address goes to the backends in turn, and so does every connection of a TCP listener whose upstream chooses by
	// anything but the source.
	By string
	// Name is that of the field or the cookie; empty otherwise. The first field of several counts, and the first cookie.
	Name string
	// BalanceFactor bounds the requests in flight at one backend, in percent of its part (by weight, within its
	// priority): a key whose backend has more goes to its next best. Few requests at a time make the part less than
	// one, which is rounded up; so where few are in flight many keys leave their backend for no need: with ten backends and
	// 125, 38 % of the requests do with 7 in flight, 16 % with 70, 1 % with 700. It is what caches under heavy load want, and
	// what sessions must not have. Key balance_factor, default Off: a key never leaves its backend for that; or from 101 to
	// 1000, of which 125 is usual.
	BalanceFactor int
}

// DefaultHash returns what holds when a file says nothing.
func DefaultHash() Hash { return Hash{By: HashSource, BalanceFactor: Off} }

// StrategyByKey says whether the strategy of that name chooses by Upstream.Hash.
func StrategyByKey(name string) bool {
	return slices.Contains([]string{StrategyRingHash, StrategyMaglev, StrategyRendezvous}, name)
}

// StrategySlowStarts says whether Upstream.SlowStart means something to the strategy of that name. To those that
// choose by a key, and to the first, it does not.
func StrategySlowStarts(name string) bool { return !StrategyByKey(name) && name != StrategyFirst }

// filledHash is u.Hash with its defaults, shared with nobody. Where no key is chosen by, the defaults are none: whoever gives
// settings in force another strategy need not know of them.
func (u *Upstream) filledHash() *Hash {
	h := Hash{}
	if u.Hash != nil {
		h = *u.Hash
	}
	fill(&h.By, HashSource)
	fill(&h.BalanceFactor, DefaultHash().BalanceFactor)
	if h == DefaultHash() && !StrategyByKey(u.Strategy) {
		return nil
	}
	return &h
}

func (h *Hash) form() form.Form {
	return form.Form{
		{Key: HashSource, Value: hashPart{h, HashSource}},
		{Key: HashHeader, Value: hashPart{h, HashHeader}},
		{Key: HashCookie, Value: hashPart{h, HashCookie}},
		{Key: HashPath, Value: hashPart{h, HashPath}},
		{Key: "balance_factor", Value: form.IntOrOff(&h.BalanceFactor, 101, 1000, Off)},
	}
}

// hashPart is one of the keys of which a hash has one.
type hashPart struct {
	h  *Hash
	by string
}

func (v hashPart) named() bool { return v.by == HashHeader || v.by == HashCookie }

func (v hashPart) Read(r *form.Report, path string, n *yaml.Node) {
	name, chosen := "", true
	if v.named() {
		form.String(&name, nil).Read(r, path, n)
	} else {
		truth{&chosen}.Read(r, path, n)
	}
	switch {
	case r.Failed(path) || !chosen:
	case v.h.By != "":
		r.Fail(path, "stands beside %s; give one", v.h.By)
	default:
		v.h.By, v.h.Name = v.by, name
	}
}

func (v hashPart) Check(r *form.Report, path string) {
	if v.h.By != v.by || !v.named() {
		return
	}
	if len(v.h.Name) > 256 || v.h.Name == "" || !token(v.h.Name) {
		r.Fail(path, "want the name of a %s, in letters, digits and !#$%%&'*+-.^_`|~; got %q", v.by, v.h.Name)
	}
}

func (v hashPart) Node() *yaml.Node {
	switch {
	case v.h.By != v.by:
		return nil
	case v.named():
		return form.String(&v.h.Name, nil).Node()
	}
	yes := true
	return truth{&yes}.Node()
}

// token says whether a word is a token of RFC 9110 section 5.6.2, as names of fields and of cookies are.
func token(s string) bool { return onlyWord(s, "!#$%&'*+-.^_`|~") }

// truth is true or false.
type truth struct{ p *bool }

func (v truth) Read(r *form.Report, path string, n *yaml.Node) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		r.Fail(path, "want true or false")
		return
	}
	*v.p = n.Value == "true"
}

func (v truth) Check(*form.Report, string) {}

func (v truth) Node() *yaml.Node {
	word := "false"
	if *v.p {
		word = "true"
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: word}
}

// backup is another way to say priority: 1.
type backup struct{ p *int }

func (v backup) Read(r *form.Report, path string, n *yaml.Node) {
	is := false
	if (truth{&is}).Read(r, path, n); is {
		*v.p = 1
	}
}

func (v backup) Check(*form.Report, string) {}

func (v backup) Node() *yaml.Node { return nil }

// checkZone wants the name of a zone, or none.
func checkZone(s string) string {
	if s != "" && checkName(s) != "" {
		return "want 1 to 64 letters, digits, hyphens, underscores and dots, beginning with a letter or a digit"
	}
	return ""
}

// checkBalance finds the settings of balancing that mean nothing beside each other.
func (u *Upstream) checkBalance(r *form.Report, path string) {
	strategy, hash, slow := form.Join(path, "strategy"), form.Join(path, "hash"), form.Join(path, "slow_start")
	if r.Failed(strategy) {
		return
	}
	switch h := u.Hash; {
	case h == nil || r.Failed(hash):
	case !StrategyByKey(u.Strategy):
		r.Fail(hash, "means nothing to %s, which looks at no key; ring-hash, maglev and rendezvous do", u.Strategy)
	case h.By != HashSource && h.By != HashPath && h.By != HashHeader && h.By != HashCookie: // only in Go
		r.Fail(hash, "want %s, %s, %s or %s; got %q", HashSource, HashHeader, HashCookie, HashPath, h.By)
	case h.Name != "" && (h.By == HashSource || h.By == HashPath):
		r.Fail(hash, "%s has no name; got %q", h.By, h.Name)
	}
	if u.SlowStart > 0 && !StrategySlowStarts(u.Strategy) && !r.Failed(slow) {
		why := "keys would move for it"
		if u.Strategy == StrategyFirst {
			why = "it fills one backend after the other"
		}
		r.Fail(slow, "means nothing to %s: %s", u.Strategy, why)
	}
	for i := range u.Backends {
		b := form.Index(form.Join(path, "backends"), i)
		if p := form.Join(b, "backup"); r.Given(p) && r.Given(form.Join(b, "priority")) && !r.Failed(p) {
			r.Fail(p, "stands beside priority; give one")
		}
	}
}
