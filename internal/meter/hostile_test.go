package meter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// wat assembles a module with wabt, or skips the test without it.
func wat(t testing.TB, text string) []byte {
	t.Helper()
	path, err := exec.LookPath("wat2wasm")
	if err != nil {
		missing(t, "wat2wasm")
	}
	out := filepath.Join(t.TempDir(), "out.wasm")
	cmd := exec.CommandContext(t.Context(), path, "-", "-o", out)
	cmd.Stdin = strings.NewReader(text)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm: %v\n%s", err, text)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Ways in which a guest may run endlessly or take more than its share. Fuel or depth stops
// each, with little work beyond what was paid for.
func TestHostileShapesStop(t *testing.T) {
	repeat := func(s string, n int) string { return strings.Repeat(s, n) }
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"loop", `(module (func (export "f") (loop (br 0))))`, errFuel},
		{"nested loops", `(module (func (export "f") (loop (loop (loop (br 0)) ) (br 0))))`, errFuel},
		{"loop by br_if", `(module (func (export "f") (loop (br_if 0 (i32.const 1)))))`, errFuel},
		{"loop by br_table", `(module (func (export "f") (loop (block (br_table 1 0 1 (i32.const 2))) (br 0))))`, errFuel},
		{"two-headed loop", `(module (func (export "f") (loop (loop (br 1)))))`, errFuel},
		{"call_indirect in a loop", `(module (table funcref (elem $g)) (type $t (func)) (func $g) (func (export "f") (loop (call_indirect (type $t) (i32.const 0)) (br 0))))`, errFuel},
		{"calls in a loop", `(module (func $g) (func (export "f") (loop (call $g) (br 0))))`, errFuel},
		{"start", `(module (func $f (loop (br 0))) (start $f))`, errFuel},
		{"recursion", `(module (func $f (export "f") (call $f)))`, errStack},
		{"recursion with a result", `(module (func $f (export "f") (result i32) (i32.add (call $f) (i32.const 1))))`, errStack},
		{"recursion of large frames", `(module (func $f (export "f") (local ` + repeat("v128 ", 2000) + `) (call $f)))`, errStack},
		{"recursion with values kept over calls", `(module (memory 1) (func $g (call $h)) (func $h (if (i32.load (i32.const 0)) (then (call $g))))
			(func $f (export "f") (call $f) ` + repeat(`(i32.const 0)`+repeat(`(i32.load (i32.const 0))`, 20)+`(call $g)`+repeat(`(i32.add)`, 19)+`(i32.store)`, 1000) + `))`, errStack},
		{"recursion with locals set between calls", `(module (memory 1) (func $g (call $h)) (func $h (if (i32.load (i32.const 0)) (then (call $g))))
			(func $f (export "f") (local ` + repeat(`i32 `, 50) + `) (call $f) ` + repeat(sets(50)+`(call $g)`+gets(50), 100) + `))`, errStack},
		{"recursion with locals that meet", `(module (memory 1) (func $g (call $h)) (func $h (if (i32.load (i32.const 0)) (then (call $g))))
			(func $f (export "f") (local ` + repeat(`i32 `, 50) + `) (call $f) ` + repeat(`(if (i32.load (i32.const 4)) (then `+sets(50)+`)) (call $g)`+gets(50), 100) + `))`, errStack},
		{"mutual recursion by call_indirect", `(module (table funcref (elem $f)) (type $t (func)) (func $f (export "f") (call_indirect (type $t) (i32.const 0))))`, errStack},
		{"exponential calls", `(module ` + exponential(40) + `)`, errFuel},
		{"recursion that returns", `(module (func $f (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1)))))) (func (export "f") (call $f (i32.const 60))))`, errFuel},
		{"memory.fill", `(module (memory 256) (func (export "f") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 16777216)) (br 0))))`, errFuel},
		{"memory.copy", `(module (memory 256) (func (export "f") (loop (memory.copy (i32.const 0) (i32.const 1) (i32.const 16777215)) (br 0))))`, errFuel},
		{"memory.fill in a line", `(module (memory 256) (func (export "f") ` + repeat(`(memory.fill (i32.const 0) (i32.const 1) (i32.const 16777216))`, 3000) + `))`, errFuel},
		{"table.fill", `(module (table 100000 funcref) (func (export "f") (loop (table.fill 0 (i32.const 0) (ref.null func) (i32.const 100000)) (br 0))))`, errFuel},
		{"memory.grow by nothing", `(module (memory 1) (func (export "f") (loop (drop (memory.grow (i32.const 0))) (br 0))))`, errFuel},
		{"memory.grow by single pages", `(module (memory 1) (func (export "f") (loop (drop (memory.grow (i32.const 1))) (br 0))))`, errFuel},
		{"memory.grow beyond", `(module (memory 1) (func (export "f") (loop (drop (memory.grow (i32.const -1))) (br 0))))`, errFuel},
		{"table.grow", `(module (table 0 funcref) (func (export "f") (loop (drop (table.grow 0 (ref.null func) (i32.const 10000000))) (br 0))))`, errFuel},
		{"ref.func", `(module (func $g) (elem declare func $g) (func (export "f") (loop (drop (ref.func $g)) (br 0))))`, errFuel},
		{"a straight megabyte in a loop", `(module (memory 1) (func (export "f") (local i32) (loop ` + repeat(`(local.set 0 (i32.mul (local.get 0) (i32.const 7)))`, 140_000) + `(br 0))))`, errFuel},
		{"many small branches in a loop", `(module (func (export "f") (local i32) (loop ` + repeat(`(if (local.get 0) (then nop) (else (local.set 0 (i32.const 0))))`, 4_000) + `(br 0))))`, errFuel},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			m := rewrite(t, wat(t, c.text), Options{})
			h.budget, h.slice = 20_000_000, 1_000_000
			ctx := context.Background()
			compiled, err := h.runtime.CompileModule(ctx, m.Wasm)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			live, err := h.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
			if err == nil {
				pauses := make(chan time.Duration)
				go func() {
					began := time.Now()
					runtime.GC()
					pauses <- time.Since(began)
				}()
				_, err = live.ExportedFunction("f").Call(ctx)
				took := time.Since(start)
				t.Logf("stopped after %v, %d slices; a collection meanwhile took %v; %d below zero", took, h.calls, <-pauses, -h.below)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func exponential(n int) string {
	var b strings.Builder
	b.WriteString(`(func $f0)`)
	for i := 1; i <= n; i++ {
		name := func(i int) string { return "$f" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
		before := name(i - 1)
		if i == 1 {
			before = "$f0"
		}
		b.WriteString("(func " + name(i))
		if i == n {
			b.WriteString(` (export "f")`)
		}
		b.WriteString("(call " + before + ")(call " + before + "))")
	}
	return b.String()
}

// sets gives each of n locals a new value. gets uses them.
func sets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "(local.set %d (i32.load (i32.const %d)))", i, i)
	}
	return b.String()
}

