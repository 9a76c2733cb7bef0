package pool

// Adjust changes the sizes and times of a pool at work to those of cfg: MaxConnections, MinIdle, MaxIdle, IdleTimeout,
// MaxLifetime, LifetimeSpread, DialTimeout and ValidateAfter, with their defaults where they are zero. It looks at
// nothing else in cfg. Sizes change as by Resize; a new IdleTimeout concerns the connections that are idle now, too, and
// a new MaxLifetime those that are dialled from now on. The error lists the mistakes, or is ErrClosed, and then nothing
// has changed.
func (p *Pool) Adjust(cfg Config) error {
	p.lock()
	whole := p.cfg
	p.unlock()
	whole.MaxConnections, whole.MinIdle, whole.MaxIdle = cfg.MaxConnections, cfg.MinIdle, cfg.MaxIdle
	whole.IdleTimeout, whole.MaxLifetime, whole.LifetimeSpread = cfg.IdleTimeout, cfg.MaxLifetime, cfg.LifetimeSpread
	whole.DialTimeout, whole.ValidateAfter = cfg.DialTimeout, cfg.ValidateAfter
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
	c.MaxConnections, c.MinIdle, c.MaxIdle = whole.MaxConnections, whole.MinIdle, whole.MaxIdle
	c.IdleTimeout, c.MaxLifetime, c.LifetimeSpread = whole.IdleTimeout, whole.MaxLifetime, whole.LifetimeSpread
	c.DialTimeout, c.ValidateAfter = whole.DialTimeout, whole.ValidateAfter
	p.dialTimes.lower, p.dialTimes.upper = c.MinDialTimeout, c.DialTimeout
	if c.MinDialTimeout < 0 {
		p.dialTimes.lower = c.DialTimeout
	}
	p.heedTimeoutLocked(p.now())
	p.unlock()
	return p.Resize(whole.MaxConnections)
}
