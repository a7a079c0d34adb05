package detect

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"slices"
)

const (
	// maxExpression limits an expression's text. maxProgram limits its compiled size in
	// instructions.
	maxExpression = 4096
	maxProgram    = 20_000
	// expressionReach is how far from its keyword a match is searched if the expression itself
	// has no limit or a wider one.
	expressionReach = 1024
	// expressionStride is how much more is searched at once, so that successive keywords do not
	// each need a search.
	expressionStride = 4096
	// expressionSpend limits how often a byte of the text is read by all searches of one
	// expression. Without it, many fruitless matches would make the work quadratic
	// (token.*;|token on many a token).
	expressionSpend = 32
)

// expression is a search for forms that need one: RE2 in a window around a keyword.
type expression struct {
	regex *regexp.Regexp
	group int // of the secret; 0: the first non-empty one, or else the whole match
	reach int
	index int // index in a Set
	judge func(text []byte, match, secret Finding) bool
}

// work is the search state of one scan.
type work struct {
	searched []int // by expression: keywords before this position need no search
	spent    []int // by expression: bytes read
}

// find searches for a match around the keyword that ends at text[i]. If the searches have used
// up their budget, the rest of the text counts as found: find fails closed.
func (e *expression) find(text []byte, from, i int, w *work) (Finding, bool) {
	if i < w.searched[e.index] {
		return Finding{}, false
	}
	low, high := max(from, i-e.reach), min(len(text), i+1+e.reach+expressionStride)
	for at := low; at < high; {
		if w.spent[e.index] > expressionSpend*(len(text)+expressionStride) {
			return Finding{Start: max(from, at), End: len(text)}, true
		}
		w.spent[e.index] += high - at
		loc := e.regex.FindSubmatchIndex(text[at:high])
		if loc == nil {
			break
		}
		match := Finding{Start: at + loc[0], End: at + loc[1]}
		secret := e.secret(loc, at)
		if secret.End == match.End && match.End == high && high < len(text) {
			secret.End += notWhite.span(text[high:])
		}
		if secret.End-secret.Start >= shortest && e.judge(text, match, secret) {
			return secret, true
		}
		at = max(at+1, match.End)
	}
	w.searched[e.index] = high - e.reach
	if high == len(text) {
		w.searched[e.index] = high
	}
	return Finding{}, false
}

var notWhite = setOf(exceptWhite)

// secret returns the part of a match that is the secret.
func (e *expression) secret(loc []int, at int) Finding {
	if g := 2 * e.group; e.group > 0 && g+1 < len(loc) && loc[g] >= 0 {
		return Finding{Start: at + loc[g], End: at + loc[g+1]}
	}
	if e.group == 0 {
		for g := 2; g+1 < len(loc); g += 2 {
			if loc[g+1] > loc[g] {
				return Finding{Start: at + loc[g], End: at + loc[g+1]}
			}
		}
	}
	return Finding{Start: at + loc[0], End: at + loc[1]}
}

// widest returns the maximum number of bytes that a tree matches, or -1 if it is unlimited.
func widest(t *syntax.Regexp) int {
	switch t.Op {
	case syntax.OpLiteral:
		return 4 * len(t.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		if t.Op == syntax.OpCharClass && (len(t.Rune) == 0 || t.Rune[len(t.Rune)-1] < 0x80) {
			return 1
		}
		return 4
	case syntax.OpStar, syntax.OpPlus:
		return -1
	case syntax.OpRepeat, syntax.OpQuest:
		most := t.Max
		if t.Op == syntax.OpQuest {
			most = 1
		}
		n := widest(t.Sub[0])
		if n < 0 || most < 0 {
			return -1
		}
		return n * most
	}
	sum := 0
	for _, sub := range t.Sub {
		n := widest(sub)
		switch {
		case n < 0:
			return -1
		case t.Op == syntax.OpAlternate:
			sum = max(sum, n)
		default:
			sum += n
		}
	}
	return sum
}

// required returns texts, one of which occurs in every match of a tree. Longer ones are
// preferred. It returns nil if there is none of at least three bytes.
func required(t *syntax.Regexp) []string {
	switch t.Op {
	case syntax.OpLiteral:
		if text := string(t.Rune); len(text) >= keywordLeast {
			return []string{text}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(t.Sub[0])
	case syntax.OpRepeat:
		if t.Min > 0 {
			return required(t.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range t.Sub {
			if r := required(sub); r != nil && (best == nil || least(r) > least(best)) {
				best = r
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range t.Sub {
			r := required(sub)
			if r == nil {
				return nil
			}
			all = append(all, r...)
		}
		return all
	}
	return nil
}

func least(texts []string) int {
	n := maxExpression
	for _, t := range texts {
		n = min(n, len(t))
	}
	return n
}

// allowlist excludes matches of a rule, as in gitleaks' files.
type allowlist struct {
	every     bool // all conditions must hold, not just one
	regexes   []*regexp.Regexp
	target    string // secret, match or line
	stopwords []string
}

func (a *allowlist) allows(text []byte, match, secret Finding) bool {
	subject := text[secret.Start:secret.End]
	switch a.target {
	case "match":
		subject = text[match.Start:match.End]
	case "line":
		low := bytes.LastIndexByte(text[max(0, match.Start-expressionReach):match.Start], '\n') + 1 + max(0, match.Start-expressionReach)
		high := min(len(text), match.End+expressionReach)
		if n := bytes.IndexByte(text[match.End:high], '\n'); n >= 0 {
			high = match.End + n
		}
		subject = text[low:high]
	}
	word := bytes.ToLower(text[secret.Start:secret.End])
	stopped := slices.ContainsFunc(a.stopwords, func(s string) bool { return bytes.Contains(word, []byte(s)) })
	matched := slices.ContainsFunc(a.regexes, func(r *regexp.Regexp) bool { return r.Match(subject) })
	if a.every {
		return (stopped || len(a.stopwords) == 0) && (matched || len(a.regexes) == 0) && len(a.stopwords)+len(a.regexes) > 0
	}
	return stopped || matched
}
