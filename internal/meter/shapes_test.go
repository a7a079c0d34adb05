package meter

import (
	"bytes"
	"testing"

	"github.com/tetratelabs/wazero"
)

// A shape is a module designed for expensive compilation. n is its size.
type shape struct {
	name string
	wasm func(n int) []byte
	most int // the largest useful n: beyond it other limits are reached
}

type fn struct {
	params, results []valueType
	locals          []byte // declarations
	code            []byte
}

func locals(n int, t valueType) []byte {
	return append(appendUnsigned([]byte{1}, uint64(n)), t)
}

// build creates a module of functions with memory of 1 page, a table of 10, and one global of
// each type.
func build(globals int, fs ...fn) []byte {
	var types, funcs, codes, gl [][]byte
	for i, f := range fs {
		types = append(types, append(append(append(appendUnsigned([]byte{0x60}, uint64(len(f.params))), f.params...), appendUnsigned(nil, uint64(len(f.results)))...), f.results...))
		funcs = append(funcs, appendUnsigned(nil, uint64(i)))
		l := f.locals
		if l == nil {
			l = []byte{0}
		}
		b := append(append(append([]byte(nil), l...), f.code...), opEnd)
		codes = append(codes, append(appendUnsigned(nil, uint64(len(b))), b...))
	}
	for range globals {
		gl = append(gl, []byte{i32, 1, opI32Const, 0, opEnd})
	}
	out := []byte(header)
	out = append(out, sectionBytes(sectionType, vector(types...))...)
	out = append(out, sectionBytes(sectionFunction, vector(funcs...))...)
	out = append(out, sectionBytes(sectionTable, vector([]byte{funcref, 0, 10}))...)
	out = append(out, sectionBytes(sectionMemory, vector([]byte{0, 1}))...)
	out = append(out, sectionBytes(sectionGlobal, vector(gl...))...)
	out = append(out, sectionBytes(sectionExport, vector(append(appendName(nil, "f"), kindFunc, 0)))...)
	return append(out, sectionBytes(sectionCode, vector(codes...))...)
}

func rep(n int, f func(i int) []byte) []byte {
	var out []byte
	for i := range n {
		out = append(out, f(i)...)
	}
	return out
}

func raw(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			out = append(out, byte(p))
		case byte:
			out = append(out, p)
		case []byte:
			out = append(out, p...)
		case uint:
			out = appendUnsigned(out, uint64(p))
		}
	}
	return out
}

func u(n int) []byte { return appendUnsigned(nil, uint64(n)) }

var load = raw(opI32Const, 0, 0x28, 2, 0)
var store = raw(0x36, 2, 0)

func setAll(l int) []byte {
	return rep(l, func(i int) []byte { return raw(load, opLocalSet, u(i)) })
}
func getAll(l int) []byte {
	return rep(l, func(i int) []byte { return raw(opI32Const, 0, opLocalGet, u(i), store) })
}

