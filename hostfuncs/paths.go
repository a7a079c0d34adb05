package hostfuncs

import (
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
)

// internPath compiles a path. An invalid path fails the start, where an operator sees it. A
// return value could be overlooked by the guest.
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
	s.reserve(pathBytes + 8*len(text))
	s.paths = append(s.paths, path{p, text, names(s.policy.Asked, p) && names(s.policy.Granted, p)})
	result(a, int32(len(s.paths)))
}

// names reports whether every node that p matches is within paths. It only detects this if it
// follows from the paths alone.
func names(paths []*document.Path, p *document.Path) bool {
	for _, q := range paths {
		if s := q.String(); s == p.String() || s == "**" {
			return true
		}
	}
	return false
}
