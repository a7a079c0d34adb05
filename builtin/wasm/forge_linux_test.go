package wasm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/builtin/wasm/internal/wire"
	"auditrelay/document"
	"auditrelay/filter"
)

// The numbers of messages on a lane and of edits, as in a worker.
const (
	sayOpen, sayEvents, sayAnswer, sayPseudonym = 1, 2, 4, 5

	editSet, editDelete, editHMAC, editPut, editReplace, editMatches, everyMatch = 1, 3, 7, 8, 9, 10, 0x80
)

// forged is a fake worker: a native program with everything available to a guest that escaped
// its sandbox.
type forged struct {
	name string
	// result is its answer for an event. nil: see answer.
	result func() wire.Result
	// answer answers an event. It gets the answer that an honest worker would have sent.
	answer func(s *process.Side, honest []byte)
	// open answers the start of an instance. nil: correctly, with two paths.
	open func(s *process.Side)
}

func keeps() wire.Result { return wire.Result{Verdict: wire.Keep, Fuel: 1, Memory: 1 << 16} }

func edits(b ...[]byte) func() wire.Result {
	return func() wire.Result {
		r := keeps()
		for _, part := range b {
			r.Edits = append(r.Edits, part...)
		}
		return r
	}
}

// at returns a place: the indexes of members from the root on.
func at(steps ...byte) []byte { return append([]byte{byte(len(steps))}, steps...) }

