package scenario

import (
	"bytes"
	"image/color"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/wavepool/wavepool/health"
)

// failing runs a scenario that has a fault, a failure of each kind of picture, and an expectation that does not hold.
func failing(t *testing.T) *Verdict {
	t.Helper()
	return expecting(t, "p99 <= 10s", "time_to_failover <= 10ms", "leaks == 0")
}

// expecting runs a scenario with other expectations than its own.
func expecting(t *testing.T, texts ...string) *Verdict {
	t.Helper()
	sc, err := Load("../../testdata/scenarios/silent-drop.yaml")
	require.NoError(t, err)
	sc.Expect = nil
	sc.Settings.Upstreams[0].Retry.On = []string{"connect_failure", "reset"} // so that the fault costs something
	for _, text := range texts {
		e, err := ParseExpectation(text)
		require.NoError(t, err)
		sc.Expect = append(sc.Expect, e)
	}
	v, err := Execute(sc, Options{})
	require.NoError(t, err)
	return v
}

func page(t *testing.T, v *Verdict) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, v.WriteReport(&b))
	return b.String()
}

func TestTheSeriesAddsUpToTheVerdict(t *testing.T) {
	v := failing(t)
	s := v.Series
	require.Equal(t, time.Second, s.Step)
	require.Len(t, s.Answered, 120)
	answered, failed := 0, 0
	for i := range s.Answered {
		answered += s.Answered[i]
		failed += s.failedIn(i)
		require.Equal(t, s.Answered[i] == 0, math.IsNaN(s.P99[i]))
		require.False(t, s.P50[i] > s.P99[i])
	}
	require.Equal(t, v.Answered, answered)
	require.Equal(t, v.Requests-v.Answered, failed)
	require.Positive(t, failed)
	require.Len(t, s.Backends, 3)
	for _, b := range s.Backends {
		for _, n := range []int{len(b.Idle), len(b.Lent), len(b.Dialling), len(b.Health)} {
			require.Equal(t, 120, n)
		}
	}
	silent := s.Backends[0]
	require.Equal(t, "web/10.0.0.1:80", silent.Name)
	require.Equal(t, health.Up, silent.Health[39])
	require.NotEqual(t, health.Up, silent.Health[60], "the fault lasts from 40 s to 70 s")
	require.Equal(t, health.Up, silent.Health[100])
	require.Zero(t, silent.Idle[60])
}

func TestLongRunsAreDrawnInLongerSteps(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{time.Second: time.Second, 300 * time.Second: time.Second,
		301 * time.Second: 2 * time.Second, time.Hour: 12 * time.Second, 24 * time.Hour: 288 * time.Second} {
		require.Equal(t, want, stepOf(d), d)
		r := newRecording(d)
		require.LessOrEqual(t, len(r.answered), maxSteps)
		r.ended(d+2*want, time.Second, "late")
		r.ended(1000*want+d, time.Second, "")
		s := r.series()
		require.Len(t, s.Answered, 2*maxSteps, "what comes very late counts in the last step")
		require.Len(t, s.Failed["late"], 2*maxSteps)
		require.Equal(t, 1, s.failedIn(int((d+2*want)/want)))
	}
}

func TestAReportIsOnePageThatNeedsNothingElse(t *testing.T) {
	v := failing(t)
	text := page(t, v)
	root, err := html.Parse(strings.NewReader(text))
	require.NoError(t, err)
	require.NotNil(t, root)
	for _, outside := range []string{"http:", "https:", "src=", "href=", "<script", "@import", "url("} {
		require.NotContains(t, text, outside)
	}
	require.Equal(t, 5, strings.Count(text, "<svg"), "requests, latency, three backends")
	require.Equal(t, 5, strings.Count(text, "<title>silent_drop proxy &lt;-&gt; 10.0.0.1</title>"), "a band in each picture")
	require.NotContains(t, text, "NaN")
	require.Contains(t, text, "time_to_failover")
	require.Less(t, len(text), 200<<10)
}

// saidOf is an explanation as one text.
func saidOf(e explanation) string {
	text := strings.Join(e.Said, "\n")
	for _, m := range e.Moments {
		text += "\n" + m[0] + "  " + m[1]
	}
	return text
}

