package scenario

import (
	"fmt"
	"html"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wavepool/wavepool/health"
)

// chartView is one picture of a report.
type chartView struct {
	Title string
	Keys  []chartKey
	SVG   template.HTML
}

// chartKey says what a colour means.
type chartKey struct {
	Name  string
	Color template.CSS
}

// The size of a picture, and of the room around what it shows.
const (
	chartWidth, chartHeight         = 1000.0, 190.0
	leftRoom, rightRoom, bottomRoom = 52.0, 8.0, 20.0
	topRoom                         = 8.0
)

// colorOf is the n-th of the page's colours.
func colorOf(n int) template.CSS { return template.CSS(fmt.Sprintf("var(--c%d)", n%6)) }

// canvas draws one picture. The time axis is the same in all of them.
type canvas struct {
	b      strings.Builder
	v      *Verdict
	height float64
	span   time.Duration // that the time axis shows
}

func (v *Verdict) canvas(height float64) *canvas {
	c := &canvas{v: v, height: height, span: time.Duration(len(v.Series.Answered)) * v.Series.Step}
	fmt.Fprintf(&c.b, `<svg viewBox="0 0 %.0f %.0f" role="img">`, chartWidth, height)
	for i := range v.faults {
		f := &v.faults[i]
		end, ends := f.ends()
		if !ends {
			end = v.duration
		}
		from, to := c.x(f.At), c.x(end)
		// What is drawn over the band can hide it all; the strip below the axis is always seen.
		fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="4" fill="var(--band)"/>`,
			from, height-bottomRoom, max(to-from, 1.5))
		fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="var(--band)" opacity=".55"><title>%s</title></rect>`,
			from, topRoom, max(to-from, 1.5), height-topRoom-bottomRoom, html.EscapeString(f.String()))
	}
	for i := range v.ops {
		o := &v.ops[i]
		fmt.Fprintf(&c.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="var(--soft)" stroke-dasharray="3 3">`+
			`<title>%s</title></line>`, c.x(o.At), c.x(o.At), topRoom, height-bottomRoom+4, html.EscapeString(o.String()))
	}
	return c
}

// x is where an instant stands.
func (c *canvas) x(at time.Duration) float64 {
	share := float64(min(at, c.span)) / float64(c.span)
	return leftRoom + share*(chartWidth-leftRoom-rightRoom)
}

// step is where the n-th step of the series begins.
func (c *canvas) step(n int) float64 { return c.x(time.Duration(n) * c.v.Series.Step) }

// y is where a share of the height stands, 0 at the bottom.
func (c *canvas) y(share float64) float64 {
	return c.height - bottomRoom - share*(c.height-topRoom-bottomRoom)
}

// timeAxis writes instants under the picture and ends it.
func (c *canvas) timeAxis() template.HTML {
	for at, step := time.Duration(0), axisStep(c.span); at <= c.span; at += step {
		anchor := "middle"
		if at > c.span*98/100 {
			anchor = "end"
		}
		fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, c.x(at), c.height-5, anchor, shortDuration(at))
	}
	c.b.WriteString("</svg>")
	return template.HTML(c.b.String())
}

// axisStep is the distance of the instants under a picture: a round one, and at most eight of them.
func axisStep(span time.Duration) time.Duration {
	for _, step := range []time.Duration{1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200} {
		if step *= time.Second; step*8 >= span {
			return step
		}
	}
	return (span/8 + time.Hour - 1).Truncate(time.Hour)
}

// level draws a line across at a share of the height, with its value beside it.
func (c *canvas) level(share float64, label string) {
	fmt.Fprintf(&c.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="var(--line)"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
		leftRoom, chartWidth-rightRoom, c.y(share), c.y(share), leftRoom-6, c.y(share)+4, html.EscapeString(label))
}

// stack draws counts on top of each other, step by step; the first lies at the bottom.
func (c *canvas) stack(layers [][]int, colors []template.CSS, per float64, unit string) {
	most := 1.0
	n := len(layers[0])
	for i := range n {
		sum := 0
		for _, l := range layers {
			sum += l[i]
		}
		most = max(most, float64(sum)/per)
	}
	for _, share := range []float64{0, 0.5, 1} {
		if unit == "" && most*share != math.Trunc(most*share) {
			continue // there is no half of a connection
		}
		c.level(share, plain(most*share)+unit)
	}
	base := make([]float64, n)
	for k, l := range layers {
		var up, down []string
		for i := range n {
			top := base[i] + float64(l[i])/per/most
			from, to := c.step(i), c.step(i+1)
			up = append(up, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", from, c.y(top), to, c.y(top)))
			down = append(down, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", to, c.y(base[i]), from, c.y(base[i])))
			base[i] = top
		}
		slices.Reverse(down)
		fmt.Fprintf(&c.b, `<polygon points="%s %s" fill="%s"/>`, strings.Join(up, " "), strings.Join(down, " "), colors[k])
	}
}

// plain writes a number with as many digits as help.
func plain(x float64) string {
	if x >= 10 || x == math.Trunc(x) {
		return thousands(uint64(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}

// charts are the pictures of the page.
func (v *Verdict) charts() []chartView {
	out := []chartView{v.requestChart(), v.latencyChart()}
	for i := range v.Series.Backends {
		if len(v.Series.Backends[i].Idle) > 0 {
			out = append(out, v.backendChart(&v.Series.Backends[i]))
		}
	}
	return out
}

func (v *Verdict) requestChart() chartView {
	// Failures lie at the bottom, where few of them can be seen and compared.
	var layers [][]int
	var keys []chartKey
	for i, reason := range slices.Sorted(maps.Keys(v.Series.Failed)) {
		layers = append(layers, v.Series.Failed[reason])
		keys = append(keys, chartKey{reason, colorOf(1 + i%5)})
	}
	layers, keys = append(layers, v.Series.Answered), append(keys, chartKey{"answered", colorOf(0)})
	colors := make([]template.CSS, len(keys))
	for i := range keys {
		colors[i] = keys[i].Color
	}
	keys = append(keys, chartKey{"a fault is in force", "var(--band)"})
	if len(v.ops) > 0 {
		keys = append(keys, chartKey{"an operation (dashed)", "var(--soft)"})
	}
	c := v.canvas(chartHeight)
	c.stack(layers, colors, v.Series.Step.Seconds(), "/s")
	return chartView{"Requests per second, by how they ended", keys, c.timeAxis()}
}

// latencyChart has a logarithmic scale, since what matters is by how many times it grows.
func (v *Verdict) latencyChart() chartView {
	least, most := math.Inf(1), math.Inf(-1)
	for _, line := range [][]float64{v.Series.P50, v.Series.P99} {
		for _, x := range line {
			if !math.IsNaN(x) && x > 0 {
				least, most = min(least, x), max(most, x)
			}
		}
	}
	c := v.canvas(chartHeight)
	if most > 0 {
		low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most)+1e-9)
		high = max(high, low+1)
		for e := low; e <= high; e++ {
			c.level((e-low)/(high-low), seconds.format(math.Pow(10, e)))
		}
		for k, line := range [][]float64{v.Series.P50, v.Series.P99} {
			c.line(line, func(x float64) float64 { return (math.Log10(x) - low) / (high - low) }, colorOf(k))
		}
	}
	return chartView{"Latency of the answered requests", []chartKey{{"p50", colorOf(0)}, {"p99", colorOf(1)}}, c.timeAxis()}
}

// line draws one value for each step, with gaps where there is none.
func (c *canvas) line(values []float64, share func(float64) float64, stroke template.CSS) {
	var path strings.Builder
	pen := "M"
	for i, x := range values {
		if math.IsNaN(x) || x <= 0 {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%.1f %.1f ", pen, (c.step(i)+c.step(i+1))/2, c.y(share(x)))
		pen = "L"
	}
	fmt.Fprintf(&c.b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.6"/>`, path.String(), stroke)
}

// backendChart shows a pool's connections, and above them a strip of the backend's health.
func (v *Verdict) backendChart(s *BackendSeries) chartView {
	c := v.canvas(chartHeight * 0.7)
	c.stack([][]int{s.Lent, s.Idle, s.Dialling}, []template.CSS{colorOf(0), colorOf(4), colorOf(2)}, 1, "")
	for from := 0; from < len(s.Health); {
		to := from
		for to < len(s.Health) && s.Health[to] == s.Health[from] {
			to++
		}
		if s.Health[from] != health.Up {
			fmt.Fprintf(&c.b, `<rect x="%.1f" y="0" width="%.1f" height="%.1f" fill="var(--bad)"><title>%v</title></rect>`,
				c.step(from), c.step(to)-c.step(from), topRoom-2, s.Health[from])
		}
		from = to
	}
	return chartView{"Connections to " + s.Name, []chartKey{{"lent", colorOf(0)}, {"idle", colorOf(4)}, {"dialling", colorOf(2)},
		{"not admitted by health", "var(--bad)"}, {"a fault is in force", "var(--band)"}}, c.timeAxis()}
}