func text(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func send(s *process.Side, b []byte) { sendAs(s, sayAnswer, process.First, len(b), b) }

func sendAs(s *process.Side, kind, offset uint32, length int, b []byte) {
	copy(s.Out()[process.First:], b)
	_ = s.Send(process.Message{Kind: kind, Offset: offset, Length: uint32(length)})
}

// raw sends bytes that are no message.
func raw(s *process.Side, b []byte) {
	if fd, ok := socket.Load(s); ok {
		_, _ = syscall.Write(fd.(int), b)
	}
}

func with(change func(*wire.Result)) func() wire.Result {
	return func() wire.Result { r := keeps(); change(&r); return r }
}

// The members of event are: 0 id ... 6 object_id, 7 before_value, 8 updated_values {alias,
// password, n}. Only object_id is granted.
var forgeries = []forged{
	{name: "no verdict", result: with(func(r *wire.Result) { r.Verdict = 0 })},
	{name: "an unknown verdict", result: with(func(r *wire.Result) { r.Verdict = 200 })},
	{name: "an unknown cause", result: with(func(r *wire.Result) { r.Verdict, r.Cause = wire.Failed, 99 })},
	{name: "a text without end", result: with(func(r *wire.Result) { r.Reason = make([]byte, 1<<20) })},
	{name: "a record to nobody", result: with(func(r *wire.Result) { r.Emits = []wire.Emit{{Target: 1, Data: []byte(`{}`)}} })},
	{name: "a record that is no JSON", result: with(func(r *wire.Result) { r.Emits = []wire.Emit{{Data: []byte(`nonsense`)}} })},
	{name: "too many records", result: with(func(r *wire.Result) {
		for range 17 {
			r.Emits = append(r.Emits, wire.Emit{Data: []byte(`{}`)})
		}
	})},
	{name: "too large records", result: with(func(r *wire.Result) {
		r.Emits = []wire.Emit{{Data: []byte(`{"a":"` + strings.Repeat("x", 300<<10) + `"}`)}}
	})},
	{name: "a metric that was not granted", result: with(func(r *wire.Result) { r.Counts = []wire.Count{{Metric: 3, N: 1}} })},
	{name: "an edit that was not granted", result: edits([]byte{editSet}, at(8, 1), text(`"forged"`))},
	{name: "an edit of the root", result: edits([]byte{editSet}, at(), text(`{"forged":1}`))},
	{name: "an edit of nothing", result: edits([]byte{editSet}, at(8, 99), text(`1`))},
	{name: "an edit that is no JSON", result: edits([]byte{editSet}, at(6), text(`forged`))},
	{name: "an edit at a place without end", result: edits([]byte{editSet, 0xff, 0xff, 0xff, 0x7f})},
	{name: "a deletion that was not granted", result: edits([]byte{editDelete}, at(5))},
	{name: "an edit by a path that there is not", result: edits([]byte{editDelete | everyMatch, 9})},
	{name: "an edit by the path number 0", result: edits([]byte{editDelete | everyMatch, 0})},
	{name: "an edit by a path that was not granted", result: edits([]byte{editDelete | everyMatch, 2})},
	{name: "a new key that was not granted", result: edits([]byte{editPut}, at(), text("forged"), text("1"))},
	{name: "another document", result: edits([]byte{editReplace}, text(`{"id":"forged"}`))},
	{name: "a kind of edit that there is not", result: edits([]byte{77}, at(6))},
	{name: "edits that end too early", result: edits([]byte{editSet}, at(6), []byte{200, 1, '"'})},
	{name: "findings beyond the text", result: edits([]byte{editMatches}, at(6), []byte{1, 1, 0, 100})},
	{name: "findings of nothing without end", result: func() wire.Result {
		const many = 4_000_000
		r := keeps()
		r.Edits = binary.AppendUvarint(append(append([]byte{editMatches}, at(6)...), 1), many)
		r.Edits = append(r.Edits, make([]byte, 2*many)...) // of zero bytes each, at both ends
		return r
	}},
	{name: "an edit at a place that another edit moved", result: edits([]byte{editDelete}, at(6), []byte{editSet}, at(6), text(`"forged"`))},
	{name: "an edit at a number without end", result: edits([]byte{editSet}, bytes.Repeat([]byte{0x81}, 12), text(`1`))},
	{name: "an edit four thousand steps deep", result: edits([]byte{editSet, 0x80, 0x20}, make([]byte, 4096), text(`1`))},
	{name: "a deletion of what is gone", result: edits([]byte{editDelete | everyMatch, 1}, []byte{editDelete}, at(6))},
	{name: "a pseudonym under a key that it was not granted", result: edits([]byte{editHMAC}, at(6), text("other"))},
	{name: "edits without end", result: func() wire.Result {
		r := keeps()
		for range 400_000 {
			r.Edits = append(r.Edits, editSet, 1, 6, 3, '"', 'x', '"')
		}
		return r
	}},

	{name: "more lines than one event may have", result: with(func(r *wire.Result) { r.Lines = make([]wire.Line, 65) })},
	{name: "an unknown part", answer: func(s *process.Side, b []byte) { b[5] = 0xff; send(s, b) }},
	{name: "fuel beyond all numbers", answer: func(s *process.Side, _ []byte) {
		send(s, append([]byte{1, 0, 0, 0, wire.Keep, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 0))
	}},
	{name: "a number of eleven bytes", answer: func(s *process.Side, _ []byte) {
		send(s, append([]byte{1, 0, 0, 0, wire.Keep, 0}, bytes.Repeat([]byte{0xff}, 11)...))
	}},
	{name: "edits behind a failure", answer: func(s *process.Side, _ []byte) {
		send(s, append(wire.AppendResult([]byte{1, 0, 0, 0}, &wire.Result{Verdict: wire.Failed, Cause: 3}), editDelete, 1, 6))
	}},
	{name: "a pseudonym of what lies beyond the memory", answer: func(s *process.Side, b []byte) { sendAs(s, sayPseudonym, 1<<32-16, 1<<31, b) }},

	{name: "results for no event", answer: func(s *process.Side, b []byte) { send(s, append([]byte{0, 0, 0, 0}, b[4:]...)) }},
	{name: "results for more events than there are", answer: func(s *process.Side, b []byte) { send(s, append([]byte{2, 0, 0, 0}, append(b[4:], b[4:]...)...)) }},
	{name: "results for four thousand million events", answer: func(s *process.Side, b []byte) { send(s, append([]byte{255, 255, 255, 255}, b[4:]...)) }},
	{name: "it has data after the results", answer: func(s *process.Side, b []byte) { send(s, append(b, 0)) }},
	{name: "less than results", answer: func(s *process.Side, b []byte) { send(s, b[:len(b)-1]) }},
	{name: "nothing", answer: func(s *process.Side, b []byte) { send(s, nil) }},
	{name: "a length beyond the memory", answer: func(s *process.Side, b []byte) { sendAs(s, sayAnswer, process.First, 1<<31, b) }},
	{name: "an offset beyond the memory", answer: func(s *process.Side, b []byte) { sendAs(s, sayAnswer, 1<<32-1, len(b), b) }},
	{name: "an offset and a length that overflow", answer: func(s *process.Side, b []byte) { sendAs(s, sayAnswer, 1<<32-8, 1<<32-1, b) }},
	{name: "an offset before the answers", answer: func(s *process.Side, b []byte) { sendAs(s, sayAnswer, 0, len(b), b) }},
	{name: "a filled shared memory, let go of", answer: func(s *process.Side, b []byte) {
		socket.Range(func(lane, _ any) bool {
			for _, half := range [][]byte{lane.(*process.Side).In(), lane.(*process.Side).Out()[4096:]} {
				for i := 0; i < len(half); i += os.Getpagesize() {
					half[i] = 1
				}
				_ = syscall.Madvise(half[:len(half)&^(os.Getpagesize()-1)], syscall.MADV_DONTNEED)
			}
			return true
		})
		time.Sleep(300 * time.Millisecond) // until the memory no longer counts as its own
		send(s, b)
	}},
	{name: "a message that nobody knows", answer: func(s *process.Side, b []byte) { sendAs(s, 99, process.First, len(b), b) }},
	{name: "a message that is cut", answer: func(s *process.Side, _ []byte) { raw(s, []byte{1, 2, 3}) }},
	{name: "a message that is too long", answer: func(s *process.Side, _ []byte) { raw(s, make([]byte, 4000)) }},
	{name: "a pseudonym of an empty value", answer: func(s *process.Side, _ []byte) { sendAs(s, sayPseudonym, process.First, 0, nil) }},
	{name: "a pseudonym under no key", answer: func(s *process.Side, _ []byte) { sendAs(s, sayPseudonym, process.First, 9, []byte("\x05otherabc")) }},
	{name: "pseudonyms without end", answer: func(s *process.Side, _ []byte) {
		for {
			sendAs(s, sayPseudonym, process.First, 14, []byte("\x0apseudonymsabc"))
			if _, err := s.Receive(); err != nil {
				os.Exit(0)
			}
		}
	}},
	{name: "pseudonyms whose answers nobody reads", answer: func(s *process.Side, _ []byte) {
		for {
			sendAs(s, sayPseudonym, process.First, 14, []byte("\x0apseudonymsabc"))
		}
	}},
	{name: "nothing more on a lane that it closed", answer: func(s *process.Side, _ []byte) {
		if fd, ok := socket.Load(s); ok {
			_ = syscall.Close(fd.(int))
		}
		select {}
	}},
	{name: "its death", answer: func(*process.Side, []byte) { os.Exit(3) }},
	{name: "its death at an event that there is not", answer: func(s *process.Side, _ []byte) {
		s.Progress(-1)
		os.Exit(3)
	}},
	{name: "its death in the middle", answer: func(s *process.Side, b []byte) {
		copy(s.Out()[process.First:], b)
		os.Exit(137)
	}},
	{name: "nothing, ever, asleep", answer: func(*process.Side, []byte) { select {} }},
	{name: "nothing, ever, busy", answer: func(*process.Side, []byte) {
		for busy.Add(1) > 0 {
		}
	}},
	{name: "memory without end", answer: func(*process.Side, []byte) {
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			grown.Store(uint64(len(all)))
			time.Sleep(time.Millisecond)
		}
	}},
	{name: "wall time, it says", result: with(func(r *wire.Result) { r.Verdict, r.Cause = wire.Failed, 8 })},
}

var busy, grown atomic.Uint64

// Workers that lie at the start of an instance.
var forgedStarts = []forged{
	{name: "too many paths", open: func(s *process.Side) {
		v := wire.Started{}
		for range 2000 {
			v.Paths = append(v.Paths, []byte("a"))
		}
		send(s, wire.AppendStarted(nil, &v))
	}},
	{name: "a path that is none", open: func(s *process.Side) {
		send(s, wire.AppendStarted(nil, &wire.Started{Paths: [][]byte{[]byte("a..b")}}))
	}},
	{name: "a start without end", open: func(s *process.Side) { send(s, append(wire.AppendStarted(nil, &wire.Started{}), 1)) }},
	{name: "no answer to a start", open: func(*process.Side) { os.Exit(1) }},
	{name: "a failure with control characters", open: func(s *process.Side) {
		send(s, wire.AppendStarted(nil, &wire.Started{Failed: true, Cause: 3, Text: []byte("\x1b[2Jforged\xff")}))
	}},
}

// forge is the main function of the fake worker.
func forge(name string, args []string) int {
	var f *forged
	for _, all := range [][]forged{forgeries, forgedStarts} {
		for i := range all {
			if strings.ReplaceAll(all[i].name, " ", "_") == name {
				f = &all[i]
			}
		}
	}
	if f == nil && name != "mutations" && name != "tearing" && name != "honest" {
		return 9
	}
	w, err := process.Join(args)
	if err != nil || w.Ready(nil) != nil {
		return 1
	}
	for i, s := range w.Lanes {
		socket.Store(s, 4+2*i)
		go f.serve(s, name)
	}
	w.Wait()
	return 0
}

var socket sync.Map // of a lane

func (f *forged) serve(s *process.Side, name string) {
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid())))
	for {
		m, err := s.Receive()
		if err != nil {
			return
		}
		switch {
		case m.Kind == sayOpen && f != nil && f.open != nil:
			f.open(s)
		case m.Kind == sayOpen:
			send(s, wire.AppendStarted(nil, &wire.Started{Paths: [][]byte{[]byte("object_id"), []byte("changed_by_api_key")}}))
		case m.Kind == sayEvents:
			r := edits([]byte{editSet}, at(6), text(`"green"`))()
			if f != nil && f.result != nil {
				r = f.result()
			}
			r.Emits = append(r.Emits, wire.Emit{})[:len(r.Emits)]
			honest := wire.AppendResult([]byte{1, 0, 0, 0}, &r)
			switch {
			case name == "mutations":
				for range 1 + random.IntN(4) {
					honest[random.IntN(len(honest))] ^= 1 << random.IntN(8)
				}
				send(s, honest)
			case name == "tearing":
				tear(s, honest)
			case f != nil && f.answer != nil:
				f.answer(s, honest)
			default:
				send(s, honest)
			}
		}
	}
}

