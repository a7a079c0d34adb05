package config

import "math"

// leastTokenBits is what a shared secret must hold by this package's estimate. One by
// chance of 16 hexadecimal digits has some 50; words, patterns and repetitions have less.
const leastTokenBits = 22

// Weak reports whether a shared secret is short, or is made of so few different
// characters, repetitions and sequences that it can be guessed. It finds what people
// type; a dictionary's words in a row it does not know.
func Weak(secret string) bool {
	if len(secret) < 16 {
		return true
	}
	// A repetition is worth what is repeated.
	unit := secret[:period(secret)]
	if len(unit) < 12 {
		return true
	}
	counts, fresh := map[byte]int{}, 0
	for i := range len(unit) {
		counts[unit[i]]++
		// What follows from the character before adds nothing: aaaa, 1234, dcba.
		if i == 0 || unit[i]-unit[i-1]+1 > 2 {
			fresh++
		}
	}
	bits := 0.0
	for _, n := range counts {
		p := float64(n) / float64(len(unit))
		bits -= p * math.Log2(p)
	}
	return bits*float64(fresh) < leastTokenBits
}

// period is the length of the shortest text that s is a repetition of, the last one
// perhaps cut off.
func period(s string) int {
	for n := 1; n < len(s); n++ {
		if s[n:] == s[:len(s)-n] {
			return n
		}
	}
	return len(s)
}
