package proxy

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wavepool/wavepool/proxy/accesslog"
	"github.com/wavepool/wavepool/proxy/certs"
	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// Reload puts other settings in force, under load and as a whole: when there is an error nothing has changed. It returns
// what has changed, one line for each key, in words for an operator; none when the settings are those in force.
//
// A request finds its route and its limits in one state of the settings, and keeps them to its end. Upstreams are known by
// their names and backends by their addresses: those that stay keep their connections, their health, their counts and
// whether they are drained. A new backend starts as at the server's start, and one that is gone leaves as by
// RemoveBackend. An upstream whose TLS or send_proxy is set otherwise, or finds other certificates in its files, is a new one: no
// connection is used under an identity that it was not made for. Listeners are known by their addresses: new ones are opened before anything changes, those that are gone
// accept nothing more, and their connections have DrainTimeout to end their requests. Workers of a listener that is open
// stay as many as they were; its HTTP/2 connections that are open keep their limits and times; the operators' page stays where it is, and a listener's protocol cannot change; the line, or
// the error, says so.
//
// The error is a config.Errors with the mistakes in the settings, ErrNotRunning, or says which listener cannot be opened.
func (s *Server) Reload(cfg *config.Config) (changes []string, err error) {
	defer s.turn.take()()
	if !s.running() {
		return nil, ErrNotRunning
	}
	next := cfg.WithDefaults()
	if err := next.Validate(); err != nil {
		return nil, err
	}
	changes, err = config.Diff(s.Settings(), next)
	if err != nil {
		return nil, err
	}
	for i, line := range changes {
		if strings.HasPrefix(line, "admin.") || restartOnly.MatchString(line) {
			changes[i] += " (takes a restart)"
		}
	}
	s.keep(next)
	r, err := s.prepare(next)
	if err != nil {
		return nil, err
	}
	s.commit(next, r)
	s.tell(upstream.Event{
		Entity: "server", Kind: upstream.KindOperation, Reason: upstream.OpReload.String(),
		Detail: fmt.Sprintf("%d changes", len(changes)),
	})
	return changes, nil
}

// keep puts what cannot change while the server runs back as it is, so that the settings in force are those that are, and a
// further reload tells of it again.
func (s *Server) keep(next *config.Config) {
	now := s.Settings()
	next.Admin = now.Admin
	for i := range next.Listeners {
		l := &next.Listeners[i]
		for j := range now.Listeners {
			if old := &now.Listeners[j]; l.Address == old.Address {
				l.Workers = old.Workers
			}
		}
	}
	for i := range next.Upstreams {
		if old := now.UpstreamNamed(next.Upstreams[i].Name); old != nil {
			next.Upstreams[i].Pool.LeakAfter = old.Pool.LeakAfter
		}
	}
}

// restartOnly is a change of what an open listener, or a pool at work, keeps.
var restartOnly = regexp.MustCompile(`^listeners\[[^\]]*\]\.workers: |^upstreams\..*\.pool\.leak_after: `)

// reload is what has been made ready for other settings.
type reload struct {
	groups    []*group          // in the order of the settings
	configs   []upstream.Config // what each is to become; one that is new is that already
	fresh     []*group
	stickers  []*sticker // of groups that stay; in the order of the settings
	listeners []*listener
	began     []*listener
	fronts    []*certs.Front
	shared    *shared
	access    *accesslog.Log // in place of the one in force
	newLog    bool           // there is another one, or none
}

// prepare does everything that may fail, and changes nothing.
func (s *Server) prepare(next *config.Config) (*reload, error) {
	s.mu.Lock()
	have := slices.Clone(s.listeners)
	s.mu.Unlock()
	for i := range next.Listeners {
		c := &next.Listeners[i]
		if l := listenerFor(c, have, nil); l != nil && l.tcp != (c.Protocol == config.ProtocolTCP) {
			return nil, fmt.Errorf("listener %s: its protocol cannot change while it is open; "+
				"give the other protocol another address, or restart", c.Address)
		}
	}
	r := &reload{shared: newShared()}
	var err error
	if r.fronts, err = s.newFronts(next.Listeners); err != nil {
		return nil, err
	}
	for i := range next.Upstreams {
		if err := s.prepareGroup(r, next, &next.Upstreams[i]); err != nil {
			r.giveUp()
			return nil, err
		}
	}
	if r.newLog = !reflect.DeepEqual(s.Settings().AccessLog, next.AccessLog); r.newLog {
		if r.access, err = s.openLog(next.AccessLog); err != nil {
			r.giveUp()
			return nil, err
		}
	}
	if r.listeners, err = s.openListeners(context.Background(), next.Listeners, have); err != nil {
		r.giveUp()
		return nil, err
	}
	for _, l := range r.listeners {
		if !slices.Contains(have, l) {
			r.began = append(r.began, l)
		}
	}
	return r, nil
}

// prepareGroup makes a new upstream, or sees whether the one that is there would accept its new settings.
func (s *Server) prepareGroup(r *reload, next *config.Config, c *config.Upstream) error {
	g := s.groupNamed(c.Name)
	if g == nil || !g.sameIdentity(c) {
		g, err := s.newGroup(next, c, r.shared)
		if err == nil {
			r.groups, r.configs, r.fresh = append(r.groups, g), append(r.configs, upstream.Config{}), append(r.fresh, g)
			r.stickers = append(r.stickers, g.sticky)
		}
		return err
	}
	if g.back != nil {
		r.shared.backs[backKeyOf(c)] = g.back
	}
	uc, err := s.upstreamConfig(next, c, g, r.shared)
	if err == nil {
		err = g.up.Check(uc)
	}
	var k *sticker
	if err == nil {
		k, err = s.newSticker(c)
	}
	r.groups, r.configs, r.stickers = append(r.groups, g), append(r.configs, uc), append(r.stickers, k)
	return err
}

