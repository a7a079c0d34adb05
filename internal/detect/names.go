package detect

import (
	"strings"
	"sync"

	"auditrelay/internal/keyname"
)

// kind is what a name tells of the value beside it; a set of kinds where they are
// or-ed.
type kind uint16

const (
	password  kind = 1 << iota // a person may have made it up
	token                      // a machine made it
	awsKey                     // an AWS secret access key
	azureKey                   // the key of a storage account or of a bus
	signature                  // of a shared access signature
	address                    // a URL or connection string, which may hold a password
	headers                    // a collection of which any value may be a secret
	aKey                       // a name with the word key, as LiteLLM's own masker takes them
	bare                       // which is all that it says
	digest                     // LiteLLM keeps a key's SHA-256 there
	jar                        // a header of cookies
	listed                     // no word says so: the value stands in a list, behind its name
)

// nameBytes is the most of a name that is looked at, separators among them.
const nameBytes = 96

// tailWords is how many words may stand behind a telling one.
const tailWords = 3

// names knows telling names.
type names struct {
	filter           *automaton        // of the vocabulary's words in ASCII: what it does not hit tells nothing
	trie             []trieNode        // of the vocabulary's words, read backwards
	others           map[uint32]uint16 // nodes behind bytes that are no small letters
	aside, counting  map[string]bool
	hashing          map[string]bool
	harmless         map[string]bool
	wordsBeforeToken map[string]bool
}

type trieNode struct {
	next [26]uint16 // by small letter
	word word
}

// child returns the node behind c, 0 where there is none.
func (n *names) child(at uint16, c byte) uint16 {
	if 'a' <= c && c <= 'z' {
		return n.trie[at].next[c-'a']
	}
	return n.others[uint32(at)<<8|uint32(c)]
}

// grow returns the node behind c, which it makes where there is none.
func (n *names) grow(at uint16, c byte) uint16 {
	if to := n.child(at, c); to != 0 {
		return to
	}
	to := uint16(len(n.trie))
	n.trie = append(n.trie, trieNode{})
	if 'a' <= c && c <= 'z' {
		n.trie[at].next[c-'a'] = to
	} else {
		n.others[uint32(at)<<8|uint32(c)] = to
	}
	return to
}

// sharedNames are the one vocabulary that all catalogues have.
var sharedNames = sync.OnceValue(newNames)

func matchesAny(patterns []keyname.Pattern, key []byte) bool {
	snake := keyname.AppendSnake(nil, key)
	joined := keyname.Join(append([]byte(nil), snake...))
	for i := range patterns {
		if patterns[i].Matches(snake, joined) {
			return true
		}
	}
	return false
}

func newNames() *names {
	n := &names{trie: make([]trieNode, 1), others: map[uint32]uint16{}, aside: aside(), counting: counting(), hashing: hashing(), harmless: harmless(),
		wordsBeforeToken: wordSet(`access refresh api auth bearer secret id session user service bot personal private security deploy job invite reset
			verification vault client csrf xsrf registration push device app application admin master`)}
	var patterns []pattern
	for text, w := range vocabulary() {
		if !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) {
			patterns = append(patterns, literal(text))
		}
		letters := keyname.Join(keyname.AppendSnake(nil, []byte(text)))
		at := uint16(0)
		for i := len(letters) - 1; i >= 0; i-- {
			at = n.grow(at, letters[i])
		}
		n.trie[at].word = w
	}
	var err error
	if n.filter, err = newAutomaton(patterns); err != nil {
		panic(err) // the vocabulary is far smaller
	}
	return n
}

// tells returns what name tells: by its last words, in camelCase, snake_case,
// kebab-case or with spaces, in the plural, with digits behind a word, and with
// words behind it that say which of several it is. It looks at the last nameBytes
// alone.
func (n *names) tells(name []byte) kind {
	if len(name) < 2 {
		return 0
	}
	name = name[max(0, len(name)-nameBytes):]
	if n.silent(name) {
		return 0
	}
	var room [2 * nameBytes]byte
	var ends [nameBytes]int
	letters, words := splitWords(room[:0], ends[:0], name)
	hashed := false
	for tail := 0; tail <= tailWords && len(words) > tail; tail++ {
		last := len(words) - tail
		begin := 0
		if last > 1 {
			begin = words[last-2]
		}
		end := words[last-1]
		k := n.ending(letters[:end], words[:last], tail > 0)
		switch {
		case k != 0 && hashed && k&password == 0:
			return 0 // the hash of a key tells which key is meant
		case k != 0:
			return k
		case n.hashing[string(letters[begin:end])]:
			hashed = true
		case n.aside[string(letters[begin:end])]:
			return 0
		}
	}
	return 0
}

