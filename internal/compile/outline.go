package compile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	sectionCustom = 0
	sectionCode   = 10
)

var errOutline = errors.New("not a module")

// Outline returns a module as it is found in the cache: all but the bodies of its
// functions, each of which traps in their place, and a custom section that tells it
// from the outlines of other modules.
//
// The compiler decodes and validates every body before it looks into its cache,
// which takes several times as long as all the rest of loading, and the compiled
// code that it then finds does not need them. So the code of a module is kept under
// the name of its outline, and the outline is what is loaded. Whoever does that must
// call a function that cannot trap before it relies on it: an outline whose code was
// not found was compiled itself, and traps in every function.
func Outline(module []byte) ([]byte, error) {
	if len(module) < 8 {
		return nil, errOutline
	}
	sum := sha256.Sum256(module)
	const name = "auditrelay outline of"
	out := make([]byte, 0, len(module)/2)
	out = append(out, module[:8]...)
	out = append(out, sectionCustom, byte(1+len(name)+len(sum)), byte(len(name)))
	out = append(append(out, name...), sum[:]...)
	for at := 8; at < len(module); {
		size, n := binary.Uvarint(module[at+1:])
		if n <= 0 || size > uint64(len(module)-at-1-n) {
			return nil, errOutline
		}
		begin := at + 1 + n
		end := begin + int(size)
		if module[at] != sectionCode {
			out = append(out, module[at:end]...)
			at = end
			continue
		}
		count, n := binary.Uvarint(module[begin:end])
		if n <= 0 || count > size {
			return nil, errOutline
		}
		trap := []byte{3, 0, 0x00, 0x0b} // its size, no locals, unreachable, end
		out = append(out, sectionCode)
		out = binary.AppendUvarint(out, uint64(n)+count*uint64(len(trap)))
		out = append(out, module[begin:begin+n]...)
		for range count {
			out = append(out, trap...)
		}
		at = end
	}
	return out, nil
}
