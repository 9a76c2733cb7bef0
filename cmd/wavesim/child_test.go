package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
	"github.com/wavepool/wavepool/netsim/scenario"
)

// misdeed is the variable of the environment that tells a child of the tests how to go wrong.
const misdeed = "WAVESIM_TEST_MISDEED"

// testJob is what the test binary does as a child: wavesim's own work, or one of the ways of not doing it.
func testJob(j job) answer {
	switch os.Getenv(misdeed) {
	case "panic":
		panic("on purpose")
	case "panic elsewhere":
		go panic("in another goroutine")
		<-make(chan struct{})
	case "exit":
		fmt.Fprintln(os.Stderr, "I leave.")
		os.Exit(7)
	case "hang":
		<-make(chan struct{})
	case "loop":
		for turns := 0; turns >= 0; turns = (turns + 1) % 1000 {
			runtime.Gosched()
		}
	case "garbage":
		_, _ = os.NewFile(childFD, "answer").WriteString("{not JSON")
		os.Exit(0)
	case "silence":
		os.Exit(0)
	case "stuck":
		netsim.Run(netsim.Config{StuckAfter: 200 * time.Millisecond}, func(sim *netsim.Sim) {
			var mu sync.Mutex
			mu.Lock()
			sim.Clock().AfterFunc(time.Hour, mu.Unlock)
			mu.Lock() // a bubble's time cannot move on, and nobody reports it
		})
	case "deadlock":
		res := netsim.Run(netsim.Config{}, func(*netsim.Sim) { <-make(chan struct{}) })
		return *newAnswer(&scenario.Verdict{Expectations: []scenario.Judged{{Expect: "the run ends in order", Value: res.Err.Error()}}})
	case "panic at seed 4":
		if *j.Seed == 4 {
			panic("on purpose")
		}
	case "arguments":
		return answer{OK: len(os.Args) == 1, Text: strings.Join(os.Args, " ")}
	}
	return runJob(j)
}

// This is the guard of the one trick that the simulator rests on: bubbles outside of go test, in a child process.
func TestAChildRunsABubbleAndAnswersThroughItsPipe(t *testing.T) {
	file := write(t, "ok.yaml", tiny)
	a, err := spawn(job{File: file}, time.Minute)
	require.NoError(t, err)
	require.True(t, a.OK, a.Text)
	var v scenario.Verdict
	require.NoError(t, json.Unmarshal(a.Verdict, &v))
	require.Equal(t, "tiny", v.Name)
	require.Len(t, v.TraceHash, 16)
	require.Positive(t, v.Answered)
	require.Contains(t, a.Text, "ok    success_rate == 100%")

	a, err = spawn(job{}, time.Minute, misdeed+"=arguments")
	require.NoError(t, err)
	require.True(t, a.OK, "the child sees arguments: %s", a.Text)
}

func TestEveryWayOfBreakingOffBecomesAVerdict(t *testing.T) {
	for how, want := range map[string]string{
		"panic":           "panic: on purpose",
		"panic elsewhere": "panic: in another goroutine",
		"exit":            "I leave.",
		"garbage":         "the verdict cannot be read",
		"silence":         "the verdict cannot be read",
		"stuck":           "stuck: the run made no progress any more",
	} {
		_, err := spawn(job{File: "none"}, time.Minute, misdeed+"="+how)
		var off *brokeOff
		require.ErrorAs(t, err, &off, how)
		require.Contains(t, err.Error(), want, how)
	}
	for _, how := range []string{"loop", "hang"} {
		_, err := spawn(job{}, 300*time.Millisecond, misdeed+"="+how)
		require.ErrorContains(t, err, "no verdict within 300ms", how)
	}

	a, err := spawn(job{}, time.Minute, misdeed+"=deadlock")
	require.NoError(t, err)
	require.False(t, a.OK)
	require.Contains(t, a.Text, "deadlock")
}

func TestABrokenRunHasTheNameTheSeedAndAFailingVerdict(t *testing.T) {
	seed := uint64(9)
	file := write(t, "x.yaml", tiny)
	off := &brokeOff{how: "stuck: for good", tail: "  stacks"}
	a := brokenAnswer(&job{File: file, Seed: &seed}, off)
	require.False(t, a.OK)
	require.Contains(t, a.Text, "tiny  seed 9")
	require.Contains(t, a.Text, "FAIL  the run ends in order   stuck: for good")
	require.Contains(t, off.Error(), "its last words:\n  stacks")
	require.Equal(t, "quiet", (&brokeOff{how: "quiet"}).Error())
	require.Contains(t, brokenAnswer(&job{File: "no/such.yaml"}, off).Text, "such  seed 0")
}

func TestTheTailKeepsBeginningAndEndOfALongCry(t *testing.T) {
	var short tail
	require.Empty(t, short.String())
	_, _ = short.Write([]byte("one\ntwo\n"))
	require.Equal(t, "  one\n  two", short.String())

	var long tail
	for i := range 100_000 {
		n, err := fmt.Fprintf(&long, "line %d\n", i)
		require.NoError(t, err)
		require.Positive(t, n)
	}
	require.LessOrEqual(t, len(long.first)+len(long.end), 2*tailBytes)
	text := long.String()
	require.Contains(t, text, "  line 0\n")
	require.Contains(t, text, "many lines left out")
	require.True(t, strings.HasSuffix(text, "line 99999"))
	require.LessOrEqual(t, strings.Count(text, "\n"), tailLines)
}
