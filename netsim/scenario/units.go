package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is how the value of a metric is written.
type unit uint8

const (
	count    unit = iota
	share         // 0 to 1, written in percent
	excess        // 0 and more, written in percent
	seconds       // written as a duration
	multiple      // how many times something is something else, written as 1.25 or 1.25x
	perSec        // written as 100/s or 30/m
)

// parse reads a value in that unit.
func (u unit) parse(s string) (float64, error) {
	switch u {
	case share, excess:
		digits, percent := strings.CutSuffix(s, "%")
		x, ok := percentage(strings.TrimSpace(digits))
		switch {
		case u == share && (!ok || !percent || x > 1):
			return 0, fmt.Errorf("want a share in percent, such as 99.9%%; got %q", s)
		case !ok || !percent:
			return 0, fmt.Errorf("want a value in percent, such as 10%%; got %q", s)
		}
		return x, nil
	case seconds:
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("want a duration with its unit, such as 100ms; got %q", s)
		}
		return d.Seconds(), nil
	case multiple:
		x, ok := number(strings.TrimSuffix(s, "x"))
		if !ok {
			return 0, fmt.Errorf("want a number such as 1.2, or 1.2x; got %q", s)
		}
		return x, nil
	case perSec:
		return parseRate(s)
	}
	n, err := strconv.ParseUint(s, 10, 53)
	if err != nil {
		return 0, fmt.Errorf("want a whole number; got %q", s)
	}
	return float64(n), nil
}

// parseRate reads 100/s or 30/m.
func parseRate(s string) (float64, error) {
	digits, per, _ := strings.Cut(s, "/")
	x, ok := number(strings.TrimSpace(digits))
	switch strings.TrimSpace(per) {
	case "s":
	case "m":
		x /= 60
	default:
		ok = false
	}
	if !ok {
		return 0, fmt.Errorf("want a rate with its unit, such as 100/s or 30/m; got %q", s)
	}
	return x, nil
}

// format writes a value for people. Shares are cut and not rounded, so that nearly all is not shown as all, and what is
// too much is rounded up, so that it is not shown as just enough.
func (u unit) format(x float64) string {
	switch {
	case math.IsNaN(x):
		return "none"
	case math.IsInf(x, 1):
		return "never"
	}
	switch u {
	case share:
		return strconv.FormatFloat(math.Floor(x*1e4+1e-9)/100, 'f', 2, 64) + " %"
	case excess:
		return strconv.FormatFloat(max(0, math.Ceil(x*1e4-1e-9))/100, 'f', 2, 64) + " %"
	case seconds:
		return formatSeconds(x)
	case multiple:
		return strconv.FormatFloat(math.Ceil(x*1e3-1e-9)/1e3, 'f', 3, 64) + "x"
	case perSec:
		return strconv.FormatFloat(x, 'f', decimals(x), 64) + "/s"
	}
	return thousands(uint64(x))
}

// formatSeconds writes three digits that matter and the unit that fits.
func formatSeconds(x float64) string {
	d := time.Duration(math.Round(x * 1e9))
	if d == 0 {
		return "0 s"
	}
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}} {
		if d >= u.size {
			return strconv.FormatFloat(float64(d)/float64(u.size), 'f', decimals(float64(d)/float64(u.size)), 64) + " " + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + " ns"
}

func decimals(x float64) int {
	switch {
	case x < 10:
		return 2
	case x < 100:
		return 1
	}
	return 0
}

// thousands writes 18012 as 18,012.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
