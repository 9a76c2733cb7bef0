package lb

import "time"

// roundRobin picks by the smooth weighted rotation alone. What is in flight does not matter to it.
type roundRobin struct{ fleet }

// Pick implements Picker.
func (p *roundRobin) Pick(_ time.Time, q *Query) int {
	tried := q.tried()
	step := rotation{best: -1}
	for i := range p.members {
		if p.eligible(i, tried) {
			p.pay(&step, i)
		}
	}
	return p.choose(&step)
}
