package scenario_test

import (
	"fmt"
	"testing"

	"github.com/wavepool/wavepool/netsim/scenario"
)

const tiny = `
name: tiny
seed: 7
duration: 10s
proxy:
  listeners: [{address: ":8080", upstream: web}]
  upstreams: {web: {backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80"}]}}
backends: [{address: "10.0.0.1:80"}, {address: "10.0.0.2:80", service: {exponential: {mean: 3ms}}}]
clients: [{name: web, arrivals: {constant: 50/s}}]
faults: [{at: 4s, for: 2s, refuse: {host: 10.0.0.2}}]
expect: [success_rate == 100%, leaks == 0]
`

// A scenario is read, executed and judged; the same seed gives the same trace.
func ExampleExecute() {
	sc, err := scenario.Parse("tiny.yaml", []byte(tiny))
	if err != nil {
		fmt.Println(err)
		return
	}
	first, err := scenario.Execute(sc, scenario.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	again, _ := scenario.Execute(sc, scenario.Options{})
	fmt.Println(first.Requests, first.Answered, first.OK(), first.TraceHash == again.TraceHash)
	for _, m := range first.Timeline {
		fmt.Printf("%.0fs %s\n", m.At, m.Text)
	}
	// Output:
	// 499 499 true true
	// 4s refuse 10.0.0.2 begins
	// 6s refuse 10.0.0.2 ends
}

// In a test of your own, a scenario is one line; the test fails with the verdict if an expectation does not hold.
func ExampleRun() {
	t := new(testing.T) // the one that your test is given
	v := scenario.Run(t, "../../testdata/scenarios/silent-drop.yaml")
	fmt.Println(v.Requests, "requests,", v.Requests-v.Answered, "failed")
	// Output:
	// 12070 requests, 0 failed
}

// What happened while the fault was there, and to one client, is asked for behind the value and behind the metric.
func ExampleParseExpectation_window() {
	for _, text := range []string{"success_rate of web >= 99.9% during", "p99 <= 20ms after", "dials <= 5 form 10s to 20s"} {
		e, err := scenario.ParseExpectation(text)
		fmt.Println(e.Metric, e.Client, e.Window, err)
	}
	// Output:
	// success_rate web during <nil>
	// p99  after <nil>
	// dials   unknown window "form"; did you mean from?
}

// Every mistake of a file is listed, with its line and the word that was probably meant.
func ExampleParse() {
	_, err := scenario.Parse("wrong.yaml", []byte("name: wrong\nduration: 1\nfalts: []\n"))
	fmt.Println(err)
	// Output:
	// wrong.yaml:1: proxy: is required: {config: FILE}, or the proxy's configuration itself
	// wrong.yaml:1: clients: is required: at least one source of requests
	// wrong.yaml:2: duration: want a duration with its unit, such as 250ms or 30s; got the bare number 1 (did you mean 1s?)
	// wrong.yaml:3: falts: unknown key; did you mean faults?
}

func ExampleParseExpectation() {
	e, err := scenario.ParseExpectation("success_rate >= 99.9%")
	fmt.Println(e, e.Value, err)
	_, err = scenario.ParseExpectation("p95 <= 20ms")
	fmt.Println(err)
	// Output:
	// success_rate >= 99.9% 0.999 <nil>
	// unknown metric "p95"; did you mean p90?
}
