package confine

import "golang.org/x/net/bpf"

// Return values of a filter.
const (
	retKill  = 0x80000000 // SECCOMP_RET_KILL_PROCESS
	retErrno = 0x00050000 // SECCOMP_RET_ERRNO, with the error number in the low bits
	retAllow = 0x7fff0000
	enosys   = 38
	eacces   = 13
)

// Offsets in struct seccomp_data. Both processors are little-endian.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

// machine has the constants of one processor architecture.
type machine struct {
	arch   uint32 // AUDIT_ARCH_*
	number func(call) uint32
}

var machines = map[string]machine{
	"amd64": {0xc000003e, func(c call) uint32 { return c.amd64 }},
	"arm64": {0xc00000b7, func(c call) uint32 { return c.arm64 }},
}

// program returns the filter of a phase. It compares the call with the list in order and kills
// at the end. The numbers of another table of the processor (32-bit x86, x32) are on no list:
// the first has another arch, and the second has bit 30 set.
func (m machine) program(now phase, pid uint32, linksC bool) []bpf.Instruction {
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: m.arch, SkipTrue: 1},
		bpf.RetConstant{Val: retKill},
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
	}
	for _, c := range calls {
		var block []bpf.Instruction
		switch {
		case c.until == tolerated:
			block = []bpf.Instruction{bpf.RetConstant{Val: retErrno | enosys}}
		case c.until > now && c.tried && linksC:
			block = []bpf.Instruction{bpf.RetConstant{Val: retErrno | eacces}}
		case c.until > now:
			continue
		case c.arg != nil && (now == always || !c.arg.tight):
			block = c.arg.block(pid)
		default:
			block = []bpf.Instruction{bpf.RetConstant{Val: retAllow}}
		}
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: m.number(c), SkipTrue: uint8(len(block))}) //nolint:gosec // a few instructions
		p = append(p, block...)
	}
	return append(p, bpf.RetConstant{Val: retKill})
}

// block decides about a call by its argument. Every path through it ends the program, so the
// number stays loaded for the next call.
func (c *condition) block(pid uint32) []bpf.Instruction {
	p := []bpf.Instruction{bpf.LoadAbsolute{Off: offArgs + 8*uint32(c.arg), Size: 4}} //nolint:gosec // 0 to 5
	values := c.oneOf
	if c.self {
		values = []uint32{pid}
	}
	for _, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, bpf.RetConstant{Val: retAllow})
	}
	if values != nil {
		return append(p, bpf.RetConstant{Val: retKill})
	}
	if c.without != 0 {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: c.without, SkipTrue: 1}, bpf.RetConstant{Val: retKill})
	}
	if c.with != 0 {
		p = append(p,
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: c.with},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: c.with, SkipTrue: 1}, bpf.RetConstant{Val: retKill})
	}
	return append(p, bpf.RetConstant{Val: retAllow})
}
