// Package pool keeps the connections to one address: it dials them, lends them, takes them back and retires them.
//
// A [Pool] is bounded: connections that are open or being dialled never exceed [Config.MaxConnections]. A caller
// either waits in line with [Pool.Lend], which serves its waiters first come, first served, or asks with
// [Pool.TryLend], which never waits. A loan, a [Conn], ends with exactly one of [Conn.Release] (still good),
// [Conn.Discard] (not to be used again) or [Conn.Take] (the borrower keeps it for itself).
//
// # What is promised
//
//   - One holder per connection. A second Release, or any use of a loan after its end, panics and says so, also when the
//     connection has been lent to somebody else since.
//   - Dials begun = dialling + dialled + failed, and dialled = idle + lent + retired, in every [Stats] snapshot.
//     A connection in validation counts as lent; one that was taken counts as retired, reason [ReasonTaken].
//   - Waiters are served in the order in which they came, none after its context ended, and a newcomer never
//     overtakes them. A waiter takes whatever comes first: a returned connection or a finished dial.
//   - A dial outlives the caller that asked for it: its connection then serves the next waiter, or becomes idle.
//   - A connection that has been idle for longer than [Config.ValidateAfter] is looked at before it is lent: the peer's
//     FIN, its RST and bytes that nobody asked for all retire it.
//   - [Config.Ping], where set, asks the peer first when a connection has been idle for [Config.PingAfter]. Meanwhile
//     TryLend goes on to the next one, and those in line take whatever comes first.
//   - Idle connections own no goroutine. One timer for the whole pool ends those that were idle for
//     [Config.IdleTimeout] or have reached the end of their [Config.MaxLifetime].
//
// # Ends
//
// Besides its timeouts a connection ends after [Config.MaxUses] loans. [Pool.Retire] ends all connections of today,
// [Pool.Resize] changes the limit, [Pool.Adjust] that and the times, [Pool.Drain] serves those in line and closes,
// [Pool.Close] closes. None of them takes a connection away from a borrower; [Pool.Cut] does, for whoever waits in vain.
//
// # Whether an idle connection is still good
//
// The peer has an idle timeout of its own, and a request that crosses its FIN is lost. The pool retires connections before
// that, with a margin, as soon as it knows that timeout: told by [Conn.PeerIdleTimeout], or learned from the idle times
// after which connections were found closed, in order, by a look before a loan or at the end of their idle timeout. It takes
// three acts of the peer within ten minutes, which no good look after an equally long rest contradicts; a restart,
// which closes many connections at once, is one act. Ten minutes without a further close, and it is forgotten and tried
// again. [Stats.LearnedIdleTimeout] shows it, [ReasonPeerIdleTimeout] counts what it ended.
//
// A connection that is found reset after a rest, by a look or by a borrower's Discard with [ReasonBroken], makes those that
// have been idle for at least as long suspects: they are pinged, or without a Ping retired ([ReasonSuspect]), before
// they are lent; the younger ones are looked at, as all are after a close in order. After a failed ping the suspects
// are retired without one, so that nobody waits for a ping after the other. Sessions and connections that have been lent
// since are not concerned.
//
// # Batches
//
// [Pool.GetN] lends several connections or none. A batch stands in the line as one waiter that holds nothing: while it
// is at the head, connections lie ready, idle, until all that it needs are there. As nobody holds while waiting, batches
// cannot block each other; as nobody overtakes, a batch does not starve. The price is that those behind it wait too.
//
// # Which one is lent
//
// [OrderRecent] lends the connection that came back last. Alone that would favour one node behind a shared address, and
// starve the others, so every sixteenth lend of an idle connection takes, from the shard's list, the oldest that is
// still needed: as many count as needed as were lent at a time during the recent peak (10 s or more, or sixteen lends
// where those take longer). So while the need is n, each of the n connections is lent at least once in 16 n lends of its
// list; and those beyond n are left alone, for the trim or their idle timeout. Where there is no idle timeout, all of
// them take turns. [OrderFIFO] always lends the oldest.
//
// # How many
//
// A dial is made when somebody waits for it, and for [Config.MinIdle]. What a spike leaves behind is trimmed: every
// [Config.TrimEvery] half of the idle connections that the demand of the last ten to twenty seconds did not need are closed.
// [Config.Predict] dials ahead of growing demand; where demand jumps, nothing foresees it.
//
// # When to dial
//
// A caller who finds nothing idle is worth a dial, with three exceptions. At most [Config.MaxDials] are under way at a
// time; when one ends, the line has the next, then [Pool.WarmUp], then [Config.MinIdle]. While connections are lent, a
// waiter is left without a dial for [Config.Patience], a quarter of a usual dial's time, unless returns cannot serve it
// sooner by what is known of the length of loans: a burst of short loans over slow dials then leaves the pool as small as it
// was, and a wrong guess costs that quarter. A shortage that lasts for longer than a dial is no burst: then the pool grows
// by an eighth of what is lent, at least by one, in the time of a dial. And while dials fail there is only one at a time,
// the probe.
//
// The backend counts as down when the last dial failed and no connection is open. Then callers fail at once with a
// [DownError], those in line one by one, and nobody is dialled for but by the probe: after a pause, which doubles from
// [Config.RetryMin] to [Config.RetryMax] with half of it at random, and only if somebody has asked since the last one or
// MinIdle is kept up; otherwise the next caller makes it and waits for it. Callers whose dial was under way when another
// one failed learn what comes of theirs. As long as a connection is lent, callers may wait for that. The first dial that
// succeeds ends all this, and so does [Pool.Retry]. With a [Config.Judge] none of it happens: each caller gets its dial.
//
// A dial may take three times as long as the longest of the last 64, within [Config.MinDialTimeout] and
// [Config.DialTimeout]. One that timed out counts as twice its limit, so that a backend that became slower is reached
// again. A dialer, or Setup, that does not even return a second after that is given up: its slot is free, its caller is
// told, what it gives later is closed, and until then it counts against MaxDials.
//
// # What can be seen
//
// [Pool.Stats] is one consistent snapshot, [Pool.Histograms] has the distributions of waits, dials, loans and ages, and
// [Pool.Holders] lists the loans. With [Config.LeakAfter] a loan that lasts for too long is told once, with its borrower's
// stack, and the panic of a second release names the place of the first.
//
// # An outer queue
//
// A caller that may use any of several pools (the proxy's upstream) keeps the one queue itself and uses three
// things: TryLend, [Pool.Want] or [Pool.Cover], which ask for dials without waiting for them, and the callbacks
// [Config.OnReady] and [Config.OnDialFailed], which are called without any lock of the pool held; [Pool.Ready] is a look before
// it chooses. Where it also judges
// which backend is fit, [Config.Judge] says so.
//
// # Sessions
//
// [Config.Setup] makes a dialled connection ready. Where it returns a [Session], the connection carries as many loans at a
// time as the session allows, under the same laws: the streams of HTTP/2, say. Waiters are served from the oldest session
// with room, so that younger ones can become idle; a session that takes no more ends with its last loan. Where its room
// changes by itself, [Pool.SessionChanged] tells the pool. Set-up that only puts another connection in place of the dialled one
// (TLS) returns [Exclusive].
//
// # Time, network and chance
//
// The clock, the dialer and the random stream are fields of [Config], so that a pool runs unchanged in a simulator.
// TryLend, LendAt and ReleaseAt take the present instant as an argument, for callers who have read the clock already: two
// reads are the larger part of what a loan costs.
//
// # Locking law
//
// Two levels. Pool.mu guards what is below it in the struct. Each shard has a list of idle connections and counters,
// with a lock of its own, under which alone a connection can be lent and returned: that is all there is to it as long
// as the pool is calm. Whoever needs more calls Pool.lock, which takes mu, marks the pool as owned, and passes once through
// every shard's lock: from then on nobody touches a shard, except under mu, until unlock takes the mark away. It stays
// while somebody waits, while the pool closes or is over its limit, and for good where LeakAfter, MaxIdle or sessions
// need to see every loan. Functions whose names end in Locked want Pool.lock. A shard's lock is taken with mu held, or alone.
//
// No lock is held over a dial, a close, a validation, a callback or a channel operation that could block. Goroutines that
// are released in a group are released one by one in instants of their own; see apart, which is nothing on a real
// clock. Work that needs its own goroutine (a dial) is started by launch, which on a simulated clock fixes its order of
// start, where a go statement would leave it to the scheduler.
package pool
