package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// A proxy that has become calm gives memory back. Go collects garbage when as much has been allocated as is in use, which a
// burst of new connections leaves undone for minutes: a third of the memory of ten thousand idle connections is what their
// coming has left behind. A steady load allocates nothing, so nothing would ever be collected by itself.
const (
	tidyInterval = 5 * time.Second
	// calmMost is how much a calm proxy allocates between two looks, in bytes. What is worth a collection is tidyLeast, or
	// that part of what is in use if it is more: looking at all of it is what a collection costs.
	calmMost  = 256 << 10
	tidyLeast = 1 << 20
	tidyPart  = 16
)

// memory is a look at the heap, in bytes: all that was ever allocated, what is there now, what of it was in use when
// garbage was last collected, and what is free and has not been given back to the system.
type memory struct{ allocated, there, used, free uint64 }

func lookAtMemory() memory {
	all := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(all)
	return memory{all[0].Value.Uint64(), all[1].Value.Uint64(), all[2].Value.Uint64(), all[3].Value.Uint64()}
}

// untidy says whether it is time to give memory back, after an earlier look.
func (m memory) untidy(before memory) bool {
	return m.allocated-before.allocated <= calmMost && m.there+m.free >= m.used+max(tidyLeast, m.used/tidyPart)
}

// tidy gives memory back in calm times, until it is closed.
type tidy struct {
	stop chan struct{}
	wg   sync.WaitGroup
}

func startTidy(every time.Duration) *tidy {
	t := &tidy{stop: make(chan struct{})}
	t.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		before := lookAtMemory()
		for {
			select {
			case <-tick.C:
				now := lookAtMemory()
				if now.untidy(before) {
					debug.FreeOSMemory()
				}
				before = now
			case <-t.stop:
				return
			}
		}
	})
	return t
}

func (t *tidy) close() {
	close(t.stop)
	t.wg.Wait()
}