// silent reports whether no word of the vocabulary is in name, which most names are
// done with.
func (n *names) silent(name []byte) bool {
	state := n.filter.start
	for _, c := range name {
		switch {
		case c >= 0x80:
			return false
		case classOf[c]&(lower|upper) == 0:
			continue
		}
		if state = n.filter.step(state, c); state >= n.filter.firstHit {
			return false
		}
	}
	return true
}

// splitWords appends the letters of name's words, and where each word ends among
// them. Digits at a word's end are left out, so that a word of digits is none.
func splitWords(letters []byte, ends []int, name []byte) ([]byte, []int) {
	snake := keyname.AppendSnake(letters, name)
	out := snake[:0]
	begin := 0
	closeWord := func() {
		end := len(out)
		for end > begin && classOf[out[end-1]] == digit {
			end--
		}
		if out = out[:end]; end > begin {
			ends = append(ends, end)
		}
		begin = end
	}
	for _, c := range snake {
		switch {
		case keyname.IsSeparator(c):
			closeWord()
		case classOf[c]&alnumClasses != 0 || c >= 0x80:
			out = append(out, c)
		default:
			closeWord()
		}
		if len(ends) == cap(ends) {
			break
		}
	}
	closeWord()
	return out, ends
}

// ending returns what the words tell that letters end with; behind says that others
// followed.
func (n *names) ending(letters []byte, words []int, behind bool) kind {
	if k := n.suffix(letters, words, behind); k != 0 {
		return k
	}
	// In the plural, which "pass" and the like have not.
	if l := len(letters); l > 3 && letters[l-1] == 's' && letters[l-2] != 's' {
		k := n.suffix(letters[:l-1], words, behind)
		if k != 0 && string(letters[max(0, l-6):]) == "tokens" && !n.ofAccess(letters[:l-6], words) {
			return 0 // of a text
		}
		if k&aKey != 0 {
			return 0 // a list of names, as a rule
		}
		return k
	}
	return 0
}

// ofAccess reports whether the word before "tokens" says that they open something.
func (n *names) ofAccess(before []byte, words []int) bool {
	begin := 0
	for _, end := range words {
		if end < len(before) {
			begin = end
		}
	}
	return n.wordsBeforeToken[string(before[begin:])]
}

// suffix looks for the longest word of the vocabulary that letters end with.
func (n *names) suffix(letters []byte, words []int, behind bool) kind {
	at, found, start := uint16(0), word{}, 0
	for i := len(letters) - 1; i >= 0; i-- {
		if at = n.child(at, letters[i]); at == 0 {
			break
		}
		w := n.trie[at].word
		if w.kinds == 0 || behind && !w.tail || w.whole && !begun(words, i) {
			continue
		}
		found, start = w, i
	}
	switch {
	case found.kinds == token && string(letters[start:]) == "token" && n.unit(letters[:start], words):
		return 0
	case found.kinds == aKey && n.before(n.harmless, letters[:start], words):
		return 0
	case found.kinds == aKey && start == 0 && !behind:
		return aKey | bare
	}
	return found.kinds
}

// begun reports whether a word begins at position i.
func begun(words []int, i int) bool {
	if i == 0 {
		return true
	}
	for _, end := range words {
		if end == i {
			return true
		}
	}
	return false
}

// unit reports whether what stands before "token" makes it a piece of text.
func (n *names) unit(before []byte, words []int) bool {
	return n.before(n.counting, before, words) && !n.ofAccess(before, words)
}

// before reports whether one of the two last words of before is in the set.
func (n *names) before(set map[string]bool, before []byte, words []int) bool {
	end, seen := len(before), 0
	for i := len(words) - 1; i >= -1 && seen < 2 && end > 0; i-- {
		begin := 0
		if i >= 0 {
			begin = words[i]
		}
		if begin >= end {
			continue
		}
		if set[string(before[begin:end])] {
			return true
		}
		end = begin
		seen++
	}
	return false
}
