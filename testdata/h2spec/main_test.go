package main

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sample = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
 <testsuite name="3.5. HTTP/2 Connection Preface" package="http2/3.5" id="3.5" tests="2" skipped="0" failures="1" errors="0">
  <testcase package="http2/3.5" classname="Sends client connection preface" time="0.0"></testcase>
  <testcase package="http2/3.5" classname="Sends invalid connection preface" time="0.0"><failure>no</failure></testcase>
 </testsuite>
</testsuites>`

func TestAReportIsCountedAndItsFailuresAreNamed(t *testing.T) {
	got, err := parse([]byte(sample))
	if err != nil || got.cases != 2 || !slices.Equal(got.failed, []string{"http2/3.5 Sends invalid connection preface"}) {
		t.Fatal(got, err)
	}
	if _, err := parse([]byte("<testsuites></testsuites>")); err == nil {
		t.Fatal("a report without a case is none")
	}
}