// tear repeatedly writes another answer while the relay reads.
func tear(s *process.Side, honest []byte) {
	bad := edits([]byte{editSet}, at(8, 1), text(`"tears"`))()
	other := wire.AppendResult([]byte{1, 0, 0, 0}, &bad)
	send(s, honest)
	for range 2000 {
		copy(s.Out()[process.First:], other)
		copy(s.Out()[process.First:], honest)
	}
}

func forgedOptions(t *testing.T, name string) wasm.Options {
	o := options(t, "redact-go/redact-go")
	o.Worker = []string{program, "forge", strings.ReplaceAll(name, " ", "_")}
	o.Grants = wasm.Grants{Write: []string{"object_id"}, Emit: []string{"alerts"}, Keys: []string{"pseudonyms"}}
	o.Limits.Time, o.Limits.InitTime = 50*time.Millisecond, 5*time.Second
	o.Breaker = wasm.BreakerOptions{Failures: 2}
	return o
}

// held fails if more of an event changed than was granted, or if another forbidden effect
// passed.
func held(t *testing.T, d *document.Document, call *filter.Call) {
	t.Helper()
	after := string(d.Append(nil))
	start, end, _ := strings.Cut(event, `"team-7"`)
	if !strings.HasPrefix(after, start) || !strings.HasSuffix(after, end) {
		t.Errorf("the event after: %s", after)
	}
	for _, e := range call.Emitted {
		if e.Target != "alerts" || document.Check(e.Data, document.Limits{}) != nil {
			t.Errorf("a record went through: %s %s", e.Target, e.Data)
		}
	}
}

