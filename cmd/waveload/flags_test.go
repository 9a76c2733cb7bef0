package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMistakesInFlagsAreOneLineAndExitCode2(t *testing.T) {
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"did you mean -clients?", []string{"-cliets", "3"}},
		{"did you mean -reuse?", []string{"--reuze"}},
		{"not defined: -zzzzzzzz (waveload -h", []string{"-zzzzzzzz"}},
		{`unexpected argument "http://x"`, []string{"http://x"}},
		{"-clients 0 is not between 1 and 50000", []string{"-clients", "0"}},
		{"-max-clients 60000 is not between", []string{"-load-test", "-max-clients", "60000"}},
		{"-requests -1 is not", []string{"-requests", "-1"}},
		{"-duration 0s is not positive", []string{"-duration", "0"}},
		{"-timeout 0s", []string{"-timeout", "0s"}},
		{"-timeout 2h0m0s", []string{"-timeout", "2h"}},
		{"-ramp-up -1s is negative", []string{"-load-test", "-ramp-up", "-1s"}},
		{"no time to load", []string{"-load-test", "-ramp-up", "0", "-test", "0", "-ramp-down", "0"}},
		{"-max-clients needs -load-test", []string{"-max-clients", "3"}},
		{"-test needs -load-test", []string{"-test", "3s"}},
		{"-duration does not go with -load-test", []string{"-load-test", "-duration", "3s"}},
		{"-clients does not go with -load-test", []string{"-load-test", "-clients", "3"}},
		{"invalid value", []string{"-duration", "30"}},
		{"only http is spoken", []string{"-server", "https://localhost"}},
		{"is no path", []string{"-path", "x"}},
		{"is no method", []string{"-method", "G T"}},
		{"CONNECT opens tunnels", []string{"-method", "CONNECT"}},
	} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, exitUsage, run(tc.args, &stdout, &stderr, nil), "%v", tc.args)
		require.Contains(t, stderr.String(), tc.want)
		require.Regexp(t, `^waveload: [^\n]+\n$`, stderr.String(), "one line")
		require.Empty(t, stdout.String())
	}
}

func TestHelpHasExamplesEveryFlagAndTheCaveat(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run([]string{"-h"}, &stdout, &stderr, nil))
	for _, want := range []string{"-server", "-clients", "-requests", "-duration", "-reuse", "-load-test", "-max-clients",
		"-ramp-up", "-test", "-ramp-down", "-path", "-method", "-timeout", "-json", "-version", "coordinated omission",
		"waveload -server localhost:8080 -reuse", "exit codes"} {
		require.Contains(t, stderr.String(), want)
	}
}

func TestVersionIsOneLineAndLoadsNothing(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run([]string{"--version"}, &stdout, &stderr, nil))
	require.Regexp(t, `^waveload .*go1[^\n]*\n$`, stdout.String())
	require.Empty(t, stderr.String())
}

func TestAHostThatDoesNotExistIsAFailureAndNoMistakeInFlags(t *testing.T) {
	var stdout, stderr bytes.Buffer
	// A name of more than 63 bytes in one label is refused by the resolver without asking anybody.
	name := "a23456789012345678901234567890123456789012345678901234567890123456789.invalid"
	require.Equal(t, exitFailed, run([]string{"-server", name}, &stdout, &stderr, nil))
	require.Contains(t, stderr.String(), "could not be found")
}

func TestLimitsFollowTheFlagsThatAreGiven(t *testing.T) {
	for _, tc := range []struct {
		args     []string
		requests int
		end      time.Duration
	}{
		{nil, defaultRequests, defaultDuration},
		{[]string{"-requests", "7"}, 7, 0},
		{[]string{"-duration", "3s"}, 0, 3 * time.Second},
		{[]string{"-requests", "7", "-duration", "3s"}, 7, 3 * time.Second},
		{[]string{"-load-test"}, 0, 80 * time.Second},
	} {
		o, err := parseFlags(tc.args, nil)
		require.NoError(t, err)
		p := newPlan(o)
		require.Equal(t, tc.requests, p.requests, "%v", tc.args)
		require.Equal(t, tc.end, p.end, "%v", tc.args)
	}
}

func TestTheLoadTestsClientsComeAndGoInALine(t *testing.T) {
	p := plan{clients: 4, rampUp: 8 * time.Second, rampDown: 4 * time.Second, end: 22 * time.Second}
	var got []span
	for i := range 4 {
		got = append(got, p.span(i))
	}
	s := time.Second
	require.Equal(t, []span{{0, 22 * s}, {2 * s, 21 * s}, {4 * s, 20 * s}, {6 * s, 19 * s}}, got)
	require.Equal(t, span{0, 5 * s}, (&plan{clients: 9, end: 5 * s}).span(8), "without ramps all have the whole time")
	require.Equal(t, span{}, (&plan{clients: 9}).span(8), "and no end where there is none")
}
