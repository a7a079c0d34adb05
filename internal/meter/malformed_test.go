package meter

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
)

const header = "\x00asm\x01\x00\x00\x00"

// Invalid modules are refused in the original bytes, with the place and the reason. Unusual but
// valid ones are accepted. Cases with a name in brackets are known faults of rewriters that
// validate too late, or of compilers that trust counts.
func TestMalformed(t *testing.T) {
	const (
		types    = "\x01\x04\x01\x60\x00\x00" // () -> ()
		function = "\x03\x02\x01\x00"
		empty    = "\x0a\x04\x01\x02\x00\x0b" // one empty body
		memory   = "\x05\x03\x01\x00\x01"
	)
	// with puts code into the only function of a module.
	with := func(code string) string {
		b := "\x00" + code + "\x0b"
		return header + types + function + memory + "\x0a" + string(rune(len(b)+2)) + "\x01" + string(rune(len(b))) + b
	}
	for _, c := range []struct {
		name, wasm string
		offset     int // -1: valid
		want       string
	}{
		{"nothing but a header", header, -1, ""},
		{"[no type, no code section]", header + memory, -1, ""},
		{"a padded but valid LEB", header + "\x01\x84\x80\x80\x00\x01\x60\x00\x00", -1, ""},
		{"one function", header + types + function + empty, -1, ""},
		{"a custom section with nothing behind its name", header + "\x00\x02\x01x", -1, ""},
		{"a name section that makes no sense", header + "\x00\x08\x04name\x01\xff\xff", -1, ""},

		{"no bytes", "", 0, "unexpected end"},
		{"half a header", "\x00asm", 4, "unexpected end"},
		{"a component", "\x00asm\x0d\x00\x01\x00", 4, "unknown binary version"},
		{"[section count of 2^32-1]", header + "\x01\x05\xff\xff\xff\xff\x0f", 10, "4294967295 types"},
		{"[function count of 2^32-1]", header + types + "\x03\x05\xff\xff\xff\xff\x0f", 16, "functions"},
		{"[2^32-1 locals]", header + types + function + "\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7f\x0b", 23, "locals"},
		{"[2^32-1 data segments]", header + memory + "\x0b\x05\xff\xff\xff\xff\x0f", 15, "data segments"},
		{"[data of 2^32-1 bytes]", header + "\x0b\x07\x01\x01\xff\xff\xff\xff\x0f", 17, "unexpected end"},
		{"[over-long LEB of a section's size]", header + "\x01\x85\x80\x80\x80\x80\x00\x00", 9, "integer of more than 32 bits"},
		{"[LEB with bits beyond 32]", header + "\x01\xff\xff\xff\xff\x1f", 9, "integer of more than 32 bits"},
		{"[trailing bytes in a section]", header + "\x01\x05\x01\x60\x00\x00\x00" + function + empty, 14, "1 bytes left over"},
		{"[truncated section]", header + "\x01\x05\x01\x60\x00\x00", 8, "5 bytes announced, 4 left"},
		{"[truncated type]", header + "\x01\x03\x01\x60\x00", 13, "unexpected end"},
		{"[type of a function out of range]", header + types + "\x03\x02\x01\x01" + empty, 17, "unknown type 1"},
		{"[type that only the rewriter adds]", header + "\x03\x02\x01\x00" + empty, 11, "unknown type 0"},
		{"[global that only the rewriter adds]", with("\x23\x00\x1a"), 28, "unknown global 0"},
		{"[function that only the rewriter adds]", with("\x10\x01"), 28, "unknown function 1"},
		{"[import's function type out of range]", header + "\x02\x07\x01\x01a\x01b\x00\x05", 16, "unknown type 5"},
		{"[export of a function that only the rewriter adds]", header + "\x07\x05\x01\x01f\x00\x00", 14, "unknown function 0"},
		{"[start out of range]", header + types + "\x08\x01\x00", 16, "unknown function 0"},
		{"sections out of order", header + memory + types, 13, "section type out of order"},
		{"a section twice", header + types + types, 14, "section type twice"},
		{"a body without a declaration", header + types + empty, 17, "without a declaration"},
		{"a declaration without a body", header + types + function, 18, "1 functions declared, 0 bodies"},
		{"a body that goes on", header + types + function + "\x0a\x05\x01\x03\x00\x0b\x01", 24, "behind the end"},
		{"a body that does not end", header + types + function + "\x0a\x04\x01\x02\x00\x01", 24, "unexpected end"},
		{"a value too many", with("\x41\x00"), 30, "1 values left over"},
		{"a value too few", with("\x1a"), 28, "drop: type mismatch"},
		{"i32 for i64", with("\x41\x00\x50\x1a"), 30, "i64.eqz: type mismatch: expected i64, found i32"},
		{"alignment", with("\x41\x00\x28\x03\x00\x1a"), 31, "natural"},
		{"a name that is not UTF-8", header + "\x00\x02\x01\xff", 10, "not UTF-8"},
		{"data without a memory", header + "\x0b\x06\x01\x00\x41\x00\x0b\x00", 11, "unknown memory"},
		{"memory.init without a data count", with("\x41\x00\x41\x00\x41\x00\xfc\x08\x00\x00"), 34, "data count section required"},
		{"an export twice", header + memory + "\x07\x09\x02\x01m\x02\x00\x01m\x02\x00", 20, "twice"},
		{"a reserved export", header + memory + "\x07\x15\x01\x11auditrelay_meterX\x02\x00", 16, "reserved"},
		{"a reserved import", header + types + "\x02\x15\x01\x10auditrelay_meter\x01x\x00\x00", 17, "reserved"},
		{"too large a memory", header + "\x05\x04\x01\x00\x81\x08", 11, "memory of 1025 pages, the limit is 1024"},

		{"two memories", header + "\x05\x05\x02\x00\x01\x00\x01", 13, "multiple memories"},
		{"shared memory", header + "\x05\x04\x01\x03\x01\x01", 11, "threads"},
		{"memory64", header + "\x05\x03\x01\x04\x01", 11, "memory64"},
		{"a tag section", header + "\x0d\x03\x01\x00\x00", 8, "exceptions"},
		{"an atomic", with("\xfe\x00"), 28, "unknown instruction 0xfe (threads)"},
		{"a tail call", with("\x12\x00"), 28, "tail calls"},
		{"try", with("\x06\x40\x0b"), 28, "exceptions"},
		{"relaxed SIMD", with("\xfd\x80\x02"), 28, "relaxed SIMD"},
		{"a struct", with("\xfb\x00\x00"), 28, "garbage collection"},
		{"no such instruction", with("\xfc\x20"), 28, "unknown instruction 0xfc 0x20"},
		{"extended constants", header + "\x06\x09\x01\x7f\x00\x41\x01\x41\x02\x6a\x0b", 15, "extended constant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Rewrite([]byte(c.wasm), Options{})
			if c.offset == -1 {
				if err != nil {
					t.Error(err)
				}
				wabt(t, []byte(c.wasm), true)
				return
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if !strings.Contains(e.Error(), c.want) || c.offset >= 0 && e.Offset != c.offset {
				t.Errorf("got %v\nwant offset %#x, %q", e, c.offset, c.want)
			}
		})
	}
}