func TestAReportExplainsEveryExpectationThatFailed(t *testing.T) {
	v := expecting(t, "time_to_failover <= 10ms", "p99 <= 10s", "p99 <= 1ms after", "success_rate of web >= 99.99% during", "success_rate == 100%",
		"load_spread <= 1% during", "time_to_recovery <= 1ms", "leaks >= 1", "dials <= 1 before")
	all := v.explain()
	require.Len(t, all, 8, "all but the second")
	for i, want := range []string{
		`^Expected time_to_failover <= 10ms, and it was \d[^$]*from the beginning of silent_drop proxy <-> 10.0.0.1 at 0m40.000s to `,
		`^Expected p99 <= 1ms after, and it was \d[^$]*The slowest 1s began at [01]m\d\d.000s, with a p99 of [^$]*No fault was in force; the last one was silent_drop`,
		`of web >= 99.99% during, and it was 99[^$]*The worst 1s began at 0m40.000s: \d+ of \d+ requests that began then failed\.`,
		`In force then: silent_drop proxy <-> 10.0.0.1.`,
		`web/10.0.0.1:80 gave \d+.\d\d % of the answers of its upstream; its fair share is 33.33 %`,
		`The last fault that ends did so at 1m10.000s.`,
		`and it was 0.\nThey were counted when the proxy had drained`,
		`^Expected dials <= 1 before, and it was 9.\nNo request that began in that time failed.$`,
	} {
		require.Regexp(t, want, saidOf(all[i]))
	}
	require.Contains(t, saidOf(all[2]), "first attempt_failed at web/10.0.0.1:80: backend_timeout")
	require.Contains(t, saidOf(all[5]), "backend_up")
	text := page(t, v)
	require.Equal(t, 8, strings.Count(text, "<b>Expected "))

	quiet := &Verdict{Expectations: []Judged{{Expect: "p99 <= 1s", OK: true}}}
	require.Empty(t, quiet.explain())
	require.NotContains(t, page(t, quiet), "What failed")
}

func TestARunThatBrokeOffSaysWhyAndShowsNoFigures(t *testing.T) {
	v := Broken("demo", 7, "<deadlock>")
	require.False(t, v.OK())
	require.Empty(t, v.Figures())
	require.Equal(t, "demo  seed 7   broke off\n  FAIL  the run ends in order   <deadlock>\n", v.Text())
	text := page(t, v)
	require.Contains(t, text, "&lt;deadlock&gt;", "no text of a run becomes a part of the page")
	require.Contains(t, text, "The run broke off")
	for _, zero := range []string{"0s simulated", "0 events", "trace", "Measured"} {
		require.NotContains(t, text, zero)
	}
	v.VirtualSeconds = 62.5
	require.Contains(t, v.Text(), "broke off at 1m02.500s of simulated time\n")
}

func TestAnExplanationNamesTheFirstBrokenLawAndTheSilentBackend(t *testing.T) {
	r := &run{sc: &Scenario{}, since: 5 * time.Second, timeline: []Moment{{3, "x begins"}, {4.5, "broken: a law"}, {5, "broken: another"}},
		served: []bool{true, false}, servers: []*server{{cfg: &Backend{Address: "a:1"}}, {cfg: &Backend{Address: "b:1"}}}}
	require.Equal(t, cause{at: 4500 * time.Millisecond, known: true}, r.brokenCause())
	r.out.recovery = math.Inf(1)
	require.Contains(t, r.recoveryCause().said[0], "no request was answered by b:1.")
	require.Contains(t, r.failoverCause().said[0], "No request failed while a fault lasted.")
	r.timeline = nil
	require.False(t, r.brokenCause().known)
	v := &Verdict{}
	for range 2 * maxAround {
		v.Timeline = append(v.Timeline, Moment{1, "x"})
	}
	require.Len(t, v.momentsAround(time.Second), maxAround+1)
	require.Empty(t, v.momentsAround(time.Second+around+1))
	require.Len(t, v.momentsAround(time.Second+around), maxAround+1)
}

// A real browser draws the page: its bands, its bars and its strip of health are there, in the colours that they should have.
func TestABrowserDrawsTheReport(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	dir := t.TempDir()
	file, shot := filepath.Join(dir, "report.html"), filepath.Join(dir, "report.png")
	require.NoError(t, os.WriteFile(file, []byte(page(t, failing(t))), 0o600))
	cmd := exec.Command("timeout", "60", browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--window-size=1080,2600", "--screenshot="+shot, "file://"+file)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	f, err := os.Open(shot)
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	seen := make(map[color.RGBA]int)
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255}]++
		}
	}
	for what, c := range map[string]color.RGBA{"bars of answered requests": {0x3b, 0x7d, 0xd8, 255},
		"idle connections": {0x3a, 0xa6, 0xa0, 255}, "the strip of health": {0xb3, 0x26, 0x1e, 255}} {
		require.Greater(t, seen[c], 500, what)
	}
	require.Greater(t, len(seen), 50, "there is text")
}

func TestTheInstantsUnderAPictureAreRoundAndAtMostNine(t *testing.T) {
	for span, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 8 * time.Second: time.Second, 9 * time.Second: 2 * time.Second, 30 * time.Second: 5 * time.Second,
		2 * time.Minute: 15 * time.Second, 16 * time.Hour: 2 * time.Hour, 24 * time.Hour: 3 * time.Hour,
	} {
		require.Equal(t, want, axisStep(span), span)
	}
}
