package admin

// plot is an hour as bars, ready to be drawn in a box of plotWidth by plotHeight.
type plot struct {
	Name, Class string
	Summary     string
	Top         string // what the box is high
	Bars        []bar
}

// bar is a minute.
type bar struct {
	X, Y, Height float64
	Ago, Value   int
}

const (
	plotWidth  = 600.0
	plotHeight = 96.0
	barWidth   = plotWidth / historyMinutes
)

func newPlot(name, class, summary string, minutes []tally, value func(tally) int) plot {
	p := plot{Name: name, Class: class, Summary: summary}
	top := 0
	for _, m := range minutes {
		top = max(top, value(m))
	}
	top = roundUp(top)
	p.Top = comma(top)
	for i, m := range minutes {
		v := value(m)
		h := float64(v) / float64(top) * plotHeight
		if v > 0 {
			h = max(h, 2) // one among thousands is seen
		}
		p.Bars = append(p.Bars, bar{float64(i) * barWidth, plotHeight - h, h, len(minutes) - 1 - i, v})
	}
	return p
}

// roundUp gives the next of 1, 2, 5, 10, 20, 50...
func roundUp(n int) int {
	for unit := 1; ; unit *= 10 {
		for _, step := range []int{1, 2, 5} {
			if step*unit >= n {
				return step * unit
			}
		}
	}
}
