package detect

import (
	"fmt"
	"regexp/syntax"
)

// form is an expression that covers a secret from beginning to end and needs no search. It
// consists of successive items, each of which takes as much as it can without backtracking.
type form struct {
	items []item
	tail  *charset // characters that continue a match after the last item
}

// item is a row of bytes of a set, or one of several texts.
type item struct {
	set      *charset
	min, max int // max < 0: unlimited
	texts    [][]byte
}

// parseForm reads an expression. ok is false if it needs a search.
func parseForm(tree *syntax.Regexp) (f form, ok bool) {
	items, ok := appendItems(nil, tree)
	if !ok || len(items) == 0 {
		return f, false
	}
	for i, it := range items[:len(items)-1] {
		if it.set != nil && it.min != it.max && overlaps(it.set, items[i+1:]) {
			return f, false
		}
	}
	f.items = items
	f.tail = tailOf(items)
	return f, true
}

// tailOf returns the characters with which a longer secret of the form would continue: those of
// the last row and of optional items after it.
func tailOf(items []item) *charset {
	var tail charset
	for i := len(items) - 1; i >= 0 && items[i].set != nil; i-- {
		for c, in := range items[i].set {
			tail[c] = tail[c] || in
		}
		if items[i].min > 3 {
			return &tail
		}
		if items[i].min > 0 {
			break
		}
	}
	return nil
}

// overlaps reports whether rest may begin with a byte of set.
func overlaps(set *charset, rest []item) bool {
	for _, it := range rest {
		for _, text := range it.texts {
			if set[text[0]] {
				return true
			}
		}
		for c := range it.set {
			if it.set[c] && set[c] {
				return true
			}
		}
		if it.set == nil || it.min > 0 {
			return false
		}
	}
	return false
}

func appendItems(items []item, t *syntax.Regexp) ([]item, bool) {
	switch t.Op {
	case syntax.OpEmptyMatch:
		return items, true
	case syntax.OpLiteral:
		for _, r := range t.Rune {
			if r >= 0x80 {
				return nil, false
			}
			var set charset
			set[r] = true
			if t.Flags&syntax.FoldCase != 0 {
				set[fold(byte(r))] = true
				if 'a' <= r && r <= 'z' {
					set[r-'a'+'A'] = true
				}
			}
			items = append(items, item{set: &set, min: 1, max: 1})
		}
		return items, true
	case syntax.OpCharClass:
		set, ok := classSet(t)
		return append(items, item{set: set, min: 1, max: 1}), ok
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		if t.Flags&syntax.NonGreedy != 0 {
			return nil, false
		}
		inner, ok := appendItems(nil, t.Sub[0])
		if !ok || len(inner) != 1 || inner[0].set == nil || inner[0].min != 1 || inner[0].max != 1 {
			return nil, false
		}
		least, most := t.Min, t.Max
		switch t.Op {
		case syntax.OpStar:
			least, most = 0, -1
		case syntax.OpPlus:
			least, most = 1, -1
		case syntax.OpQuest:
			least, most = 0, 1
		}
		return append(items, item{set: inner[0].set, min: least, max: most}), true
	case syntax.OpConcat:
		for _, sub := range t.Sub {
			var ok bool
			if items, ok = appendItems(items, sub); !ok {
				return nil, false
			}
		}
		return items, true
	case syntax.OpAlternate:
		texts, ok := alternatives(t)
		return append(items, item{texts: texts, min: 1, max: 1}), ok
	}
	return nil, false
}

// alternatives returns the texts of an alternation. None may be the beginning of another.
func alternatives(t *syntax.Regexp) ([][]byte, bool) {
	var texts [][]byte
	for _, sub := range t.Sub {
		inner, ok := appendItems(nil, sub)
		if !ok || len(inner) == 0 {
			return nil, false
		}
		all, whole := spell(inner, 16)
		if !whole {
			return nil, false
		}
		texts = append(texts, all...)
	}
	for i, a := range texts {
		for j, b := range texts {
			if i != j && len(a) <= len(b) && string(b[:len(a)]) == string(a) {
				return nil, false
			}
		}
	}
	return texts, len(texts) <= 32
}

func classSet(t *syntax.Regexp) (*charset, bool) {
	var set charset
	for i := 0; i < len(t.Rune); i += 2 {
		low, high := t.Rune[i], t.Rune[i+1]
		if high >= 0x80 {
			return nil, false
		}
		for r := low; r <= high; r++ {
			set[r] = true
		}
	}
	return &set, true
}

// spell returns the texts with which items begin, at most few of them. whole reports that they
// cover all items.
func spell(items []item, few int) (texts [][]byte, whole bool) {
	texts = [][]byte{nil}
	for _, it := range items {
		pieces := it.texts
		if it.set != nil {
			if it.min != 1 || it.max != 1 {
				return texts, false
			}
			for c := range it.set {
				if it.set[c] {
					pieces = append(pieces, []byte{byte(c)})
				}
			}
		}
		if len(texts)*len(pieces) > few {
			return texts, false
		}
		var longer [][]byte
		for _, t := range texts {
			for _, p := range pieces {
				if len(t)+len(p) > maxPattern {
					return texts, false
				}
				longer = append(longer, append(t[:len(t):len(t)], p...))
			}
		}
		texts = longer
	}
	return texts, true
}

// reach returns the minimum and maximum number of bytes that the form matches. most < 0 means
// unlimited.
func (f *form) reach() (least, most int) {
	for _, it := range f.items {
		low, high := it.min, it.max
		for i, t := range it.texts {
			if i == 0 {
				low, high = len(t), len(t)
			}
			low, high = min(low, len(t)), max(high, len(t))
		}
		least += low
		if high < 0 || most < 0 {
			most = -1
		} else {
			most += high
		}
	}
	return least, most
}

// match returns how many bytes at the beginning of b match the form.
func (f *form) match(b []byte) (n int, ok bool) {
	for i := range f.items {
		it := &f.items[i]
		rest := b[n:]
		if it.set == nil {
			size := it.text(rest)
			if size == 0 {
				return 0, false
			}
			n += size
			continue
		}
		if it.max >= 0 && len(rest) > it.max {
			rest = rest[:it.max]
		}
		size := it.set.span(rest)
		if size < it.min {
			return 0, false
		}
		n += size
	}
	return n, true
}

func (it *item) text(b []byte) int {
	for _, t := range it.texts {
		if len(b) >= len(t) && string(b[:len(t)]) == string(t) {
			return len(t)
		}
	}
	return 0
}

// parseExpression reads an RE2 expression within size limits.
func parseExpression(text string) (*syntax.Regexp, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("an expression of %d bytes, at most %d", len(text), maxExpression)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("no expression of RE2: %w", err)
	}
	return tree, nil
}