var shapes = []shape{
	{"loops-4000locals", func(n int) []byte {
		return build(0, fn{locals: locals(4000, i32), code: rep(n, func(int) []byte { return raw(opLoop, noValue, opEnd) })})
	}, 200000},
	{"loops-used-500", func(n int) []byte {
		return build(0, fn{locals: locals(500, i32), code: raw(rep(n, func(int) []byte { return raw(opLoop, noValue, load, opBrIf, 0, opEnd) }), getAll(500))})
	}, 60000},
	{"loops-nested-100", func(n int) []byte {
		return build(0, fn{locals: locals(100, i32), code: raw(rep(n, func(int) []byte { return raw(opLoop, noValue) }), setAll(100), getAll(100), rep(n, func(int) []byte { return raw(load, opBrIf, 0, opEnd) }))})
	}, 5000},
	{"nested-blocks", func(n int) []byte {
		return build(0, fn{locals: locals(100, i32), code: raw(rep(n, func(int) []byte { return raw(opBlock, noValue) }), setAll(100), rep(n, func(int) []byte { return raw(load, opBrIf, 0, opEnd) }), getAll(100))})
	}, 5000},
	{"nested-blocks-brtable", func(n int) []byte {
		return build(0, fn{locals: locals(100, i32), code: raw(rep(n, func(int) []byte { return raw(opBlock, noValue) }), setAll(100), load, opBrTable, u(n-1), rep(n, u), rep(n, func(i int) []byte { return raw(opEnd, opI32Const, 1, opLocalSet, u(i%100)) }), getAll(100))})
	}, 5000},
	{"one-br_table", func(n int) []byte {
		return build(0, fn{code: raw(opBlock, noValue, load, opBrTable, u(n), rep(n+1, func(int) []byte { return []byte{0} }), opEnd)})
	}, 400000},
	{"br_tables-10000-labels", func(n int) []byte {
		return build(0, fn{code: rep(n, func(int) []byte {
			return raw(opBlock, noValue, load, opBrTable, u(9999), rep(10000, func(int) []byte { return []byte{0} }), opEnd)
		})})
	}, 100},
	{"br_tables-10000-locals", func(n int) []byte {
		return build(0, fn{locals: locals(100, i32), code: raw(opBlock, noValue, rep(n, func(int) []byte {
			return raw(opBlock, noValue, setAll(100), load, opBrTable, u(9999), rep(9999, func(int) []byte { return []byte{1} }), 0, opEnd)
		}), opEnd, getAll(100))})
	}, 100},
	{"br_if-5000-locals", func(n int) []byte {
		return build(0, fn{locals: locals(4990, i32), code: raw(opBlock, noValue, rep(n, func(i int) []byte {
			if i%1000 == 0 {
				return raw(opI32Const, 1, opLocalSet, u(i%4990), load, opBrIf, 0)
			}
			return raw(load, opBrIf, 0)
		}), setAll(4990), opEnd, getAll(4990))})
	}, 10000},
	{"ifs-5000-locals", func(n int) []byte {
		return build(0, fn{locals: locals(4990, i32), code: raw(rep(n, func(i int) []byte {
			return raw(load, opIf, noValue, opI32Const, 1, opLocalSet, u(i%4990), opEnd)
		}), getAll(4990))})
	}, 10000},
	{"ifs-500-locals-kept", func(n int) []byte {
		return build(0, fn{locals: locals(500, i32), code: raw(setAll(500), rep(n, func(i int) []byte {
			return raw(load, opIf, noValue, opI32Const, 1, opLocalSet, u(i%500), opEnd)
		}), getAll(500))})
	}, 10000},
	{"ifs", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(i int) []byte {
			return raw(opLocalGet, 0, opIf, noValue, opEnd)
		})})
	}, 100000},
	{"if-else-chain", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(i int) []byte {
			return raw(load, opIf, noValue, opI32Const, 1, opLocalSet, 0, 0x05, opI32Const, 2, opLocalSet, 0, opEnd)
		})})
	}, 100000},
	{"br_if-128-values", func(n int) []byte {
		r := bytes.Repeat([]byte{i32}, 128)
		return build(0, fn{results: r, code: raw(rep(128, func(int) []byte { return load }), rep(n, func(i int) []byte { return raw(load, opBrIf, 0) }))})
	}, 10000},
	{"blocks-128-values", func(n int) []byte {
		r := bytes.Repeat([]byte{i32}, 128)
		return build(0, fn{params: r, results: r, code: raw(rep(128, func(i int) []byte { return raw(opLocalGet, u(i)) }), rep(n, func(i int) []byte { return raw(opLoop, 0, load, opBrIf, 0, opEnd) }))})
	}, 100000},
	{"calls-128-values", func(n int) []byte {
		r := bytes.Repeat([]byte{i32}, 128)
		return build(0, fn{params: r, results: r, code: raw(rep(128, func(i int) []byte { return raw(opLocalGet, u(i)) }), rep(n, func(i int) []byte { return raw(opCall, 0) }))})
	}, 500000},
	{"calls-128-v128", func(n int) []byte {
		r := bytes.Repeat([]byte{v128}, 128)
		return build(0, fn{params: r, results: r, code: raw(rep(128, func(i int) []byte { return raw(opLocalGet, u(i)) }), rep(n, func(i int) []byte { return raw(opCall, 0) }))})
	}, 500000},
	{"call_indirect-128-values", func(n int) []byte {
		r := bytes.Repeat([]byte{i32}, 128)
		return build(0, fn{params: r, results: r, code: raw(rep(128, func(i int) []byte { return raw(opLocalGet, u(i)) }), rep(n, func(i int) []byte { return raw(load, opCallIndirect, 0, 0) }))})
	}, 100000},
	{"calls-many-globals", func(n int) []byte {
		return build(5000, fn{code: rep(n, func(int) []byte { return raw(opCall, 0) })})
	}, 500000},
	{"calls-locals-live", func(n int) []byte {
		return build(0, fn{locals: locals(2000, i32), code: raw(setAll(2000), rep(n, func(int) []byte { return raw(opCall, 0) }), getAll(2000))})
	}, 400000},
	{"deep-stack", func(n int) []byte {
		return build(0, fn{code: raw(rep(n, func(int) []byte { return load }), rep(n, func(int) []byte { return raw(opDrop) }))})
	}, 170000},
	{"deep-stack-used", func(n int) []byte {
		return build(0, fn{results: []byte{i32}, code: raw(rep(n, func(int) []byte { return load }), rep(n-1, func(int) []byte { return raw(opI32Add) }))})
	}, 170000},
	{"deep-stack-calls", func(n int) []byte {
		return build(0, fn{results: []byte{i32}, code: raw(rep(n, func(int) []byte { return raw(opCall, 0) }), rep(n-1, func(int) []byte { return raw(opI32Add) }))})
	}, 340000},
	{"deep-stack-v128", func(n int) []byte {
		return build(0, fn{code: raw(rep(n, func(int) []byte { return raw(opI32Const, 0, 0xfd, 0, 0, 0) }), rep(n-1, func(int) []byte { return raw(0xfd, 0x4e) }), opDrop)})
	}, 100000},
	{"loads", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, 0x28, 2, 0, opLocalSet, 0) })})
	}, 170000},
	{"stores", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, opLocalGet, 0, 0x36, 2, 0) })})
	}, 140000},
	{"div", func(n int) []byte {
		return build(0, fn{locals: locals(1, i64), code: raw(opLocalGet, 0, rep(n, func(int) []byte { return raw(opLocalGet, 0, 0x7f) }), opDrop)})
	}, 340000},
	{"trunc", func(n int) []byte {
		return build(0, fn{locals: locals(1, f64), code: raw(opLocalGet, 0, rep(n, func(int) []byte { return raw(0xb1, 0xba) }), opDrop)})
	}, 500000},
	{"popcnt", func(n int) []byte {
		return build(0, fn{locals: locals(1, i64), code: raw(opLocalGet, 0, rep(n, func(int) []byte { return raw(0x7b) }), opDrop)})
	}, 1000000},
	{"memory.grow", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: raw(opLocalGet, 0, rep(n, func(int) []byte { return raw(opMemoryGrow, 0) }), opDrop)})
	}, 500000},
	{"memory.fill", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, opLocalGet, 0, opLocalGet, 0, 0xfc, 11, 0) })})
	}, 110000},
	{"memory.copy", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, opLocalGet, 0, opLocalGet, 0, 0xfc, 10, 0, 0) })})
	}, 100000},
	{"table.fill", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, 0xd0, 0x70, opLocalGet, 0, 0xfc, 17, 0) })})
	}, 110000},
	{"table.copy", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, opLocalGet, 0, opLocalGet, 0, 0xfc, 14, 0, 0) })})
	}, 100000},
	{"table.get", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, opTableGet, 0, opDrop) })})
	}, 200000},
	{"call_indirect", func(n int) []byte {
		return build(0, fn{locals: locals(1, i32), code: rep(n, func(int) []byte { return raw(opLocalGet, 0, opCallIndirect, 0, 0) })})
	}, 200000},
	{"calls", func(n int) []byte {
		return build(0, fn{code: rep(n, func(int) []byte { return raw(opCall, 0) })})
	}, 500000},
	{"loops", func(n int) []byte {
		return build(0, fn{code: raw(rep(n, func(int) []byte { return raw(opLoop, noValue, opEnd) }))})
	}, 340000},
	{"blocks", func(n int) []byte {
		return build(0, fn{code: raw(rep(n, func(int) []byte { return raw(opBlock, noValue, opEnd) }))})
	}, 340000},
	{"many-live", func(n int) []byte {
		return build(0, fn{locals: locals(4900, i64), code: raw(rep(4900, func(i int) []byte { return raw(opI32Const, 0, 0x29, 3, 0, opLocalSet, u(i)) }), rep(n, func(i int) []byte {
			return raw(opLocalGet, u(i%4900), opLocalGet, u((i*7)%4900), 0x7c, opLocalSet, u((i*13)%4900))
		}), rep(4900, func(i int) []byte { return raw(opI32Const, 0, opLocalGet, u(i), 0x37, 3, 0) }))})
	}, 90000},
}

// BenchmarkCompile reports the maximum cost of compiling each shape within the limits, in a
// process without its own limits.
func BenchmarkCompile(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			n, over := 1, s.most+1
			for over-n > 1+n/50 {
				mid := (n + over) / 2
				if _, err := Rewrite(s.wasm(mid), Options{}); err == nil {
					n = mid
				} else {
					over = mid
				}
			}
			m, err := Rewrite(s.wasm(n), Options{})
			if err != nil {
				b.Skip(err)
			}
			b.ReportAllocs()
			for range b.N { // once is enough
				r := wazero.NewRuntimeWithConfig(b.Context(), wazero.NewRuntimeConfigCompiler())
				if _, err := r.CompileModule(b.Context(), m.Wasm); err != nil {
					b.Fatal(err)
				}
				_ = r.Close(b.Context())
			}
			b.ReportMetric(float64(len(m.Wasm)), "wasm-bytes")
		})
	}
}
