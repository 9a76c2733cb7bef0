package scenario

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/config/form"
)

// The kinds of operations, as files write them. Each is a call of the proxy's own.
const (
	OpDrain    = "drain"    // proxy.Server.DrainBackend
	OpUndrain  = "undrain"  // proxy.Server.UndrainBackend
	OpAdd      = "add"      // proxy.Server.AddBackend
	OpRemove   = "remove"   // proxy.Server.RemoveBackend
	OpReweight = "reweight" // proxy.Server.SetWeight
	OpReload   = "reload"   // proxy.Server.Reload

	// OpRenew puts new certificates into the files, and gives new ones to the backends. The proxy finds them by itself.
	OpRenew = "renew_certificates"
)

// Operation is one thing that an operator does to the running proxy.
type Operation struct {
	// At is when. Key at, required, within the scenario's duration.
	At time.Duration
	// Kind is one of the constants above.
	Kind string
	// Upstream is the group of the backend. Key upstream; it may be left out where one group only is possible.
	Upstream string
	// Backend is the address that the operation is about. Key backend; for OpAdd address. Required but for OpReload and OpRenew.
	Backend string
	// Weight is for OpAdd, default 1, and for OpReweight, required there. Key weight, from 1 to config.MaxWeight.
	Weight int
	// Settings are for OpReload: the configuration in place, or that of the file which its key config names.
	Settings *config.Config

	reload reloadSource
}

// form binds an operation. Whoever reads it is sc, for the files of reloads.
func (o *Operation) form(sc *Scenario) form.Value {
	upstream := form.Field{Key: "upstream", Value: form.String(&o.Upstream, nil)}
	backend := form.Field{Key: "backend", Value: form.String(&o.Backend, nil)}
	weight := form.Field{Key: "weight", Value: form.Int(&o.Weight, 1, config.MaxWeight)}
	o.reload.sc, o.reload.into = sc, &o.Settings
	return oneOf{
		kind:  &o.Kind,
		plain: form.Form{{Key: "at", Value: form.Duration(&o.At, 0, day)}},
		kinds: form.Form{
			{Key: OpDrain, Value: form.Form{upstream, backend}},
			{Key: OpUndrain, Value: form.Form{upstream, backend}},
			{Key: OpAdd, Value: form.Form{upstream, {Key: "address", Value: form.String(&o.Backend, nil)}, weight}},
			{Key: OpRemove, Value: form.Form{upstream, backend}},
			{Key: OpReweight, Value: form.Form{upstream, backend, weight}},
			{Key: OpReload, Value: &o.reload},
			{Key: OpRenew, Value: form.Form{}},
		},
	}
}

// String describes the operation for timelines: "reweight 10.0.0.1:80 to 3".
func (o *Operation) String() string {
	switch o.Kind {
	case OpReload:
		if o.reload.conf != "" {
			return "reload " + o.reload.conf
		}
		return "reload"
	case OpReweight:
		return fmt.Sprintf("%s %s to %d", o.Kind, o.Backend, o.Weight)
	}
	return strings.TrimSpace(o.Kind + " " + o.Backend)
}

// reloadSource is {config: FILE}, or a whole configuration in place, as for the key proxy.
type reloadSource struct {
	readOnly
	sc   *Scenario
	into **config.Config
	conf string
}

func (v *reloadSource) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "config" {
		before := form.Form{{Key: "config", Value: form.String(&v.conf, nil)}}
		before.Read(r, path, n)
		if file := form.Join(path, "config"); !r.Failed(file) {
			*v.into = v.sc.loadConfig(r, file, v.conf)
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		r.Fail(path, "want {config: FILE}, or a configuration of the proxy itself")
		return
	}
	c, err := config.ParseNode(r.File, n, v.sc.sources())
	*v.into = c
	var all config.Errors
	if errors.As(err, &all) {
		for _, e := range all {
			r.FailAt(e.Line, form.Join(path, e.Path), "%s", e.Msg)
		}
	}
}

func (v *reloadSource) Check(*form.Report, string) {}

// operationsValue is the list of operations.
type operationsValue struct {
	readOnly
	sc *Scenario
}

func (v operationsValue) Read(r *form.Report, path string, n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxItems {
		r.Fail(path, "want a list of at most %d operations", maxItems)
		return
	}
	out := make([]Operation, len(n.Content))
	for i, item := range n.Content {
		out[i].Weight = 1
		at := form.Index(path, i)
		r.Mark(at, item.Line)
		out[i].form(v.sc).Read(r, at, item)
	}
	v.sc.Operations = out
}

func (v operationsValue) Check(r *form.Report, path string) {
	for i := range v.sc.Operations {
		v.sc.Operations[i].form(v.sc).Check(r, form.Index(path, i))
	}
}

// OperationKinds describes every kind of operation, in the order of their names. The slice is the caller's own.
func OperationKinds() []FaultKind {
	return []FaultKind{
		{OpAdd, "A backend joins a group. " +
			"It is up until evidence says otherwise, and its pool is empty: the first requests to it wait for dials. It must be one " +
			"of the simulated backends.",
			"{at: 40s, add: {upstream: web, address: \"10.0.0.4:80\", weight: 1}}"},
		{OpDrain, "A backend gets nothing new until undrain, whatever its health. " +
			"Requests and tunnels there go on, its idle connections are closed, and checks go on. It is what to do before a restart.",
			"{at: 40s, drain: {backend: \"10.0.0.1:80\"}}"},
		{OpReload, "Another configuration is put in force, as a whole, under load. " +
			"Backends that stay keep their connections, their health and their counts; new ones join, those that are gone leave as by " +
			"remove. It takes a file, config: FILE, or the configuration itself.",
			"{at: 40s, reload: {config: ../configs/next.yaml}}"},
		{OpRemove, "A backend leaves its group for good. " +
			"It gets nothing new; requests and tunnels there have the proxy's drain_timeout to end, and are then cut off.",
			"{at: 40s, remove: {backend: \"10.0.0.1:80\"}}"},
		{OpRenew, "Every certificate of the proxy and of its backends is replaced by a new one. " +
			"The authority stays. The proxy reads its files again when reload_every has passed, or at a reload; connections that are " +
			"open go on. A scenario with certificates has generated ones in the place of the files that its configuration names.",
			"{at: 40s, renew_certificates: {}}"},
		{OpReweight, "A backend's share changes for the requests to come. " +
			"What is in flight stays where it is.",
			"{at: 40s, reweight: {backend: \"10.0.0.1:80\", weight: 5}}"},
		{OpUndrain, "A drained backend may be chosen again, if health admits it. " +
			"Its pool is empty, or holds the connections that min_idle asks for.",
			"{at: 60s, undrain: {backend: \"10.0.0.1:80\"}}"},
	}
}
