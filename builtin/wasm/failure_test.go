package wasm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/filter"
)

// The failures of a guest on one event, by cause. The error never contains data of the guest or
// of the event.
func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*wasm.Options)
		cause  auditrelay.Cause
		want   string
	}{
		{"unreachable", nil, auditrelay.CauseTrap, "unreachable"},
		{"divide-by-zero", nil, auditrelay.CauseTrap, "integer divide by zero"},
		{"out-of-bounds", nil, auditrelay.CauseTrap, "out of bounds memory access"},
		{"exits", nil, auditrelay.CauseTrap, "exited with code 7"},
		{"emit-then-trap", nil, auditrelay.CauseTrap, "unreachable"},
		{"no-verdict", nil, auditrelay.CauseProtocol, "not a verdict"},
		{"unknown-verdict", nil, auditrelay.CauseProtocol, "returned 7"},
		{"bad-pointer", nil, auditrelay.CauseProtocol, "reason: 100 bytes at 65530 lie outside"},
		{"bad-buffer", nil, auditrelay.CauseProtocol, "event_read: 4294967295 bytes at 65530 lie outside"},
		{"bad-handle", nil, auditrelay.CauseProtocol, "find: not a path"},
		{"out-of-turn", nil, auditrelay.CauseProtocol, "path: called out of turn"},
		{"memory-growth", nil, auditrelay.CauseMemory, "could not grow its memory beyond 16MiB"},
		{"infinite-loop", nil, auditrelay.CauseFuel, "used up its fuel"},
		{"infinite-loop", func(o *wasm.Options) { o.Limits.Fuel, o.Limits.Time = 1<<50, 30*time.Millisecond }, auditrelay.CauseFuel, "ran longer than 30ms, on the processor"},
		{"recursion", nil, auditrelay.CauseStack, "limits.stack"},
		{"fails", nil, auditrelay.CauseFail, "called fail"},
		{"replace-invalid", nil, auditrelay.CauseRejectedOutput, "event_replace: not valid JSON"},
		{"replace-ungranted", nil, auditrelay.CauseRejectedOutput, "event_replace: the module's manifest does not ask"},
		{"replace-ungranted", func(o *wasm.Options) { o.Grants.Write = []string{"before_value"} }, auditrelay.CauseRejectedOutput, "event_replace"},
		{"edit-ungranted", nil, auditrelay.CauseRejectedOutput, "mask: the module's manifest does not ask"},
		{"edit-invalid", nil, auditrelay.CauseRejectedOutput, "set_json"},
		{"edit-invalid", func(o *wasm.Options) { o.Grants.Write = []string{"updated_values"} }, auditrelay.CauseRejectedOutput, "grants.write does not reach"},
		{"edit-flood", func(o *wasm.Options) { o.Limits.EditBytes = 2048 }, auditrelay.CauseRejectedOutput, "more than 2048 bytes"},
		{"emit-flood", nil, auditrelay.CauseRejectedOutput, "more than 16 records"},
		{"emit-flood", func(o *wasm.Options) { o.Limits.EmitBytes = 5 }, auditrelay.CauseRejectedOutput, "more than 5 bytes"},
		{"emit-ungranted", nil, auditrelay.CauseRejectedOutput, "not among grants.emit"},
		{"emit-invalid", nil, auditrelay.CauseRejectedOutput, "emit: not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, "hostile/"+c.name)
			if c.change != nil {
				c.change(&o)
			}
			m := load(t, o)
			i := open(t, m)
			call := newCall(t, event)
			verdict, err := i.Apply(t.Context(), call)
			f, ok := errors.AsType[*filter.Error](err)
			if !ok || f.Cause != c.cause || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant cause %s and %q", err, c.cause, c.want)
			}
			if verdict != auditrelay.NoVerdict || call.Emitted != nil {
				t.Errorf("a failure left verdict %v and %d records", verdict, len(call.Emitted))
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "no such team") {
				t.Errorf("the error holds the event's data or the guest's words: %v", err)
			}
			// The instance is unusable afterwards. The next one is like new.
			if _, err := i.Apply(t.Context(), newCall(t, event)); err == nil {
				t.Error("the instance went on after a failure")
			}
			if _, err := open(t, m).Apply(t.Context(), newCall(t, event)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("a new instance: got %v, want %q again", err, c.want)
			}
		})
	}
}

func TestFailKeepsTheGuestsWordsAsTheReason(t *testing.T) {
	call := newCall(t, event)
	_, err := open(t, load(t, options(t, "hostile/fails"))).Apply(t.Context(), call)
	if err == nil || call.Reason != "no such team: x" {
		t.Errorf("got %v and reason %q", err, call.Reason)
	}
}

