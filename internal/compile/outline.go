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

// Outline returns the form of a module under which the cache stores its code: the module with
// every function body replaced by a trap, and with a custom section that distinguishes it from
// the outlines of other modules.
//
// Before it looks into its cache, the compiler decodes and validates every body. This takes
// several times as long as the rest of loading, and the compiled code found in the cache does
// not need the bodies. Therefore a module's code is stored under the name of its outline, and
// the outline is loaded. The caller must call a function that cannot trap before it relies on a
// loaded outline: if its code was not found, the outline itself was compiled and traps in every
// function.
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