// TestAWorkerThatLies replaces the worker by a native program that tries everything. No event
// has an edit that was not granted, no false claim is reported, and the relay's own process is
// unharmed.
func TestAWorkerThatLies(t *testing.T) {
	for _, f := range forgeries {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			m := load(t, forgedOptions(t, f.name))
			i := open(t, m)
			call := newCall(t, event)
			began := time.Now()
			verdict, err := i.Apply(t.Context(), call)
			failure, ok := errors.AsType[*filter.Error](err)
			if !ok || verdict != auditrelay.NoVerdict {
				t.Fatalf("got %v, %v: want a failure", verdict, err)
			}
			t.Logf("after %v: %v", time.Since(began).Round(time.Millisecond), failure)
			if !failure.Final && failure.Cause != auditrelay.CauseProtocol && failure.Cause != auditrelay.CauseRejectedOutput && failure.Cause != auditrelay.CauseFuel {
				t.Errorf("cause %s, which the engine would try again for", failure.Cause)
			}
			if n := m.Breaker().Failures; n != 1 {
				t.Errorf("the breaker has counted %d failures", n)
			}
			if n := m.Counts(); len(n) != 0 {
				t.Errorf("a count that was not granted: %v", n)
			}
			if _, err := i.Apply(t.Context(), newCall(t, event)); err == nil {
				t.Error("the instance judges on")
			}
		})
	}
}

