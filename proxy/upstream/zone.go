package upstream

// Zones. A proxy that knows its own prefers the backends there, which are nearer and cost nothing to talk to, as long as its
// zone has enough of them: of each tier the picker is told two, those of the own zone first. When too little of the zone's
// weight is available, all of the tier are on a par, so that those that are left there are not overrun by what was
// all of theirs.

// rankLocked is the tier that the picker knows a backend by.
func (u *Upstream) rankLocked(b *backend) int {
	rank := 2 * b.tier
	if u.ownZone[b.tier] && b.zone != u.cfg.Zone {
		rank++
	}
	return rank
}

// settleZonesLocked finds out in which tiers the own zone has enough, and tells the picker what that changes. It is called
// whenever availability, weights or members have changed; a proxy without a zone does nothing.
func (u *Upstream) settleZonesLocked() {
	u.settleReserveLocked()
	var all, up [MaxPriority + 1]int
	if u.cfg.Zone != "" && u.cfg.MinZonePercent > 0 {
		for _, b := range u.members {
			if b.leaving || b.zone != u.cfg.Zone {
				continue
			}
			if all[b.tier] += b.weight; u.judge.Available(b.index) {
				up[b.tier] += b.weight
			}
		}
	}
	changed := false
	for tier := range u.ownZone {
		own := all[tier] > 0 && up[tier]*100 >= all[tier]*u.cfg.MinZonePercent
		changed = changed || own != u.ownZone[tier]
		u.ownZone[tier] = own
	}
	if !changed {
		return
	}
	for _, b := range u.members {
		u.rankAnewLocked(b)
	}
}

// rankAnewLocked tells the picker the tier of a backend, where that is another one.
func (u *Upstream) rankAnewLocked(b *backend) {
	if rank := u.rankLocked(b); !b.gone && rank != u.queue.tier[b.index] {
		u.queue.tier[b.index] = rank
		u.picker.SetPriority(b.index, rank)
	}
}
