package ui

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"auditrelay/cli/internal/api"
)

// samples is the number of points in a plot. They cover five minutes while a page is open.
const samples = 100

// history stores the latest rates of each callback for the plots. Whichever open page refreshes
// first adds a sample. It is safe for concurrent use.
type history struct {
	mu    sync.Mutex
	at    time.Time
	lines map[string]*line
}

type line struct {
	settled uint64 // at the last sample
	rates   []float64
}

// plot is a small graph of a rate. Points is empty if there is nothing to draw yet.
type plot struct {
	Points string // of an SVG polyline 100 wide and 20 high
	Now    string // the latest rate as text
}

// part is the share of one outcome among the finished events of a callback.
type part struct {
	Name, Class, Percent string
	X, Width             string // of a bar 100 wide
}

// outcomes divides a bar by outcome.
func outcomes(a api.Account) (parts []part) {
	all := []struct {
		name, class string
		n           uint64
	}{{"delivered", "delivered", a.Delivered}, {"filtered", "filtered", a.Filtered}, {"dead letters", "dead", a.DeadLettered}, {"discarded or skipped", "skipped", a.Discarded + a.Skipped}}
	total := uint64(0)
	for _, o := range all {
		total += o.n
	}
	x := 0.0
	for _, o := range all {
		if o.n == 0 {
			continue
		}
		width := 100 * float64(o.n) / float64(total)
		parts = append(parts, part{o.name, o.class, fmt.Sprintf("%.3g %%", width), fmt.Sprintf("%.2f", x), fmt.Sprintf("%.2f", width)})
		x += width
	}
	return parts
}

func historyKey(name, replay string) string { return name + "\x00" + replay }

// sample adds the rates since the last sample, unless that sample is very recent.
func (h *history) sample(now time.Time, callbacks []api.CallbackStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	passed := now.Sub(h.at)
	if passed < 2*time.Second {
		return
	}
	h.at = now
	before := h.lines
	h.lines = make(map[string]*line, len(callbacks))
	for i := range callbacks {
		c := &callbacks[i]
		key := historyKey(c.Name, c.Replay)
		settled := c.Account.Delivered + c.Account.Filtered + c.Account.DeadLettered
		l := before[key]
		switch {
		case l == nil || passed > time.Minute || settled < l.settled:
			l = &line{}
		default:
			l.rates = append(l.rates, float64(settled-l.settled)/passed.Seconds())
			l.rates = l.rates[max(0, len(l.rates)-samples):]
		}
		l.settled = settled
		h.lines[key] = l
	}
}

// plot draws the rates of a callback.
func (h *history) plot(name, replay string) plot {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lines[historyKey(name, replay)]
	if l == nil || len(l.rates) < 2 {
		return plot{}
	}
	most := 0.1
	for _, r := range l.rates {
		most = max(most, r)
	}
	var points strings.Builder
	for i, r := range l.rates {
		x := 100 - float64(len(l.rates)-1-i)*100/(samples-1)
		fmt.Fprintf(&points, "%.1f,%.1f ", x, 19-18*r/most)
	}
	return plot{Points: strings.TrimSpace(points.String()), Now: fmt.Sprintf("%.1f/s", l.rates[len(l.rates)-1])}
}
