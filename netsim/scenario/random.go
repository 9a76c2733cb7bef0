package scenario

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// RandomFaults are faults that are drawn from the seed, beside those of the list. They come independently of each other, and
// may overlap. Each is drawn by a stream of its own, from the seed and its number alone.
type RandomFaults struct {
	// Rate is how often one begins on average, per second. Key rate, written 2/m; required, at most 10/s.
	Rate float64
	// Kinds are those to draw from, evenly; one that is given twice comes twice as often. Key kinds, required: any of reset,
	// silent_drop, partition, partition_one_way (either way), unreachable, clog, conntrack_loss, crash, kill, pause,
	// no_accept, refuse.
	Kinds []string
	// On are the machines that they befall: backends' hosts. Faults of a path are between the proxy and one of them. Key on,
	// default every backend's.
	On []string
	// Lasting is how long each lasts, but never beyond To, and not shorter than 1ms. Key lasting, default 5s.
	Lasting Distribution
	// From and To bound them: none begins before, and none lasts longer. Keys from, default 0, and to, default the
	// scenario's duration. One that would end with the scenario lasts to its end.
	From, To time.Duration
}

// randomKinds are those that need nothing but a machine.
var randomKinds = []string{Reset, SilentDrop, Partition, PartitionOneWay, Unreachable, Clog, ConntrackLoss, Crash, Kill, Pause,
	NoAccept, Refuse}

// maxRandomRate bounds their rate, per second.
const maxRandomRate = 10

func (f *RandomFaults) form() form.Form {
	return form.Form{
		{Key: "rate", Value: rateValue{p: &f.Rate}},
		{Key: "kinds", Value: wordsValue{p: &f.Kinds}},
		{Key: "on", Value: wordsValue{p: &f.On}},
		{Key: "lasting", Value: f.Lasting.form()},
		{Key: "from", Value: form.Duration(&f.From, 0, day)},
		{Key: "to", Value: optional{form.Duration(&f.To, tick, day), func() bool { return f.To == 0 }}},
	}
}

func defaultRandomFaults() RandomFaults { return RandomFaults{Lasting: constant(5 * time.Second)} }

// checkRandom tells what the keys do to each other and to the rest.
func (sc *Scenario) checkRandom(r *form.Report) {
	const path = "random_faults"
	f := sc.Random
	if f == nil || r.Skipped(path) {
		return
	}
	rate, kinds, on := form.Join(path, "rate"), form.Join(path, "kinds"), form.Join(path, "on")
	from, to := form.Join(path, "from"), form.Join(path, "to")
	switch {
	case r.Failed(rate):
	case f.Rate == 0:
		r.Fail(rate, "is required: how often a fault begins, such as 2/m")
	case f.Rate > maxRandomRate:
		r.Fail(rate, "must be at most %d/s", maxRandomRate)
	}
	if len(f.Kinds) == 0 {
		r.Fail(kinds, "is required: a list of %s", strings.Join(randomKinds, ", "))
	}
	for _, k := range f.Kinds {
		if slices.Contains(randomKinds, k) {
			continue
		}
		if near := config.Nearest(k, randomKinds); near != "" {
			r.Fail(kinds, "%q cannot be drawn; did you mean %s?", k, near)
		}
		r.Fail(kinds, "%q cannot be drawn; one of %s", k, strings.Join(randomKinds, ", "))
	}
	for _, host := range f.On {
		sc.checkHost(r, on, host, sc.backendHosts())
	}
	f.Lasting.check(r, form.Join(path, "lasting"))
	switch {
	case r.Failed(from, to, "duration"):
	case f.From >= sc.Duration:
		r.Fail(from, "is not within the duration of the scenario (%v)", sc.Duration)
	case f.To > sc.Duration:
		r.Fail(to, "is after the end of the scenario (%v)", sc.Duration)
	case f.To > 0 && f.To <= f.From:
		r.Fail(to, "is not after from (%v <= %v)", f.To, f.From)
	}
}

// drawn gives the random faults of a seed, in the order of their beginnings: at most maxItems.
func (sc *Scenario) drawn(seed uint64) []Fault {
	f := sc.Random
	if f == nil {
		return nil
	}
	on, to := f.On, f.To
	if len(on) == 0 {
		on = sc.backendHosts()
	}
	if to == 0 {
		to = sc.Duration
	}
	var out []Fault
	at := f.From
	for n := 1; len(out) < maxItems; n++ {
		rnd := streamOf(seed, "random_fault/"+strconv.Itoa(n))
		at += time.Duration(rnd.ExpFloat64() / f.Rate * float64(time.Second)).Truncate(time.Millisecond)
		if at >= to || at < 0 {
			break
		}
		kind, host, way := f.Kinds[rnd.IntN(len(f.Kinds))], on[rnd.IntN(len(on))], rnd.IntN(2)
		lasts := min(max(f.Lasting.draw(rnd).Truncate(time.Millisecond), tick), to-at)
		if at+lasts >= sc.Duration || kind == Reset {
			lasts = -1
		}
		out = append(out, fault(kind, host, way, at, lasts))
	}
	return out
}

// fault makes one of the random kinds.
func fault(kind, host string, way int, at, lasts time.Duration) Fault {
	f := Fault{At: at, For: lasts, Kind: kind, Host: host, Between: [2]string{ProxyName, host}}
	switch {
	case f.onHost():
		f.Between = [2]string{}
	case kind == PartitionOneWay && way == 1:
		f.Between, f.Host = [2]string{host, ProxyName}, ""
	default:
		f.Host = ""
	}
	return f
}

// streamOf is a random stream of its own for a seed and an entity, that needs no simulation.
func streamOf(seed uint64, entity string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(entity)) // it cannot fail
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// node writes a fault of a random kind as a file has it.
func (f *Fault) node() *yaml.Node {
	word := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
	flow := func(kind yaml.Kind, content ...*yaml.Node) *yaml.Node {
		return &yaml.Node{Kind: kind, Style: yaml.FlowStyle, Content: content}
	}
	inside := flow(yaml.MappingNode, word("between"), flow(yaml.SequenceNode, word(f.Between[0]), word(f.Between[1])))
	if f.onHost() {
		inside = flow(yaml.MappingNode, word("host"), word(f.Host))
	}
	out := flow(yaml.MappingNode, word("at"), word(shortDuration(f.At)))
	if f.For >= 0 {
		out.Content = append(out.Content, word("for"), word(shortDuration(f.For)))
	}
	out.Content = append(out.Content, word(f.Kind), inside)
	return out
}

// wordsValue is a list of words.
type wordsValue struct {
	readOnly
	p *[]string
}

func (v wordsValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > maxItems {
		r.Fail(path, "want a list of 1 to %d words", maxItems)
		return
	}
	var out []string
	for _, item := range n.Content {
		text, ok := scalar(item)
		if !ok {
			r.FailAt(item.Line, path, "want a list of words")
			return
		}
		out = append(out, text)
	}
	*v.p = out
}

func (wordsValue) Check(*form.Report, string) {}