// giveUp lets go of what was made in vain.
func (r *reload) giveUp() {
	for _, g := range r.fresh {
		g.up.Close()
	}
	if r.access != nil {
		r.access.Close()
	}
}

// commit puts the settings in force. New upstreams are there before a request can be sent to them, and those that are gone
// go after none can be sent to them any more.
func (s *Server) commit(next *config.Config, r *reload) {
	for _, g := range r.fresh {
		g.up.Start()
	}
	s.mu.Lock()
	oldGroups, oldListeners := s.upstreams, s.listeners
	s.upstreams, s.listeners, s.fronts = slices.Clone(r.groups), slices.Clone(r.listeners), r.fronts
	var goneGroups []*group
	for _, g := range oldGroups {
		if !slices.Contains(r.groups, g) {
			s.upstreams = append(s.upstreams, g)
			if !g.gone {
				g.gone = true
				goneGroups = append(goneGroups, g)
			}
		}
	}
	var goneListeners []*listener
	for _, l := range oldListeners {
		if !slices.Contains(r.listeners, l) {
			s.listeners = append(s.listeners, l)
			if !l.closing.Swap(true) {
				goneListeners = append(goneListeners, l)
			}
		}
	}
	for i, g := range r.groups {
		g.sticky = r.stickers[i]
	}
	s.mu.Unlock()
	s.shared = r.shared
	s.publish(next)
	if r.newLog {
		s.changeLog(r.access)
	}
	for i, g := range r.groups {
		if slices.Contains(r.fresh, g) {
			continue
		}
		s.mu.Lock()
		g.prober = r.configs[i].Check.Prober
		s.mu.Unlock()
		_ = g.up.Apply(r.configs[i], next.DrainTimeout) // it has been checked; only a server that stops could refuse
	}
	for _, l := range r.began {
		l.start()
	}
	for _, l := range goneListeners {
		s.retireListener(l, next.DrainTimeout)
	}
	for _, g := range goneGroups {
		s.retireGroup(g, next.DrainTimeout)
	}
	s.watchCertificates()
}

// publish puts settings in force for the requests to come.
func (s *Server) publish(settings *config.Config) {
	s.settings.Store(settings)
	targets := map[string]*target{}
	for i := range settings.Upstreams {
		u := &settings.Upstreams[i]
		targets[u.Name] = newTarget(s.groupNamed(u.Name), u)
	}
	s.mu.Lock()
	listeners, fronts := slices.Clone(s.listeners), s.fronts
	s.mu.Unlock()
	for i, l := range listeners {
		if !l.closing.Load() { // these are behind the others, which are in the order of the settings
			l.plan.Store(newPlan(&settings.Listeners[i], fronts[i], targets))
			if l.h2 != nil {
				l.h2.Adjust(frontLimits(&settings.Listeners[i]))
			}
		}
	}
}

// retireListener closes a listener, lets its requests come to their end, and cuts off what has not after the given time.
func (s *Server) retireListener(l *listener, within time.Duration) {
	rest := apart(s.clk)
	_ = l.ln.Close()
	rest()
	s.sendAway([]*listener{l}, noticeWithin(within))
	s.eachConn(func(c *client) {
		if c.l == l {
			c.wakeIfIdle()
		}
	})
	s.background(within, func() {
		l.accepting.Wait()
		l.serving.Wait()
		l.end()
		s.mu.Lock()
		s.listeners = slices.DeleteFunc(s.listeners, func(x *listener) bool { return x == l })
		s.mu.Unlock()
	}, func(c *client) bool { return c.l == l })
}

// pollEvery is how often it is looked whether requests still use an upstream that is retired.
const pollEvery = 10 * time.Millisecond

// retireGroup ends an upstream that no new request can find, once those that have found it are over.
func (s *Server) retireGroup(g *group, within time.Duration) {
	uses := func(c *client) bool {
		to := c.using.Load()
		return to != nil && to.up == g.up
	}
	s.background(within, func() {
		for s.anyConn(uses) {
			s.clk.Sleep(pollEvery)
		}
		g.up.Close()
		st := g.up.Stats()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.upstreams = slices.DeleteFunc(s.upstreams, func(x *group) bool { return x == g })
		addUp(&s.retired, &st)
	}, uses)
}

// background runs the wait for what has been retired on a goroutine of its own. When it takes longer than the given time
// the connections that hold it up are cut off.
func (s *Server) background(within time.Duration, wait func(), holdUp func(*client) bool) {
	s.work.Add(2)
	limit := s.clk.AfterFunc(within, func() {
		defer s.work.Done()
		s.eachConn(func(c *client) {
			if holdUp(c) {
				c.abort()
			}
		})
	})
	s.clk.AfterFunc(0, func() {
		defer s.work.Done()
		wait()
		if limit.Stop() {
			s.work.Done()
		}
	})
}

// anyConn says whether a client connection has a property.
func (s *Server) anyConn(has func(*client) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := s.conns.head; c != nil; c = c.next {
		if has(c) {
			return true
		}
	}
	return false
}

// addUp adds the counters of an upstream that has ended, whose backends are at rest.
func addUp(sum, st *upstream.Stats) {
	sum.Begun, sum.Waits = sum.Begun+st.Begun, sum.Waits+st.Waits
	sum.Wait.Add(&st.Wait)
	sum.Shed, sum.Overflowed = sum.Shed+st.Shed, sum.Overflowed+st.Overflowed
	sum.Retries, sum.OverBudget = sum.Retries+st.Retries, sum.OverBudget+st.OverBudget
	sum.Removed.Merge(&st.Removed)
	for i := range st.Backends {
		sum.Removed.Add(&st.Backends[i])
	}
}
