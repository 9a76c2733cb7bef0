package scenario

import (
	"bytes"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// WriteReport writes the verdict as one HTML page that needs nothing else: what ran and what was replaced for it, each expectation, pictures of the run
// over time with the faults as bands behind them, each expectation that failed in words with the events around its worst moment, and the timeline.
func (v *Verdict) WriteReport(w io.Writer) error {
	page := reportPage{V: v, OK: v.OK(), About: v.about, Explained: v.explain(),
		Virtual: (time.Duration(v.VirtualSeconds * float64(time.Second))).Round(time.Second).String()}
	page.Failures = strings.TrimPrefix(v.reasons(), ": ")
	for column := range slices.Chunk(v.figures, (len(metrics)+1)/2) {
		var rows [][2]string
		for _, f := range column {
			rows = append(rows, [2]string{f.Name, f.String()})
		}
		page.Figures = append(page.Figures, rows)
	}
	for _, m := range v.Timeline {
		at := time.Duration(math.Round(m.At*1e6)) * time.Microsecond
		page.Moments = append(page.Moments, [2]string{clockTime(at), m.Text})
	}
	if v.Series != nil && len(v.Series.Answered) > 0 {
		page.Charts = v.charts()
	}
	var b bytes.Buffer // so that a page is written whole or not at all
	if err := reportTemplate.Execute(&b, &page); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// reportPage is what the template shows.
type reportPage struct {
	V              *Verdict
	OK             bool
	About, Virtual string
	Failures       string
	Explained      []explanation
	Figures        [][][2]string // in columns
	Moments        [][2]string
	Charts         []chartView
}

var reportTemplate = template.Must(template.New("report").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.V.Name}}, seed {{.V.Seed}}: {{if .OK}}holds{{else}}fails{{end}}</title>
<style>
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6675;--line:#d9dee5;--paper:#fff;--card:#f6f8fa;--good:#0b7a4b;--bad:#b3261e;--band:#f3d9a7;
--c0:#3b7dd8;--c1:#d1495b;--c2:#e08e0b;--c3:#8a5cc2;--c4:#3aa6a0;--c5:#7a7a7a}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa6b5;--line:#333c48;--paper:#12161c;--card:#1a2028;--good:#4cc38a;
--bad:#ff7a70;--band:#6b5220;--c0:#6aa5f2;--c1:#f07887;--c2:#f0b04a;--c3:#b796e8;--c4:#62c9c3;--c5:#a5a5a5}}
body{margin:0 auto;max-width:1040px;padding:24px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:24px;margin:0}h2{font-size:16px;margin:28px 0 6px}p{margin:6px 0}.soft{color:var(--soft)}
.badge{display:inline-block;padding:1px 10px;border-radius:9px;color:#fff;font-size:14px;vertical-align:3px;margin-left:10px}
.ok{background:var(--good)}.fail{background:var(--bad)}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}
table{border-collapse:collapse}td,th{padding:2px 18px 2px 0;text-align:left;vertical-align:top}td.n{font-variant-numeric:tabular-nums}
.box{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px;margin:12px 0}
.cols{display:flex;gap:48px;flex-wrap:wrap}.chart{overflow-x:auto}svg{width:100%;min-width:800px;height:auto;display:block}svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}
</style></head><body>
<h1>{{.V.Name}}<span class="badge {{if .OK}}ok{{else}}fail{{end}}">{{if .OK}}holds{{else}}fails{{end}}</span></h1>
<p>{{.About}}</p>
<p class="soft">seed {{.V.Seed}}{{if not .V.BrokeOff}} &middot; {{.Virtual}} simulated &middot; {{.V.Events}} events &middot; trace {{.V.TraceHash}}{{end}}</p>
{{with .V.Replaced}}<div class="box"><b>Not as in production</b><p>In place of what the configuration says, this run had:</p>
<ul>{{range .}}<li>{{.}}</li>{{end}}</ul></div>{{end}}
{{with .V.BrokeOff}}<div class="box"><b>The run broke off</b><p>{{.}}</p></div>{{else}}
{{with .Explained}}<h2>What failed</h2>{{range .}}<div class="box">{{range $i, $text := .Said}}<p>{{if $i}}{{$text}}{{else}}<b>{{$text}}</b>{{end}}</p>{{end}}
{{with .Moments}}<table>{{range .}}<tr><td class="n soft">{{index . 0}}</td><td>{{index . 1}}</td></tr>{{end}}</table>{{end}}</div>{{end}}{{end}}{{end}}
<div class="cols"><div><h2>Expected</h2><table>{{range .V.Expectations}}<tr><td class="{{if .OK}}good{{else}}bad{{end}}">{{if .OK}}ok{{else}}FAIL{{end}}</td>
<td>{{.Expect}}</td><td class="n">{{.Value}}</td></tr>{{end}}</table></div>
{{if .Figures}}<div><h2>Measured</h2><div class="cols">{{range .Figures}}<table>{{range .}}<tr><td>{{index . 0}}</td><td class="n">{{index . 1}}</td></tr>{{end}}</table>{{end}}</div></div>{{end}}</div>
{{with .Failures}}<p>Failed requests: {{.}}</p>{{end}}
{{range .Charts}}<h2>{{.Title}}</h2><p class="soft">{{range .Keys}}<span class="key" style="background:{{.Color}}"></span>{{.Name}}{{end}}</p>
<div class="chart">{{.SVG}}</div>{{end}}
<h2>Timeline</h2><table>{{range .Moments}}<tr><td class="n soft">{{index . 0}}</td><td>{{index . 1}}</td></tr>{{end}}</table>
</body></html>
`))
