package detect

// Rules with a check: numbers whose form means little, found at the beginning of a word.

const (
	// nearBytes is how far before a number a word that names it is searched.
	nearBytes = 64
	// nearWords is the maximum number of words of a text that form one of a rule's words.
	nearWords = 3
	// nearMost is the maximum length of a rule's word.
	nearMost = 32
	// MaxNear is the maximum number of rules that require words.
	MaxNear = 64
)

func nearWord(w string) bool {
	for i := range len(w) {
		if w[i] < 'a' || w[i] > 'z' {
			return false
		}
	}
	return len(w) >= keywordLeast && len(w) <= nearMost
}

// checked creates the anchors of a form with a check: at its first bytes, at the beginning of a
// word or after an escape.
func (c *compiledRule) checked(f *form) bool {
	first := f.beginning()
	if len(first) == 0 {
		return false
	}
	_, most := f.reach()
	if most < 0 || most > judged {
		most = judged
	}
	n := len(first)
	a := anchor{back: n + escapeBytes, ahead: most + 2}
	a.find = func(window []byte, at int) (Finding, bool) {
		start := at + 1 - n
		if start < 0 || !apart(window, start) {
			return Finding{}, false
		}
		size, ok := f.match(window[start:])
		if !ok || !ended(window, start+size) {
			return Finding{}, false
		}
		return Finding{Start: start, End: start + size}, c.check == nil || c.check(window[start:start+size])
	}
	patterns := []pattern{append(pattern{setOf(exceptAlphanumeric)}, first...)}
	for _, p := range behindEscape("x") {
		patterns = append(patterns, append(p[:len(p)-1:len(p)-1], first...))
	}
	c.anchors = append(c.anchors, a.at(patterns...)...)
	return true
}

// beginning returns the sets of the first one or two mandatory bytes.
func (f *form) beginning() (first pattern) {
	for _, it := range f.items {
		if it.min < 1 {
			break
		}
		if it.set == nil {
			var set charset
			for _, t := range it.texts {
				set[t[0]] = true
			}
			return append(first, &set)
		}
		if first = append(first, it.set); it.min > 1 && len(first) < 2 {
			first = append(first, it.set)
		}
		if len(first) == 2 || it.min != it.max {
			break
		}
	}
	return first
}

// apart reports whether the text at b[i] is not part of something longer.
func apart(b []byte, i int) bool {
	return begins(b, i) && (i == 0 || b[i-1] != '-' && b[i-1] != '_' && b[i-1] != '.' && b[i-1] != '+' && b[i-1] != '@')
}

// ended reports whether the text before b[i] ends there.
func ended(b []byte, i int) bool {
	switch {
	case i >= len(b):
		return true
	case alphanumeric[b[i]] || b[i] == '_':
		return false
	}
	return b[i] != '-' && b[i] != '.' && b[i] != '@' || i+1 >= len(b) || !alphanumeric[b[i+1]]
}

// near contains the words of rules.
type near struct {
	words map[string]uint64 // the rules that require a word, as bits
	rules int
}

// add adds the words of a rule and returns its bit.
func (n *near) add(words []string) int {
	if n.words == nil {
		n.words = map[string]uint64{}
	}
	bit := n.rules
	n.rules++
	for _, w := range words {
		n.words[w] |= 1 << (bit & (MaxNear - 1))
	}
	return bit
}

// tells returns the rules that have a word in text. text is a name, or the text before a
// number.
func (n *near) tells(text []byte) (bits uint64) {
	if n.words == nil || len(text) < keywordLeast {
		return 0
	}
	var letters [2 * nameBytes]byte
	var ends [nameBytes]int
	all, words := splitWords(letters[:0], ends[:0], text[max(0, len(text)-nameBytes):])
	begin := 0
	for i := range words {
		for j := i; j < min(len(words), i+nearWords); j++ {
			if word := all[begin:words[j]]; len(word) <= nearMost {
				bits |= n.words[string(word)]
			}
		}
		begin = words[i]
	}
	return bits
}
