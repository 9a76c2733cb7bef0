package health_test

import (
	"fmt"
	"time"

	"github.com/wavepool/wavepool/health"
)

// A backend begins to answer with errors, is ejected for its time, and comes back.
func ExampleNew() {
	group, err := health.New(health.Config{Passive: health.Passive{Consecutive5xx: 3}}, 3, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 3 {
		if change, ok := group.Observe(now, 1, health.Response5xx); ok {
			fmt.Println(change)
		}
	}
	fmt.Println(group.Available(1), group.State(1).Status)

	next, _ := group.Next()
	fmt.Println("look again after", next.Sub(now))
	for _, change := range group.Tick(next) {
		fmt.Println(change)
	}
	// Output:
	// 1 ejected: consecutive_5xx (3 of 3)
	// false ejected
	// look again after 30s
	// 1 up: ejection_over (after 30s)
}

// Three failed checks in a row turn a backend down, two that pass turn it up.
func ExampleGroup_Check() {
	group, err := health.New(health.Config{Active: true}, 2, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, ok := range []bool{false, false, false, true, true} {
		now = now.Add(5 * time.Second)
		if change, changed := group.Check(now, 0, ok); changed {
			fmt.Println(now.Format("05s"), change)
		}
	}
	// Output:
	// 15s 0 down: check_failed (3 of 3)
	// 25s 0 up: check_passed (2 of 2)
}
