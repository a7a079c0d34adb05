package guest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
)

// Bounds on a module's binary form. What a section declares is believed only as
// far as its bytes could hold it, since the compiler behind us allocates by
// declared counts.
const (
	maxManifest  = 64 << 10
	maxName      = 4 << 10
	maxParams    = 1000
	maxLocals    = 50_000
	maxBody      = 8 << 20
	maxTableSize = 1 << 20
	pageSize     = 64 << 10
	maxErrorText = 2 << 10
)

// outline is what loading needs to know of a module before any of it is compiled
// or run.
type outline struct {
	types    []signature
	imports  []imported
	funcs    []uint32 // type of each function, imported ones first
	exports  map[string]exported
	memories []limits
	manifest []byte // payload of the custom section, nil where there is none
	start    bool   // has a start section
}

type signature struct{ params, results []api.ValueType }

type imported struct {
	module, name string
	kind         byte
	signature    signature
}

type exported struct {
	kind  byte
	index uint32
}

type limits struct {
	min, max uint32
	bounded  bool
}

const (
	kindFunc byte = iota
	kindTable
	kindMemory
	kindGlobal
)

var kindNames = [...]string{"function", "table", "memory", "global"}

func kindName(k byte) string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// parse walks the sections of a module. It validates no more than it reads;
// the compiler does the rest.
func parse(wasm []byte) (*outline, error) {
	r := &reader{b: wasm}
	if !bytes.Equal(r.take(4), []byte("\x00asm")) {
		return nil, errors.New("not a WebAssembly module: it does not start with \\0asm")
	}
	if v := r.take(4); !bytes.Equal(v, []byte{1, 0, 0, 0}) {
		if len(v) == 4 && v[2] != 0 {
			return nil, errors.New("this is a WebAssembly component: a core module is wanted (wasm-tools component unbundle, or a toolchain's core target)")
		}
		return nil, errors.New("not WebAssembly binary format version 1")
	}
	m := &outline{exports: make(map[string]exported)}
	for r.err == nil && r.i < len(r.b) {
		id := r.byte()
		offset := r.i
		section := &reader{b: r.take(int(r.u32()))}
		if r.err != nil {
			return nil, fmt.Errorf("section %d at byte %d: %w", id, offset, r.err)
		}
		if err := m.section(id, section); err != nil {
			return nil, fmt.Errorf("section %d at byte %d: %w", id, offset, err)
		}
	}
	return m, r.err
}

func (m *outline) section(id byte, r *reader) error {
	switch id {
	case 0:
		if name := r.name(); r.err == nil && name == manifestSection {
			if m.manifest != nil {
				return fmt.Errorf("a second custom section %q", manifestSection)
			}
			if len(r.b)-r.i > maxManifest {
				return fmt.Errorf("the manifest is larger than %d bytes", maxManifest)
			}
			m.manifest = r.b[r.i:]
		}
		return r.err
	case 1:
		m.types = make([]signature, r.count(3))
		for i := range m.types {
			if form := r.byte(); r.err == nil && form != 0x60 {
				return fmt.Errorf("type %d is no function type", i)
			}
			m.types[i] = signature{r.valueTypes(), r.valueTypes()}
		}
	case 2:
		return m.importSection(r)
	case 3:
		for range r.count(1) {
			m.funcs = append(m.funcs, r.u32())
		}
	case 4:
		for range r.count(3) {
			r.table()
		}
	case 5:
		for range r.count(2) {
			m.memories = append(m.memories, r.limits())
		}
	case 7:
		for range r.count(3) {
			name := r.name()
			m.exports[name] = exported{r.byte(), r.u32()}
		}
	case 8:
		m.start = true
	case 10:
		return code(r)
	case 6, 9, 11, 12, 13:
		if id != 12 && id != 13 {
			r.count(1)
		}
		return r.err
	default:
		return errors.New("unknown section")
	}
	if r.err == nil && r.i < len(r.b) {
		return errors.New("bytes left over at the section's end")
	}
	return r.err
}

