package keyname

import (
	"bytes"
	"unicode/utf8"
)

// alike are letters, as foldCase returns them, that look like a letter of ASCII in upper or lower
// case. Source: confusables.txt of Unicode, the letters of Greek, Cyrillic and Latin in it.
const (
	alike   = "АВЕЅІЈКМНОРСТУХԀԚԜҺҮӀГΑΒΕΖΗ\u0345Κ\u00b5ΝΟΡΤΥΧ\u03f2\u037fΩıɡℓ"
	asASCII = "abesijkmhopctyxdqwhylrabezhikmnoptyxcjwigl"
)

// unmask replaces such letters in the words of dst[base:] that consist of them and of ASCII: a
// word of one foreign script stays as it is.
func unmask(dst []byte, base int) []byte {
	out := dst[:base]
	for rest := dst[base:]; ; {
		word, after, more := bytes.Cut(rest, []byte("_"))
		out = appendWord(out, word)
		if !more {
			return out
		}
		out, rest = append(out, '_'), after
	}
}

// appendWord appends a word to out, which is at or before the word in the same memory.
func appendWord(out, word []byte) []byte {
	latin, foreign := false, false
	for i := 0; i < len(word); {
		r, size := utf8.DecodeRune(word[i:])
		switch {
		case r >= utf8.RuneSelf && lookalike(r) == 0:
			return append(out, word...)
		case r >= utf8.RuneSelf:
			foreign = true
		case r >= 'a' && r <= 'z':
			latin = true
		}
		i += size
	}
	if !latin || !foreign {
		return append(out, word...)
	}
	for i := 0; i < len(word); {
		r, size := utf8.DecodeRune(word[i:])
		if i += size; r < utf8.RuneSelf {
			out = append(out, byte(r))
		} else {
			out = append(out, lookalike(r))
		}
	}
	return out
}

// lookalike returns the letter that r looks like, or 0.
func lookalike(r rune) byte {
	n := 0
	for _, c := range alike {
		if c == r {
			return asASCII[n]
		}
		n++
	}
	return 0
}
