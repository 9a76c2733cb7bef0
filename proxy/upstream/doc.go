// Package upstream answers one wish: an attempt on a good backend, please.
//
// An [Upstream] is a named group of backends. For each request it joins four things into one decision: a picker (lb)
// that says which backend next, a judge (health) that says which backends may be used at all, a pool of connections
// for each backend, and one queue for the requests that must wait. [Upstream.Begin] gives an [Attempt] a connection;
// [Upstream.Finish] ends it with one [Outcome], and picker, judge, pool, retry budget and counters each learn that
// one fact. [Upstream.MayRetry] says whether another attempt is allowed, and [Upstream.MayLeave] whether the present one may
// be given up for it; carrying it out is the caller's work.
//
// # The one queue
//
// A request whose backend has no idle connection asks that backend's pool for a dial and waits, and so does one that
// finds every backend at its limit. They all wait in the same line, and whatever becomes free first at any backend
// that the request may use, a returned connection or a finished dial, serves the head of the line. So a dial belongs to
// nobody: a backend has at least as many under way as waiters count on it, as far as its pool has room (serve.go). A
// dial that fails sends the first waiter that is now without one to the next backend; when it has tried them all it
// gets the dial's error. A waiter whose context ends in the moment in which it is served passes its connection on.
// Two things go before being served first: a request that counts on the backend of its key (Attempt.Key) takes no
// other backend's connection, and one that counts on any backend takes none of a later tier. Where all backends are full
// nobody counts on one, and whatever frees first will do.
// Those whom one backend alone may serve have lines of their own before it, in which no more may be than a part of all
// ([Config.MaxWaitingPerBackend]): one more goes anywhere. They are served with the others, in the order of coming.
// The line is bounded ([Config.MaxWaiting]) and so is the time in it ([Config.QueueTimeout]); where it does not get shorter, those who
// have waited for too long may be sent away before that ([Config.QueueTarget]). More urgent requests go before others ([Class]), of
// which one has its turn for every eight that are served, and where the line is full the last of the least urgent makes room (line.go).
//
// A backend may have a limit on what is in flight there, which is learned ([Config.Concurrency]); at its limit it is full (limit.go).
//
// # Tiers and zones
//
// Backends of a later [Backend].Priority are picked while none before them can be, and within a priority those of the proxy's own
// zone come first, as long as the zone has enough of them (zone.go).
//
// Of a large fleet the group may use a part only, which this proxy's name decides (subset.go).
//
// # The one judge
//
// Only health decides whether a backend may be used. Active checks, failed dials and the outcomes of attempts are its
// evidence. When it takes a backend out, the waiters that counted on it are sent elsewhere; when none is left they
// fail at once with [ErrNoBackend]. When it lets a backend in again, the pool forgets its failures. In panic, which is off by
// default, it admits backends that are not available as well, when too few others are; one that is drained, or to which the
// last dial has failed, is never among them. A half-open breaker admits a few attempts: each is told to the judge when it gets
// its connection, and its end is evidence or gives the place back.
//
// # Retries
//
// A [Condition] says what may be followed by another attempt; attempts per request and a budget bound it (leave.go). An
// attempt that is not the last has a time of its own, learned from the answers of the group (pertry.go). A backend that is
// left because of it is blamed only when another one has answered the same request in that time: where all are slow, or
// the request is, nobody is at fault, and when that is so the timeout rests. When health takes a backend down, the
// requests that wait for the beginning of its answer are moved elsewhere one by one: their goroutines are woken by a read
// deadline, and find [Attempt.Lost].
//
// # Operations
//
// Backends are added, removed, drained and weighed at work, and [Upstream.Apply] changes all of the group at once. An index
// belongs to one backend as long as that is there; one that is removed keeps it, gets nothing new, and is gone when what it
// has lent is back and nothing is counted at it (members.go). Its counts stay in [Stats].Removed. A drain is the judge's
// matter, like every other reason not to choose a backend.
//
// # Locking law
//
// Upstream.mu guards the picker, the judge, the queue and the counters. It is never held over a dial, a lend, a
// release or a channel, nor over a wait of any kind: pools call back without their locks, and are called without ours.
// The exceptions are looks at a pool's counts (Pool.Free, Pool.Cover(0), Pool.Stats), and making one, so that Upstream.mu comes before Pool.mu;
// and setting the read deadline of a lost attempt, which must not hit the next one on the same connection.
// Waiters are released one by one, each in an instant of its own; see apart.
package upstream
