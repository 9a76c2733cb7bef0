package lb_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wavepool/wavepool/lb"
)

// One request finds its first backend dying under it and tries another.
func ExampleNew() {
	picker, err := lb.New("round-robin", []lb.Backend{{Weight: 2}, {}, {}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

	var q lb.Query
	first := picker.Pick(now, &q)
	picker.Done(first, lb.Failure, 30*time.Millisecond)

	q.Tried = append(q.Tried, first)
	second := picker.Pick(now, &q)
	fmt.Println("first", first, "then", second, "in flight there", picker.InFlight(second))
	picker.Done(second, lb.Success, 5*time.Millisecond)

	// Health finds that all is not well, and a pool has no room.
	picker.SetAvailable(0, false)
	picker.SetReady(1, 0)
	fmt.Println("now", picker.Pick(now, nil), "and without that one", picker.Pick(now, &lb.Query{Tried: []int{2}}))
	// Output:
	// first 0 then 1 in flight there 1
	// now 2 and without that one -1
}

func ExampleUnknownStrategyError() {
	_, err := lb.New("leastconn", nil, rand.New(rand.NewPCG(1, 2)))
	fmt.Println(err)
	// Output:
	// lb: unknown strategy "leastconn" (did you mean "least-connections"?); known: round-robin, least-connections, random, p2c, peak-ewma
}

func ExampleDescribe() {
	fmt.Println(lb.Describe("least-connections"))
	// Output:
	// The backend with the fewest requests in flight for its weight; equals take turns. Right when requests differ in cost: a slow backend gets fewer.
}
