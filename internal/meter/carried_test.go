package meter

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// The values that compiled code moves at joins are paid for: at the end of an if or a block,
// and at a loop's head on every iteration, by the number of differing locals.
func TestJoinsArePaid(t *testing.T) {
	const locals, trips = 1000, 100
	var sets, uses strings.Builder
	for i := range locals {
		fmt.Fprintf(&sets, "(local.set %d (i64.load (i32.const %d)))", i+1, 8*i)
		fmt.Fprintf(&uses, "(i64.store (i32.const %d) (local.get %d))", 8*i, i+1)
	}
	used := func(body string) int64 {
		h := newHost(t)
		emptyEnv(t, h)
		text := fmt.Sprintf(`(module (memory 1) (func (export "f") (param $n i32) %s (local $c i32) (loop $l %s (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) %s))`,
			strings.Repeat("(local i64)", locals), body, uses.String())
		live, err := h.runtime.InstantiateWithConfig(context.Background(), rewrite(t, wat(t, text), Options{}).Wasm, wazero.NewModuleConfig())
		if err != nil {
			t.Fatal(err)
		}
		fuel := live.ExportedGlobal(ExportFuel).(api.MutableGlobal)
		const budget = 100_000_000
		fuel.Set(budget)
		if _, err := live.ExportedFunction("f").Call(context.Background(), trips); err != nil {
			t.Fatal(err)
		}
		return budget - int64(fuel.Get())
	}
	plain := used("")
	for name, c := range map[string]struct {
		body  string
		joins int64
	}{
		"an if and the loop":           {`(if (local.get $c) (then ` + sets.String() + `))`, 2},
		"a block and the loop":         {`(block (br_if 0 (i32.eqz (local.get $c))) ` + sets.String() + `)`, 2},
		"two blocks, one in the other": {`(block (block (br_if 0 (i32.eqz (local.get $c))) (br_if 1 (i32.eqz (local.get $c))) ` + sets.String() + `))`, 3},
	} {
		if got, want := used(c.body)-plain, c.joins*trips*(locals-freeMoves); got < want {
			t.Errorf("%s: %d units more than without, want at least %d", name, got, want)
		}
	}
}

// Counts distinct locals, since any set.
func TestCarried(t *testing.T) {
	var c carried
	c.reset(4, 8)
	c.set(0)
	c.set(1)
	at := c.sets
	c.set(1)
	c.set(2)
	c.set(2)
	if got := c.since(at); got != 2 {
		t.Errorf("since the second set: %d, want 2", got)
	}
	if got := c.since(0); got != 3 {
		t.Errorf("in all: %d, want 3", got)
	}
}