func (m *outline) importSection(r *reader) error {
	for range r.count(4) {
		im := imported{module: r.name(), name: r.name(), kind: r.byte()}
		if r.err != nil {
			return r.err
		}
		switch im.kind {
		case kindFunc:
			t := r.u32()
			if int64(t) >= int64(len(m.types)) {
				return fmt.Errorf("import %q.%q: its type does not exist", im.module, im.name)
			}
			im.signature = m.types[t]
			m.funcs = append(m.funcs, t)
		case kindTable:
			r.table()
		case kindMemory:
			r.limits()
		case kindGlobal:
			r.take(2)
		default:
			return fmt.Errorf("import %q.%q is of an unknown kind", im.module, im.name)
		}
		m.imports = append(m.imports, im)
	}
	if r.err == nil && r.i < len(r.b) {
		return errors.New("bytes left over at the section's end")
	}
	return r.err
}

// code checks what function bodies declare: their size, and how many locals.
func code(r *reader) error {
	for i := range r.count(3) {
		size := int(r.u32())
		if size > maxBody {
			return fmt.Errorf("function body %d is larger than %d bytes", i, maxBody)
		}
		body := &reader{b: r.take(size)}
		locals := uint64(0)
		for range body.count(2) {
			locals += uint64(body.u32())
			body.byte()
		}
		if r.err == nil && body.err != nil {
			return fmt.Errorf("function body %d: %w", i, body.err)
		}
		if locals > maxLocals {
			return fmt.Errorf("function body %d has more than %d locals", i, maxLocals)
		}
	}
	return r.err
}

// export returns the function that a module exports under a name.
func (m *outline) export(name string) (signature, bool) {
	e, ok := m.exports[name]
	if !ok || e.kind != kindFunc || int64(e.index) >= int64(len(m.funcs)) {
		return signature{}, false
	}
	t := m.funcs[e.index]
	if int64(t) >= int64(len(m.types)) {
		return signature{}, false
	}
	return m.types[t], true
}

// reader reads the binary format, and stays at its first error.
type reader struct {
	b   []byte
	i   int
	err error
}

var errTruncated = errors.New("it ends too soon")

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
		r.i = len(r.b)
	}
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b)-r.i {
		r.fail(errTruncated)
		return nil
	}
	r.i += n
	return r.b[r.i-n : r.i : r.i]
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 { return uint32(r.leb(5, math.MaxUint32)) }

func (r *reader) leb(maxBytes int, limit uint64) uint64 {
	var v uint64
	for i := range maxBytes {
		c := r.byte()
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if v > limit {
				break
			}
			return v
		}
	}
	r.fail(errors.New("an integer is too long or too large"))
	return 0
}

// count reads a vector's length, which its bytes must be able to hold at least
// size bytes an element.
func (r *reader) count(size int) int {
	n := int64(r.u32())
	if n*int64(size) > int64(len(r.b)-r.i) {
		r.fail(errors.New("it declares more elements than it has bytes"))
		return 0
	}
	return int(n)
}

func (r *reader) name() string {
	n := r.u32()
	if n > maxName {
		r.fail(fmt.Errorf("a name is longer than %d bytes", maxName))
		return ""
	}
	b := r.take(int(n))
	if !utf8.Valid(b) {
		r.fail(errors.New("a name is not valid UTF-8"))
	}
	return string(b)
}

func (r *reader) valueTypes() []api.ValueType {
	n := r.count(1)
	if n > maxParams {
		r.fail(fmt.Errorf("more than %d parameters or results", maxParams))
		return nil
	}
	return bytes.Clone(r.take(n))
}

func (r *reader) limits() limits {
	l := limits{}
	flags := r.byte()
	if flags > 3 {
		r.fail(errors.New("64-bit memories and other extensions are not supported"))
		return l
	}
	l.min = r.u32()
	if l.bounded = flags&1 != 0; l.bounded {
		l.max = r.u32()
	}
	if flags&2 != 0 {
		r.fail(errors.New("shared memories (threads) are not supported"))
	}
	return l
}

func (r *reader) table() {
	r.byte()
	if l := r.limits(); l.min > maxTableSize {
		r.fail(fmt.Errorf("a table starts with more than %d elements", maxTableSize))
	}
}