func gets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "(i32.store (i32.const %d) (local.get %d))", i, i)
	}
	return b.String()
}

// Depth is taken, and returned on every way out of a function.
func TestDepthComesBack(t *testing.T) {
	text := `(module
	  (func $leave (param i32) (result i32)
	    (block (block (block (block (br_table 0 1 2 3 (local.get 0)))
	      (return (i32.const 10)))
	      (br 2 (i32.const 11)))
	      (drop (br_if 1 (i32.const 12) (i32.const 1))) (unreachable))
	    (call $two) (i32.add))
	  (func $two (result i32 i32) (call $none) (if (result i32 i32) (i32.const 0) (then (return (i32.const 1) (i32.const 2))) (else (i32.const 6) (i32.const 7))))
	  (func $none (drop (memory.size)) (call $leaf))
	  (func $leaf)
	  (memory 1)
	  (func (export "f") (param i32) (result i32) (call $leave (local.get 0))))`
	h := newHost(t)
	live, err := h.runtime.Instantiate(t.Context(), rewrite(t, wat(t, text), Options{Depth: 1000}).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	for arg, want := range []uint64{10, 11, 12, 13} {
		got, err := live.ExportedFunction("f").Call(t.Context(), uint64(arg))
		if err != nil || got[0] != want {
			t.Errorf("f(%d) = %v, %v, want %d", arg, got, err, want)
		}
		if d := live.ExportedGlobal(ExportDepth).Get(); d != 1000 {
			t.Errorf("f(%d) left a depth of %d", arg, d)
		}
	}
}

// Every mutable global is restored, including both halves of a v128 and references.
func TestSaveAndRestore(t *testing.T) {
	text := `(module
	  (global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2)) (global $c (mut f32) (f32.const 3)) (global $d (mut f64) (f64.const 4))
	  (global $v (mut v128) (v128.const i64x2 5 6)) (global $r (mut funcref) (ref.null func)) (global $x (mut externref) (ref.null extern)) (global $k i32 (i32.const 9))
	  (elem declare func $set)
	  (func $set (export "set") (param i64)
	    (global.set $a (i32.wrap_i64 (local.get 0))) (global.set $b (local.get 0)) (global.set $c (f32.convert_i64_s (local.get 0))) (global.set $d (f64.convert_i64_s (local.get 0)))
	    (global.set $v (i64x2.splat (local.get 0))) (global.set $r (ref.func $set)))
	  (func (export "get") (result i32 i64 f32 f64 i64 i64 i32 i32)
	    (global.get $a) (global.get $b) (global.get $c) (global.get $d)
	    (i64x2.extract_lane 0 (global.get $v)) (i64x2.extract_lane 1 (global.get $v)) (ref.is_null (global.get $r)) (global.get $k)))`
	h := newHost(t)
	m := rewrite(t, wat(t, text), Options{})
	if m.Facts.MutableGlobals != 7 {
		t.Errorf("%d mutable globals, want 7", m.Facts.MutableGlobals)
	}
	live, err := h.runtime.Instantiate(t.Context(), m.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	call := func(name string, args ...uint64) []uint64 {
		t.Helper()
		got, err := live.ExportedFunction(name).Call(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := call("get")
	call(ExportSave)
	call("set", 77)
	if changed := call("get"); changed[4] != 77 || changed[6] != 0 {
		t.Fatalf("set did nothing: %v", changed)
	}
	fuel := live.ExportedGlobal(ExportFuel).(api.MutableGlobal)
	fuel.Set(123456)
	call(ExportRestore)
	if got := call("get"); !bytes.Equal(asBytes(got), asBytes(first)) {
		t.Errorf("restored %v, want %v", got, first)
	}
	if fuel.Get() > 123456 || fuel.Get() < 123000 {
		t.Errorf("restoring touched fuel: %d", fuel.Get())
	}
	call("set", 1)
	call(ExportRestore)
	if got := call("get"); !bytes.Equal(asBytes(got), asBytes(first)) {
		t.Errorf("restored again %v, want %v", got, first)
	}
}

func asBytes(values []uint64) []byte {
	var out []byte
	for _, v := range values {
		out = appendUnsigned(out, v)
	}
	return out
}

// A growth refused by the module's own maximum, the limits or the host is reported. A
// successful one is not, and results are unchanged.
func TestRefusedGrowth(t *testing.T) {
	text := `(module (memory 1 3) (table $t 1 4 funcref) (table $u 0 externref)
	  (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
	  (func (export "table") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
	  (func (export "clamped") (param i32) (result i32) (table.grow $u (ref.null extern) (local.get 0))))`
	h := newHost(t)
	live, err := h.runtime.Instantiate(t.Context(), rewrite(t, wat(t, text), Options{Limits: Limits{MemoryPages: 2, TableItems: 8}}).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	refused := live.ExportedGlobal(ExportRefused).(api.MutableGlobal)
	for _, c := range []struct {
		f       string
		by      uint32
		want    int32
		refused uint64
	}{
		{"memory", 0, 1, 0}, {"memory", 1, 1, 0}, {"memory", 0, 2, 0}, {"memory", 1, -1, 1}, {"memory", 1 << 31, -1, 1},
		{"table", 3, 1, 0}, {"table", 1, -1, 1}, {"table", 0, 4, 0},
		{"clamped", 8, 0, 0}, {"clamped", 1, -1, 1}, {"clamped", 1<<32 - 1, -1, 1},
	} {
		refused.Set(0)
		got, err := live.ExportedFunction(c.f).Call(t.Context(), uint64(c.by))
		if err != nil || int32(got[0]) != c.want || refused.Get() != c.refused {
			t.Errorf("%s by %d = %v, %v, refused %d; want %d, refused %d", c.f, c.by, got, err, refused.Get(), c.want, c.refused)
		}
		if _, err := live.ExportedFunction(ExportSave).Call(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := live.ExportedFunction(ExportRestore).Call(t.Context()); err != nil || refused.Get() != c.refused {
			t.Errorf("save and restore: %v; refused %d, was %d", err, refused.Get(), c.refused)
		}
	}
}
