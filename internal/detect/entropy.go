package detect

import "math"

// entropyJudged is the number of bytes of a value used to compute its entropy.
const entropyJudged = 200

// atLeast reports whether b's Shannon entropy in bits per byte is at least least.
func atLeast(b []byte, least float64) bool {
	if least <= 0 {
		return true
	}
	b = b[:min(len(b), entropyJudged)]
	if len(b) == 0 {
		return false
	}
	var count [256]uint8
	for _, c := range b {
		count[c]++
	}
	sum := 0.0
	for _, n := range count {
		if n > 1 {
			sum += weighted[n]
		}
	}
	n := float64(len(b))
	return math.Log2(n)-sum/n >= least
}

// weighted contains n log n, base 2.
var weighted = func() (w [entropyJudged + 1]float64) {
	for n := 2; n < len(w); n++ {
		w[n] = float64(n) * math.Log2(float64(n))
	}
	return w
}()
