package fanout_test

import (
	"math"
	"slices"
	"testing"
)

// mostLag limits the time of a healthy callback beside destinations in trouble, relative to its
// time beside healthy ones.
const mostLag = 1.2

// verdict is the result of a callback's turns.
type verdict string

const (
	free    verdict = "within the bound"
	held    verdict = "over the bound"
	unclear verdict = "over the bound by no more than chance"
)

// heldUp decides whether a callback is slower than the bound. It is within the bound if the median
// of the turns is. It is over the bound if so many turns are over it that chance explains it at
// most once in a hundred times (a sign test). Otherwise more turns are necessary. On a busy machine
// single turns prove nothing: at a load of 35 on two cores, they ranged from 0.6 to 2.3.
func heldUp(ratios []float64) verdict {
	if median(ratios) <= mostLag {
		return free
	}
	over := 0
	for _, r := range ratios {
		if r > mostLag {
			over++
		}
	}
	// The probability of at least this many heads in n throws of a coin.
	n, chance, ways := len(ratios), 0.0, 1.0
	for k := n; k >= over; k-- {
		chance += ways
		ways *= float64(k) / float64(n-k+1)
	}
	if math.Ldexp(chance, -n) <= 0.01 {
		return held
	}
	return unclear
}

func TestHeldUp(t *testing.T) {
	of := func(n int, ratio float64) []float64 { return slices.Repeat([]float64{ratio}, n) }
	for _, tt := range []struct {
		ratios []float64
		want   verdict
	}{
		{of(8, 1), free},
		{of(8, 1.2), free},
		{of(8, 1.21), held},
		{append(of(7, 3), 1), unclear}, // 3.5 %
		{append(of(10, 3), 1), held},   // 0.6 %
		{append(of(17, 1.3), of(7, 1)...), unclear},
		{append(of(18, 1.3), of(6, 1)...), unclear}, // 1.1 %
		{append(of(19, 1.3), of(5, 1)...), held},
		{append(of(11, 9), of(13, 1)...), free},
		{[]float64{1.30, 2.29, 1.50, 1.46, 1.30, 1.10, 0.59, 0.77, 1.23, 0.75}, unclear}, // measured on a busy machine
		{[]float64{2.1, 1.9, 0.9, 1.4, 3, 1.3, 1.1, 2.2, 1.8, 1.7}, unclear},
	} {
		if got := heldUp(tt.ratios); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.ratios, got, tt.want)
		}
	}
}

// median returns the middle value, or the mean of the two middle values.
func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
