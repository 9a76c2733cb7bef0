package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/proxy/config"
	"github.com/wavepool/wavepool/proxy/upstream"
)

// What the operations answer when they have changed nothing, besides the errors of package upstream. Each is wrapped in
// an error that says what and where.
var (
	// ErrUnknownUpstream: the settings have no upstream of that name.
	ErrUnknownUpstream = errors.New("no such upstream")
	// ErrNotRunning: the server has not been started, or stops.
	ErrNotRunning = errors.New("proxy: the server is not running")
)

// AddBackend adds a backend to an upstream at work; a weight of 0 is 1. It starts as at the server's own start. The error
// is ErrNotRunning, ErrUnknownUpstream, upstream.ErrKnownBackend, or a config.Errors that says what is wrong with the
// backend, and then nothing has changed.
func (s *Server) AddBackend(name string, b config.Backend) error {
	return s.change(name, func(u *config.Upstream) error {
		if placeOf(u, b.Address) >= 0 {
			return fmt.Errorf("upstream %s: backend %s: %w", name, b.Address, upstream.ErrKnownBackend)
		}
		u.Backends = append(u.Backends, b)
		return nil
	}, func(up *upstream.Upstream) error {
		return up.AddBackend(upstream.Backend{Address: b.Address, Weight: b.Weight, Priority: b.Priority, Zone: b.Zone})
	})
}

// RemoveBackend takes a backend out of an upstream. It gets nothing new from now on; requests and tunnels there have the
// settings' DrainTimeout to end, and are then cut off. The error is ErrNotRunning, ErrUnknownUpstream,
// upstream.ErrUnknownBackend or upstream.ErrLastBackend.
func (s *Server) RemoveBackend(name, address string) error {
	return s.change(name, func(u *config.Upstream) error {
		i, err := find(u, address)
		if err == nil && len(u.Backends) == 1 {
			err = fmt.Errorf("upstream %s: backend %s: %w", name, address, upstream.ErrLastBackend)
		}
		if err == nil {
			u.Backends = slices.Delete(u.Backends, i, i+1)
		}
		return err
	}, func(up *upstream.Upstream) error { return up.RemoveBackend(address, s.Settings().DrainTimeout) })
}

// SetWeight changes the share of a backend, from 1 to config.MaxWeight, for the requests to come. The error is
// ErrNotRunning, ErrUnknownUpstream, upstream.ErrUnknownBackend or upstream.ErrBadWeight.
func (s *Server) SetWeight(name, address string, weight int) error {
	return s.change(name, func(u *config.Upstream) error {
		i, err := find(u, address)
		if err == nil && (weight < 1 || weight > config.MaxWeight) {
			err = fmt.Errorf("upstream %s: backend %s: weight %d is not between 1 and %d: %w",
				name, address, weight, config.MaxWeight, upstream.ErrBadWeight)
		}
		if err == nil {
			u.Backends[i].Weight = weight
		}
		return err
	}, func(up *upstream.Upstream) error { return up.SetWeight(address, weight) })
}

// DrainBackend lets a backend have nothing new until UndrainBackend, whatever its health, a reload included. Requests and
// tunnels there go on, and its idle connections are closed: once the backend's InFlight in Stats is 0, it may be
// restarted without a failed request. Draining the last backend that is available makes requests fail. The error is
// ErrNotRunning, ErrUnknownUpstream or upstream.ErrUnknownBackend.
func (s *Server) DrainBackend(name, address string) error {
	return s.change(name, knows(address), func(up *upstream.Upstream) error { return up.DrainBackend(address) })
}

// UndrainBackend ends what DrainBackend began. The errors are the same.
func (s *Server) UndrainBackend(name, address string) error {
	return s.change(name, knows(address), func(up *upstream.Upstream) error { return up.UndrainBackend(address) })
}

// knows is the edit of an operation that changes no settings.
func knows(address string) func(*config.Upstream) error {
	return func(u *config.Upstream) error {
		_, err := find(u, address)
		return err
	}
}

// placeOf is where the settings have a backend, or -1.
func placeOf(u *config.Upstream, address string) int {
	return slices.IndexFunc(u.Backends, func(b config.Backend) bool { return b.Address == address })
}

// find is placeOf with an error that names the address that was probably meant.
func find(u *config.Upstream, address string) (int, error) {
	i := placeOf(u, address)
	if i >= 0 {
		return i, nil
	}
	var known []string
	for _, b := range u.Backends {
		known = append(known, b.Address)
	}
	return i, fmt.Errorf("upstream %s: backend %s: %w%s", u.Name, address, upstream.ErrUnknownBackend, hint(address, known))
}

// change carries out an operation on one upstream. Edit makes the settings that describe its result, which are put in
// force with it, or says why there is none.
func (s *Server) change(name string, edit func(*config.Upstream) error, do func(*upstream.Upstream) error) error {
	defer s.turn.take()()
	if !s.running() {
		return ErrNotRunning
	}
	g := s.groupNamed(name)
	if g == nil {
		return s.unknownUpstream(name)
	}
	next := *s.Settings()
	next.Upstreams = slices.Clone(next.Upstreams)
	c := next.UpstreamNamed(name)
	c.Backends = slices.Clone(c.Backends)
	if err := edit(c); err != nil {
		return err
	}
	settings := next.WithDefaults()
	if err := settings.Validate(); err != nil {
		return err
	}
	if err := do(g.up); err != nil {
		return err
	}
	s.publish(settings)
	return nil
}

// running says whether operations are possible.
func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started && s.listeners != nil && !s.closed && !s.draining.Load()
}

// groupNamed returns the running upstream of that name, or nil.
func (s *Server) groupNamed(name string) *group {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.upstreams {
		if g.name == name && !g.gone {
			return g
		}
	}
	return nil
}

// unknownUpstream names the upstream that was probably meant.
func (s *Server) unknownUpstream(name string) error {
	var known []string
	for _, u := range s.Settings().Upstreams {
		known = append(known, u.Name)
	}
	return fmt.Errorf("upstream %q: %w%s", name, ErrUnknownUpstream, hint(name, known))
}

// maxListed is how many known names an error lists.
const maxListed = 8

func hint(word string, known []string) string {
	switch near := config.Nearest(word, known); {
	case near != "":
		return "; did you mean " + near + "?"
	case len(known) <= maxListed:
		return "; known: " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("; %d others are known", len(known))
}
