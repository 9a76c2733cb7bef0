package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be its own child, as wavesim is: the tests spawn real processes.
func TestMain(m *testing.M) {
	if isChild(os.Args) {
		os.Exit(childMain(testJob))
	}
	// Under the race detector each process sleeps for a second before it ends, and these tests start dozens.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	goleak.VerifyTestMain(m)
}