// Limits apply, and refusals are fast.
func TestLimits(t *testing.T) {
	body := func(code string) []byte { return wat(t, `(module (memory 1) (func `+code+`))`) }
	wide := func(code string) []byte { // $wide takes and returns 128 values
		values := strings.Repeat(" i64", 128) + ")"
		return wat(t, `(module (type $wide (func (param`+values+` (result`+values+`)) (func $wide (type $wide) unreachable) (func unreachable `+code+` unreachable))`)
	}
	for _, c := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"nested blocks", body(strings.Repeat("(block ", 10_000) + strings.Repeat(")", 10_000)), "nested more than 5000 deep"},
		{"locals times loops", body("(local " + strings.Repeat("i32 ", 4_000) + ")" + strings.Repeat("(loop (br_if 0 (i32.load (i32.const 0))))", 2_000) + gets(4_000)), "too dear to compile"},
		{"branches times locals", body("(local " + strings.Repeat("i32 ", 1_000) + ")" + strings.Repeat("(if (local.get 0) (then (nop)))", 20_000)), "too dear to compile"},
		{"labels", body(strings.Repeat("(block (br_table "+strings.Repeat("0 ", 65_536)+"(i32.const 0)))", 15)), "too dear to compile"},
		{"locals of many functions", wat(t, "(module "+strings.Repeat("(func (local "+strings.Repeat("i64 ", 4_999)+"))", 500)+")"), "too dear to compile"},
		{"values of calls", wide(strings.Repeat("call $wide ", 400_000)), "too dear to compile"},
		{"values of blocks", wide(strings.Repeat("loop (type $wide) end ", 250_000)), "too dear to compile"},
		{"values of branches", wide("block (type $wide) " + strings.Repeat("i32.const 0 br_if 0 ", 200_000) + "end"), "too dear to compile"},
		{"values of labels", wide("block (type $wide) " + strings.Repeat("i32.const 0 br_table"+strings.Repeat(" 0", 50_000)+" ", 2) + "end"), "too dear to compile"},
		{"locals", body("(local " + strings.Repeat("i32 ", 6_000) + ")"), "locals, the limit is 5000"},
		{"br_table", body("(block (br_table " + strings.Repeat("0 ", 70_000) + "(i32.const 0)))"), "labels of br_table"},
		{"body", body(strings.Repeat("(drop (i64.const 0x7fffffffffffffff))", 100_000)), "the limit is 1048576"},
		{"table", wat(t, "(module (table 1000000 funcref))"), "the limit is 100000"},
		{"params", wat(t, "(module (type (func (param "+strings.Repeat("i32 ", 200)+"))))"), "200 parameters, the limit is 128"},
		{"imports", wat(t, "(module "+strings.Repeat(`(import "a" "b" (func))`, 2_000)+")"), "2000 imports, the limit is 1000"},
		{"module", append([]byte(header), make([]byte, 33<<20)...), "the limit is 33554432"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := Rewrite(c.wasm, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Randomly changed bytes: wabt and Rewrite agree on validity.
func TestSecondOpinion(t *testing.T) {
	if _, err := exec.LookPath("wasm-validate"); err != nil {
		missing(t, "wasm-validate")
	}
	valid := 0
	for seed := range uint64(300) {
		g := newGenerator(seed)
		wasm := g.module()
		for range 1 + g.IntN(2) {
			at := len(header) + g.IntN(len(wasm)-len(header))
			switch g.IntN(3) {
			case 0:
				wasm[at] ^= 1 << g.IntN(8)
			case 1:
				wasm[at] = byte(g.Uint32())
			case 2:
				wasm = slices.Delete(wasm, at, at+1)
			}
		}
		_, err := Rewrite(wasm, Options{Limits: Limits{MemoryPages: maxPages, TableItems: 1 << 31, Locals: 1 << 20}})
		cmd := exec.CommandContext(t.Context(), "wasm-validate", "--ignore-custom-section-errors", "-")
		cmd.Stdin = bytes.NewReader(wasm)
		out, second := cmd.CombinedOutput()
		if (err == nil) != (second == nil) {
			t.Errorf("seed %d: Rewrite says %v\nwabt: %v %s", seed, err, second, out)
		}
		if err == nil {
			valid++
		}
	}
	t.Logf("%d of 300 still valid", valid)
}

// No input causes a panic or slowness. wazero accepts what Rewrite accepts, before and after
// rewriting. Except for the reserved names, Rewrite would accept its own output.
func FuzzRewrite(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(newGenerator(seed).module())
	}
	for _, s := range shapes {
		f.Add(s.wasm(2))
	}
	f.Add([]byte(header))
	f.Add([]byte(header + "\x01\x05\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		start := time.Now()
		m, err := Rewrite(wasm, Options{Limits: Limits{ModuleBytes: 1 << 20, Crossings: 50_000, CrossingsPerByte: 1}})
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err != nil {
			if e := err.(*Error); e.Offset < 0 || e.Offset > len(wasm) {
				t.Errorf("offset %d of %d: %v", e.Offset, len(wasm), e)
			}
			return
		}
		renamed := bytes.ReplaceAll(m.Wasm, []byte(reservedPrefix), []byte("xuditrelay_meter"))
		twice := Limits{Globals: 1 << 16, Crossings: 1 << 40, BodyBytes: 8 << 20, Nesting: 1 << 16}
		if _, err := Rewrite(renamed, Options{Limits: twice}); err != nil {
			t.Fatalf("what comes of it is not valid: %v", err)
		}
		r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler())
		defer r.Close(t.Context())
		for what, wasm := range map[string][]byte{"given": wasm, "rewritten": m.Wasm} {
			if _, err := r.CompileModule(t.Context(), wasm); err != nil {
				t.Errorf("wazero refuses it as %s: %v", what, err)
			}
		}
	})
}
