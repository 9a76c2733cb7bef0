package upstream

import (
	"cmp"
	"slices"

	"github.com/wavepool/wavepool/lb"
)

// Subsets. Where a large fleet of proxies meets a large fleet of backends, each proxy keeps connections and checks to a part of them
// only (Config.SubsetSize). The part is chosen by rendezvous: each backend has a score from its address and the name of the proxy, and
// the best of each tier are the subset, those of the proxy's own zone before others. So proxies need not talk, a proxy that
// starts again finds its subset again, and a backend that comes or goes moves one place of the subsets in which it is.
//
// The others are the reserve: nothing is dialled or checked there (an agent is asked everywhere: what it says is for all proxies), and
// the picker has them for unavailable. While fewer than half of a tier's subset are available, or fewer than Health.PanicPercent if that is
// more, the reserve of that tier is in use like all others, but still without checks: one of it that checks had found down, when it was
// in the subset, stays so until it is there again. So a reserve is used before a group panics.
//
// Of what is in use a share may be ejected, and a share must be available lest the group panics: the judge is told who is not
// (health.Group.Reserve).

// scoreOf is how well a backend fits a proxy.
func scoreOf(instance, address string) uint64 {
	// Neither name has a zero byte.
	return lb.Hash(instance + "\x00" + address)
}

// fit is a score that is kept, and the proxy for which it holds: a large fleet is sorted at each change.
type fit struct {
	of    string
	score uint64
}

// chooseLocked settles who is in the subset. It follows each change of members, tiers, zones and of the setting.
func (u *Upstream) chooseLocked() {
	defer u.settleShareLocked()
	if u.cfg.SubsetSize <= 0 && !u.subsets {
		return
	}
	u.subsets = u.cfg.SubsetSize > 0
	var order []*backend
	for _, b := range u.members {
		if b.leaving {
			continue
		}
		if order = append(order, b); b.fit.of != u.cfg.Instance {
			b.fit = fit{u.cfg.Instance, scoreOf(u.cfg.Instance, b.address)}
		}
	}
	away := func(b *backend) int {
		if u.cfg.Zone != "" && u.cfg.MinZonePercent > 0 && b.zone != u.cfg.Zone {
			return 1
		}
		return 0
	}
	slices.SortFunc(order, func(a, b *backend) int {
		return cmp.Or(cmp.Compare(a.tier, b.tier), cmp.Compare(away(a), away(b)),
			cmp.Compare(b.fit.score, a.fit.score), cmp.Compare(a.address, b.address))
	})
	at := 0
	for i, b := range order {
		if at++; i > 0 && b.tier != order[i-1].tier {
			at = 1
		}
		if reserve := u.subsets && at > u.cfg.SubsetSize; reserve != b.reserve {
			b.reserve = reserve
			u.moved = append(u.moved, b)
			u.panicTurned = true // waiters may have to go, or to be served
		}
	}
	u.settleReserveLocked()
	u.panicLocked() // it is a share of others
}

// settleReserveLocked finds out in which tiers the reserve is in use, and tells the picker. It follows each change of availability.
func (u *Upstream) settleReserveLocked() {
	if !u.subsets && len(u.moved) == 0 {
		return
	}
	var all, up [MaxPriority + 1]int
	for _, b := range u.members {
		if b.leaving || b.reserve {
			continue
		}
		if all[b.tier]++; u.judge.Available(b.index) {
			up[b.tier]++
		}
	}
	enough := max(50, u.cfg.Health.PanicPercent)
	for tier := range all {
		if use := 100*up[tier] < enough*all[tier]; use != u.reserveInUse[tier] {
			u.reserveInUse[tier], u.panicTurned = use, true
		}
	}
	for _, b := range u.members {
		if !b.leaving {
			u.judge.Reserve(b.index, u.heldLocked(b))
		}
	}
	for _, b := range u.members {
		if !b.leaving {
			b.admitted = u.availableLocked(b)
			u.picker.SetAvailable(b.index, b.admitted)
		}
	}
}

// heldLocked says whether a backend is in the reserve, and that is not in use.
func (u *Upstream) heldLocked(b *backend) bool { return b.reserve && !u.reserveInUse[b.tier] }

// resettle does, without the lock, what follows for those who have come into the subset, or left it.
func (u *Upstream) resettle() {
	u.mu.Lock()
	moved := u.moved
	u.moved = nil
	u.mu.Unlock()
	for _, b := range moved {
		u.adjust(b)
		u.restartChecks(b)
	}
}
