package config

import (
	"math"
	"strings"
)

// leastTokenBits is the minimum entropy of a shared secret by this package's estimate. A random
// secret of 16 hexadecimal digits has about 50; words, patterns and repetitions have less.
const leastTokenBits = 22

// commonWords are words that people use in invented secrets. Each counts as one character.
var commonWords = strings.NewReplacer("password", "~", "passwort", "~", "passwd", "~", "passphrase", "~", "changeme", "~", "change-me", "~", "changeit", "~", "replaceme", "~", "replace", "~", "letmein", "~",
	"welcome", "~", "secret", "~", "token", "~", "bearer", "~", "apikey", "~", "api-key", "~", "admin", "~", "root", "~", "default", "~", "example", "~", "sample", "~", "dummy", "~", "placeholder", "~",
	"insert", "~", "your", "~", "test", "~", "demo", "~", "auditrelay", "~", "audit", "~", "relay", "~", "litellm", "~", "production", "~", "staging", "~", "prod", "~", "dev", "~", "super", "~", "very", "~",
	"qwertyuiop", "~", "qwertzuiop", "~", "asdfghjkl", "~", "yxcvbnm", "~", "zxcvbnm", "~", "qwerty", "~", "qwertz", "~", "asdf", "~", "yxcv", "~", "zxcv", "~", "iloveyou", "~", "monkey", "~", "dragon", "~", "hunter2", "~", "p@ssw0rd", "~", "passw0rd", "~", "s3cret", "~")

// Weak reports whether a shared secret can be guessed: it is short, or consists of few
// different characters, common words, repetitions and sequences. It detects what people type,
// but only some dictionary words.
func Weak(secret string) bool {
	if len(secret) < 16 {
		return true
	}
	lower := strings.ToLower(secret)
	unit, least := withoutRepeats(commonWords.Replace(lower)), 10
	if commonWords.Replace(lower) == lower {
		unit, least = withoutRepeats(secret), 12
	}
	if len(unit) < least {
		return true
	}
	counts, fresh := map[byte]int{}, 0
	for i := range len(unit) {
		counts[unit[i]]++
		// A character that follows from the one before adds nothing: aaaa, 1234, dcba.
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

// withoutRepeats removes repetitions of four or more characters, since a repetition adds
// nothing to the repeated text.
func withoutRepeats(s string) string {
	const least = 4
	var out strings.Builder
	for i := 0; i < len(s); {
		n := least
		for i+n <= len(s) && strings.Contains(s[:i+n-1], s[i:i+n]) {
			n++
		}
		if n--; n < least {
			out.WriteByte(s[i])
			n = 1
		}
		i += n
	}
	return out.String()
}
