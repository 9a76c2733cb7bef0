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
	// lb: unknown strategy "leastconn" (did you mean "least-connections"?); known: round-robin, least-connections, random, p2c, peak-ewma, least-time, ring-hash, maglev, rendezvous, first
}

func ExampleDescribe() {
	fmt.Println(lb.Describe("least-connections"))
	// Output:
	// The backend with the fewest requests in flight for its weight; equals take turns. Right when requests differ in cost: a slow backend gets fewer.
}

// Two proxies that list the same backends in another order agree on who serves a key, and on who does when that one is out.
func ExampleHash() {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	one := []lb.Backend{{Name: "10.0.0.1:80"}, {Name: "10.0.0.2:80"}, {Name: "10.0.0.3:80"}}
	other := []lb.Backend{one[2], one[0], one[1]}
	for _, backends := range [][]lb.Backend{one, other} {
		picker, err := lb.New("maglev", backends, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		q := lb.Query{Key: lb.Hash("alice")}
		first := picker.Pick(now, &q)
		picker.Done(first, lb.Failure, time.Second)
		q.Tried = append(q.Tried, first)
		next := picker.Pick(now, &q)
		picker.Done(next, lb.Success, time.Second)
		fmt.Println(backends[first].Name, "then", backends[next].Name)
	}
	// Output:
	// 10.0.0.1:80 then 10.0.0.3:80
	// 10.0.0.1:80 then 10.0.0.3:80
}
