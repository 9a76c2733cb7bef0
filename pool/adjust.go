package pool

import "time"

// Adjust changes the settings of a pool at work to those of cfg, with their defaults where they are zero: MaxConnections,
// MinIdle, MaxIdle, IdleTimeout, MaxLifetime, LifetimeSpread, MaxUses, DialTimeout, MinDialTimeout, MaxDials,
// ValidateAfter, Greets, KeepAlive, UserTimeout, TrimEvery, Predict, PredictEvery and Order. It looks at nothing else in cfg.
// Sizes change as by Resize; a new IdleTimeout and a new MaxUses concern the connections that are there now, too, and a new
// MaxLifetime, KeepAlive and UserTimeout those that are dialled from now on. A change of Greets retires what is idle, as by
// Retire. The error lists the mistakes, or is ErrClosed, and then nothing has changed.
func (p *Pool) Adjust(cfg Config) error {
	p.lock()
	whole := p.cfg
	p.unlock()
	whole.adjustable(&cfg)
	whole, err := whole.withDefaults()
	if err != nil {
		return err
	}
	p.lock()
	if p.closed {
		p.unlock()
		return ErrClosed
	}
	// Whoever reads these does so as the owner of the pool or of a shard, as with the generation.
	c := &p.cfg
	greets, trims, predict, every := c.Greets, c.TrimEvery, c.Predict, c.PredictEvery
	c.adjustable(&whole)
	p.dialTimes.lower, p.dialTimes.upper = c.MinDialTimeout, c.DialTimeout
	if c.MinDialTimeout < 0 {
		p.dialTimes.lower = c.DialTimeout
	}
	now := p.now()
	if c.Predict != predict || c.PredictEvery != every {
		p.size.turn(c.Predict, c.PredictEvery)
		p.watchSizeLocked(now)
	}
	if c.TrimEvery != trims {
		p.size.trims, p.size.trimAt = c.TrimEvery, never
		p.watchSizeLocked(now)
	}
	p.heedTimeoutLocked(now)
	turned := c.Greets != greets
	p.unlock()
	if turned {
		p.Retire()
	}
	return p.Resize(whole.MaxConnections)
}

// adjustable takes over what Adjust changes.
func (c *Config) adjustable(from *Config) {
	c.MaxConnections, c.MinIdle, c.MaxIdle = from.MaxConnections, from.MinIdle, from.MaxIdle
	c.IdleTimeout, c.MaxLifetime, c.LifetimeSpread = from.IdleTimeout, from.MaxLifetime, from.LifetimeSpread
	c.MaxUses, c.Order = from.MaxUses, from.Order
	c.DialTimeout, c.MinDialTimeout, c.MaxDials = from.DialTimeout, from.MinDialTimeout, from.MaxDials
	c.ValidateAfter, c.Greets = from.ValidateAfter, from.Greets
	c.KeepAlive, c.UserTimeout = from.KeepAlive, from.UserTimeout
	c.TrimEvery, c.Predict, c.PredictEvery = from.TrimEvery, from.Predict, from.PredictEvery
}

// turn begins another prediction, which knows nothing yet.
func (s *sizer) turn(predict Predict, every time.Duration) {
	s.predict, s.every, s.predictAt = predict, every, never
	s.wanted, s.interval, s.holt = 0, 0, holt{}
}