// TestAnEarlyBreakerTellsItsFailures: expensive starts open the breaker before 50 failures. The
// log has the true number, and the error a length of the pause that people can read.
func TestAnEarlyBreakerTellsItsFailures(t *testing.T) {
	var out bytes.Buffer
	o := options(t, "reference-go/reference-go")
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	o.Limits.Fuel, o.Limits.FuelPerByte = 1, 1
	o.Breaker.Rest = 12345678901
	m := load(t, o)
	if _, err := open(t, m).Apply(t.Context(), newCall(t, event)); err == nil {
		t.Fatal("it did its work with 400 units of fuel")
	}
	if !strings.Contains(out.String(), "failed repeatedly") || !strings.Contains(out.String(), "failures=1 ") {
		t.Errorf("the log: %s", out.String())
	}
	if err := m.Resting(); err == nil || !strings.Contains(err.Error(), "on 1 events in a row") || !strings.Contains(err.Error(), "every 12.3s ") {
		t.Errorf("got %v", err)
	}
}

func TestNoStateOutlivesAFailure(t *testing.T) {
	m := load(t, options(t, "hostile/state-after-trap"))
	for range 2 {
		i := open(t, m)
		if v, _, _ := apply(t, i, event); v != auditrelay.Keep {
			t.Errorf("the first event: got %v, want keep", v)
		}
		if _, err := i.Apply(t.Context(), newCall(t, event)); err == nil {
			t.Error("the second event did not trap")
		}
	}
}

func TestInstancesShareNoMemory(t *testing.T) {
	m := load(t, options(t, "hostile/state-after-trap"))
	for range 3 {
		if v, _, _ := apply(t, open(t, m), event); v != auditrelay.Keep {
			t.Errorf("an instance's first event: got %v, want keep", v)
		}
	}
}

func TestLogIsBoundedOverAllInstances(t *testing.T) {
	var out bytes.Buffer
	o := options(t, "hostile/log-flood")
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	o.Limits.LogLines = 5
	o.Limits.Fuel = 1 << 30
	m := load(t, o)
	start := time.Now()
	for range 3 {
		apply(t, open(t, m), event)
	}
	most := 5 + int(5*time.Since(start).Seconds()) + 1
	if n := strings.Count(out.String(), "text=noise"); n < 5 || n > most {
		t.Errorf("%d of 30000 lines were logged, want 5 to %d", n, most)
	}
	if !strings.Contains(out.String(), "filter=log-flood") || !strings.Contains(out.String(), "sequence=42") {
		t.Errorf("a line lacks filter or sequence: %s", out.String())
	}
}

func TestWASIIsTheSameWheneverItRuns(t *testing.T) {
	var out bytes.Buffer
	o := options(t, "hostile/wasi")
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	m := load(t, o)
	reason := func(id string) string {
		call := newCall(t, event)
		call.Event.ID = id
		if _, err := open(t, m).Apply(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		return call.Reason
	}
	if a, b := reason("e-1"), reason("e-1"); a != b || len(a) != 8 {
		t.Errorf("the same event gave %q, then %q", a, b)
	}
	if reason("e-1") == reason("e-2") {
		t.Error("two events gave the same randomness")
	}
	if !strings.Contains(out.String(), "text=hello") {
		t.Errorf("stdout is not in the log: %s", out.String())
	}
}

// A name of megabytes in the name section is truncated before the engine builds traces with it,
// and names contain no control characters for a terminal.
func TestLongNamesInTraces(t *testing.T) {
	long := append(bytes.Repeat([]byte("n"), 4<<20), "\x1b[31m"...)
	sub := func(id byte, content []byte) []byte {
		return append(append([]byte{id}, leb(len(content))...), content...)
	}
	name := func(b []byte) []byte { return append(leb(len(b)), b...) }
	section := append(name([]byte("name")), sub(0, name(long))...)
	section = append(section, sub(1, append([]byte{1, 0}, name(append([]byte("\x1b[31m"), long...))...))...)
	o := options(t, "hostile/unreachable")
	o.Wasm = append(append([]byte(nil), o.Wasm...), sub(0, section)...)
	i := open(t, load(t, o))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := i.Apply(t.Context(), newCall(t, event))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "nnn...") || strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("got %.300v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("a failure took %d bytes", took)
	}
}

// A write without a line feed is scanned once, not once for each line it is divided into.
func TestALongWriteIsPaid(t *testing.T) {
	i := open(t, load(t, options(t, "hostile/write-flood")))
	call := newCall(t, event)
	began := time.Now()
	_, err := i.Apply(t.Context(), call)
	if f, ok := errors.AsType[*filter.Error](err); !ok || f.Cause != auditrelay.CauseFuel {
		t.Errorf("got %v, want out_of_fuel", err)
	}
	if took := time.Since(began); took > time.Duration(call.Usage.Fuel)*100*time.Nanosecond {
		t.Errorf("%v for %d units", took, call.Usage.Fuel)
	}
}

// leb encodes n as in the binary format.
func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
