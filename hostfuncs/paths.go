package hostfuncs

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
)

const regexBytes = 4 << 10

// internPath compiles a path. One that does not parse fails the start, where an
// operator sees it, rather than returning what a guest may overlook.
func internPath(s *State, m api.Memory, a []uint64) {
	text := string(s.bytes(m, a[0], a[1]))
	s.pay(unitsCompile * len(text))
	if len(s.paths) == s.policy.Paths {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("more than %d paths", s.policy.Paths))
	}
	p, err := document.ParsePath(text)
	if err != nil {
		s.fail(auditrelay.CauseInit, err.Error())
	}
	s.paths = append(s.paths, path{p, text, names(s.policy.Asked, p) && names(s.policy.Granted, p)})
	result(a, int32(len(s.paths)))
}

// names reports whether every node that p matches lies within paths, as far as
// that can be seen without a node.
func names(paths []*document.Path, p *document.Path) bool {
	for _, q := range paths {
		if s := q.String(); s == p.String() || s == "**" {
			return true
		}
	}
	return false
}

func internRegex(s *State, m api.Memory, a []uint64) {
	text := s.bytes(m, a[0], a[1])
	if len(text) > regexBytes {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("longer than %d bytes", regexBytes))
	}
	if len(s.regexes) == s.policy.Regexes {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("more than %d regular expressions", s.policy.Regexes))
	}
	s.pay(unitsCompile * len(text))
	r, err := regexp.Compile(string(text))
	if err != nil {
		s.fail(auditrelay.CauseInit, err.Error())
	}
	s.regexes = append(s.regexes, expression{r, unitsPerByte(string(text))})
	result(a, int32(len(s.regexes))+regexHandle)
}

// unitsPerByte is what a byte costs that an expression is tried on. Go's regexp
// visits every state of the compiled program for every byte at the worst.
func unitsPerByte(text string) int {
	const perState, least = 4, 16
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return least
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return least
	}
	return least + perState*len(program.Inst)
}
