package meter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// BenchmarkUnit reports the duration of a unit of fuel in code designed for the longest one. An
// addition is the reference; a nanosecond or two are fine.
func BenchmarkUnit(b *testing.B) {
	rep := strings.Repeat
	many := rep("i32 ", 128)
	gets := ""
	for k := range 128 {
		gets += fmt.Sprintf("(local.get %d)", (k+1)%128)
	}
	i := func(s string) string {
		return `(module (memory 256) (table $t 1000 funcref) (table $e 1000 externref) (elem $s func $g $g $g $g) (elem (i32.const 0) func $g $h)
			(data $d "aaaaaaaaaaaaaaaaaaaaaaaa") (type $v (func)) (func $g) (func $h (drop (memory.size)) (call $g)) (global $x (mut i64) (i64.const 0))
			(func (export "f") (local $i i32) (local $l i64) (local $d f64) (local $v v128) (local.set $d (f64.const 1.5)) (local.set $l (i64.const -7)) (loop ` + s + ` (br 0))))`
	}
	carry := func(n int) string { // sets n locals
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, "(local.set %d (i64.load (i32.const %d)))", i+1, 8*i)
		}
		return s.String()
	}
	stores := func(n int) string { // uses them
		var s strings.Builder
		for i := range n {
			fmt.Fprintf(&s, "(i64.store (i32.const %d) (local.get %d))", 8*i, i+1)
		}
		return s.String()
	}
	chase := func(pages int) string { // loads that depend on each other, all over the memory
		return fmt.Sprintf(`(module (memory %d) (func $fill (local $i i32) (loop $l
			(i32.store (local.get $i) (i32.and (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904256)) (i32.const %d)))
			(br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 64))) (i32.const %d)))))
			(start $fill)
			(func (export "f") (local $i i32) (loop %s (br 0))))`, pages, pages<<16-64, pages<<16, rep("(local.set $i (i32.load (local.get $i)))", 50))
	}
	for _, c := range []struct{ name, text string }{
		{"add", i(rep(`(local.set $l (i64.add (local.get $l) (i64.const 3)))`, 50))},
		{"load", i(rep(`(local.set $i (i32.load (i32.and (local.get $i) (i32.const 0xffff))))`, 50))},
		{"load-random", i(rep(`(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223))) (local.set $l (i64.add (local.get $l) (i64.load (i32.and (local.get $i) (i32.const 0xfffff8)))))`, 50))},
		{"div", i(rep(`(local.set $l (i64.div_s (i64.const 0x7fffffffffffffff) (i64.or (local.get $l) (i64.const 1))))`, 50))},
		{"fdiv", i(rep(`(local.set $d (f64.div (f64.const 1.1) (local.get $d)))`, 50))},
		{"sqrt", i(rep(`(local.set $d (f64.sqrt (local.get $d)))`, 50))},
		{"denormal", `(module (func (export "f") (local $d f64) (local.set $d (f64.const 1e-310)) (loop ` + rep(`(local.set $d (f64.mul (f64.add (local.get $d) (f64.const 1e-320)) (f64.const 0.7)))`, 50) + `(br 0))))`},
		{"nearest", i(rep(`(local.set $d (f64.nearest (local.get $d)))`, 50))},
		{"min", i(rep(`(local.set $d (f64.min (local.get $d) (f64.const 2)))`, 50))},
		{"trunc", i(rep(`(local.set $l (i64.trunc_sat_f64_u (f64.convert_i64_u (local.get $l))))`, 50))},
		{"copysign", i(rep(`(local.set $d (f64.copysign (local.get $d) (f64.const 2)))`, 50))},
		{"popcnt", i(rep(`(local.set $l (i64.popcnt (local.get $l)))`, 50))},
		{"v-i64mul", i(rep(`(local.set $v (i64x2.mul (local.get $v) (local.get $v)))`, 50))},
		{"v-shr8", i(rep(`(local.set $v (i8x16.shr_s (local.get $v) (local.get $i)))`, 50))},
		{"v-swizzle", i(rep(`(local.set $v (i8x16.swizzle (local.get $v) (local.get $v)))`, 50))},
		{"v-popcnt", i(rep(`(local.set $v (i8x16.popcnt (local.get $v)))`, 50))},
		{"v-fsqrt", i(rep(`(local.set $v (f64x2.sqrt (local.get $v)))`, 50))},
		{"v-conv", i(rep(`(local.set $v (i32x4.trunc_sat_f64x2_u_zero (f64x2.convert_low_i32x4_u (local.get $v))))`, 50))},
		{"v-min", i(rep(`(local.set $v (f32x4.min (local.get $v) (v128.const i32x4 1 2 3 4)))`, 50))},
		{"v-bitmask", i(rep(`(local.set $v (i16x8.splat (i16x8.bitmask (local.get $v))))`, 50))},
		{"v-abs64", i(rep(`(local.set $v (i64x2.abs (local.get $v)))`, 50))},
		{"v-shr64", i(rep(`(local.set $v (i64x2.shr_s (local.get $v) (local.get $i)))`, 50))},
		{"v-extmul", i(rep(`(local.set $v (i64x2.extmul_high_i32x4_s (local.get $v) (local.get $v)))`, 50))},
		{"global", i(rep(`(global.set $x (i64.add (global.get $x) (i64.const 1)))`, 50))},
		{"empty loop", i(``)},
		{"call free", i(rep(`(call $g)`, 50))},
		{"call", i(rep(`(call $h)`, 50))},
		{"call_indirect", i(rep(`(call_indirect (type $v) (i32.const 1))`, 50))},
		{"call_indirect g", i(rep(`(call_indirect (type $v) (i32.const 0))`, 50))},
		{"table.get", i(rep(`(table.set $t (i32.const 3) (table.get $t (i32.const 0)))`, 50))},
		{"ref.func", i(rep(`(drop (ref.func $g))`, 50))},
		{"memory.size", i(rep(`(drop (memory.size))`, 50))},
		{"table.size", i(rep(`(drop (table.size $t))`, 50))},
		{"memory.grow0", i(rep(`(drop (memory.grow (i32.const 0)))`, 50))},
		{"memory.grow-1", i(rep(`(drop (memory.grow (i32.const -1)))`, 50))},
		{"table.grow0", i(rep(`(drop (table.grow $t (ref.null func) (i32.const 0)))`, 50))},
		{"memory.fill0", i(rep(`(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))`, 50))},
		{"memory.fill100", i(rep(`(memory.fill (i32.const 0) (i32.const 0) (i32.const 100))`, 50))},
		{"memory.fill16M", i(`(memory.fill (i32.const 0) (i32.const 0) (i32.const 16777216))`)},
		{"memory.copy0", i(rep(`(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))`, 50))},
		{"memory.copy16M", i(`(memory.copy (i32.const 1) (i32.const 0) (i32.const 16777215))`)},
		{"memory.init", i(rep(`(memory.init $d (i32.const 0) (i32.const 0) (i32.const 20))`, 50))},
		{"table.fill", i(rep(`(table.fill $t (i32.const 0) (ref.null func) (i32.const 1000))`, 50))},
		{"table.fill0", i(rep(`(table.fill $t (i32.const 0) (ref.null func) (i32.const 0))`, 50))},
		{"table.copy", i(rep(`(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 999))`, 50))},
		{"table.init", i(rep(`(table.init $t $s (i32.const 1) (i32.const 0) (i32.const 4))`, 50))},
		{"data.drop", i(rep(`(data.drop $d)(elem.drop $s)`, 50))},
		{"br_table", i(rep(`(block (block (br_table 0 1 0 1 (local.get $i))))(local.set $i (i32.add (local.get $i) (i32.const 1)))`, 50))},
		{"br mispredict", i(rep(`(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))(if (i32.and (local.get $i) (i32.const 0x10000000)) (then (local.set $l (i64.add (local.get $l) (i64.const 1)))))`, 50))},
		{"br_table mispredict", i(rep(`(local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))(block (block (block (block (br_table 0 1 2 3 (i32.shr_u (local.get $i) (i32.const 30)))) (br 2)) (local.set $l (i64.const 1))))`, 50))},
		{"calls-128", `(module (type $m (func (param ` + many + `) (result ` + many + `))) (func $m (type $m) ` + gets + `) (func (export "f") (loop ` + rep("(i32.const 1)", 128) + rep(`(call $m)`, 50) + rep("(drop)", 128) + ` (br 0))))`},
		{"results-128-early", `(module (type $m (func (result ` + many + `))) (func $m (type $m) ` + rep("(i32.const 7)", 128) + `) (func (export "f") (loop ` + rep(`(block (type $m) (call $m))`+rep("(drop)", 128), 5) + ` (br 0))))`},
		{"br carrying", `(module (type $m (func (result ` + many + `))) (func (export "f") (local i32) (loop (block (type $m) ` + rep("(local.get 0)", 128) + rep("(br_if 0 (i32.eq (local.get 0) (i32.const 55)))", 50) + `)` + rep("(drop)", 128) + ` (br 0))))`},
		{"phi-100", `(module (memory 16) (func (export "f") (local $c i32) ` + rep("(local i64)", 100) + ` (loop $o (loop $l (if (local.get $c) (then ` + carry(100) + `)) (br_if $l (i32.eqz (local.get $c)))) ` + stores(100) + ` (br $o))))`},
		{"phi-1000", `(module (memory 16) (func (export "f") (local $c i32) ` + rep("(local i64)", 1000) + ` (loop $o (loop $l (if (local.get $c) (then ` + carry(1000) + `)) (br_if $l (i32.eqz (local.get $c)))) ` + stores(1000) + ` (br $o))))`},
		{"phi-4900", `(module (memory 16) (func (export "f") (local $c i32) ` + rep("(local i64)", 4900) + ` (loop $o (loop $l (if (local.get $c) (then ` + carry(4900) + `)) (br_if $l (i32.eqz (local.get $c)))) ` + stores(4900) + ` (br $o))))`},
		{"phi-if", `(module (memory 16) (func (export "f") (local $c i32) ` + rep("(local i64)", 1000) + ` (loop $o ` + rep(`(if (local.get $c) (then `+carry(1000)+`))`, 8) + stores(1000) + ` (br $o))))`},
		{"chase-16M", chase(256)},
		{"chase-64M", chase(1024)},
		{"host call", `(module (import "env" "h1" (func $h)) (func (export "f") (loop ` + rep(`(call $h)`, 50) + ` (br 0))))`},
		{"select", i(rep(`(local.set $v (select (local.get $v) (v128.const i32x4 1 2 3 4) (local.get $i)))`, 50))},
		{"unaligned", i(rep(`(i64.store (i32.const 4093) (i64.add (i64.load (i32.const 4093)) (i64.const 1)))`, 50))},
		{"v-store", i(rep(`(v128.store (i32.const 4093) (v128.load (i32.const 4091)))`, 50))},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			h := newHost(b)
			emptyEnv(b, h)
			live, err := h.runtime.InstantiateWithConfig(ctx, rewrite(b, wat(b, c.text), Options{}).Wasm, wazero.NewModuleConfig())
			if err != nil {
				b.Fatal(err)
			}
			f, fuel := live.ExportedFunction("f"), live.ExportedGlobal(ExportFuel).(api.MutableGlobal)
			var used int64
			for b.Loop() {
				const budget = 5_000_000
				h.budget = 0
				fuel.Set(budget)
				if _, err := f.Call(ctx); !errors.Is(err, errFuel) {
					b.Fatal(err)
				}
				used += budget - int64(fuel.Get())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(used), "ns/unit")
			b.ReportMetric(0, "ns/op")
		})
	}
}