// TestAWorkerThatLiesAtTheStart: it is refused when it is loaded.
func TestAWorkerThatLiesAtTheStart(t *testing.T) {
	for _, f := range forgedStarts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			_, err := wasm.Load(t.Context(), forgedOptions(t, f.name))
			if err == nil || strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("got %q", err)
			}
			t.Log(err)
		})
	}
}

// TestAnHonestForger: permitted acts of a worker take effect.
func TestAnHonestForger(t *testing.T) {
	call := newCall(t, event)
	verdict, err := open(t, load(t, forgedOptions(t, "honest"))).Apply(t.Context(), call)
	if err != nil || verdict != auditrelay.Keep || !strings.Contains(string(call.Document.Append(nil)), `"object_id":"green"`) {
		t.Errorf("got %v, %v, %s", verdict, err, call.Document.Append(nil))
	}
	if len(call.Touched) != 1 || call.Touched[0].Path != "object_id" || call.Touched[0].Operation != "set" {
		t.Errorf("touched: %v", call.Touched)
	}
}

// TestAnswersThatChangeWhileTheyAreRead: data after a worker's answer is ignored, and flipped
// bits have no effect.
func TestAnswersThatChangeWhileTheyAreRead(t *testing.T) {
	for _, name := range []string{"tearing", "mutations"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := forgedOptions(t, name)
			o.Breaker.Failures = -1
			m := load(t, o)
			good, failed := 0, 0
			end := time.Now().Add(5 * time.Second)
			for n := 0; n < 300 && time.Now().Before(end); n++ {
				i := open(t, m)
				call := newCall(t, event)
				if _, err := i.Apply(t.Context(), call); err != nil {
					failed++
				} else {
					good++
					held(t, call.Document, call)
				}
				_ = i.Close()
			}
			t.Logf("%d went well, %d failed", good, failed)
			if good == 0 {
				t.Error("none went well")
			}
		})
	}
}

func init() { //nolint:gochecknoinits // only where there are workers
	otherWorker = func(args []string) (int, bool) {
		switch {
		case args[0] == "forge" && len(args) > 1:
			return forge(args[1], args[2:]), true
		case args[0] == "suspect":
			return suspect(args[1:]), true
		}
		return 0, false
	}
}
