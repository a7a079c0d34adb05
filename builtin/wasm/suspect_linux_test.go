package wasm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/builtin/wasm/internal/wire"
	"auditrelay/document"
	"auditrelay/filter"
)

// TestInnocentEventsSurviveASuspect: if one of many events ends the worker, only that one fails
// permanently. All others are judged.
func TestInnocentEventsSurviveASuspect(t *testing.T) {
	o := options(t, "reference-c/reference-c")
	o.Worker = []string{program, "suspect"}
	m := load(t, o)
	i := open(t, m)
	const bad = 37
	data := make([]string, 100)
	documents := make([]document.Document, len(data))
	calls, verdicts := make([]filter.Call, len(data)), make([]auditrelay.Verdict, len(data))
	for k := range data {
		data[k] = fmt.Sprintf(`{"id":"%d","updated_values":{"password":"x"}}`, k)
		if k == bad {
			data[k] = `{"id":"bad","updated_values":{"password":"x"}}`
		}
		documents[k].Reset([]byte(data[k]))
		calls[k] = filter.Call{Event: &auditrelay.Event{ID: fmt.Sprint(k), Sequence: uint64(k), Data: []byte(data[k])}, Document: &documents[k]}
	}
	batcher := i.(filter.Batcher)
	decided, err := batcher.ApplyAll(t.Context(), calls, verdicts)
	failure, ok := errors.AsType[*filter.Error](err)
	if decided != bad || !ok || failure.Cause != auditrelay.CauseKilled || !failure.Final {
		t.Fatalf("decided %d, %v", decided, err)
	}
	next := open(t, m).(filter.Batcher)
	rest := calls[bad+1:]
	if decided, err := next.ApplyAll(t.Context(), rest, verdicts); err != nil || decided != len(rest) {
		t.Errorf("those behind it: %d of %d, %v", decided, len(rest), err)
	}
	for k := range calls {
		if k != bad && !documents[k].Edited() {
			t.Errorf("event %d was not edited", k)
		}
	}
	if n := m.Lost(); n != 2 {
		t.Errorf("%d workers were lost, want 2", n)
	}
}

// suspect is a worker that behaves correctly until the bad event. It then reports that it works
// on that one, and exits.
func suspect(args []string) int {
	w, err := process.Join(args)
	if err != nil || w.Ready(nil) != nil {
		return 1
	}
	for _, s := range w.Lanes {
		go func() {
			for {
				m, err := s.Receive()
				if err != nil {
					return
				}
				switch m.Kind {
				case sayOpen:
					send(s, wire.AppendStarted(nil, &wire.Started{Paths: [][]byte{[]byte("updated_values.password")}}))
				case sayEvents:
					b := s.In()[:m.Length]
					count := binary.LittleEndian.Uint32(b)
					b = b[4:]
					out := binary.LittleEndian.AppendUint32(nil, count)
					for k := range int(count) {
						s.Progress(k)
						var e wire.Event
						if b, err = wire.ReadEvent(b, &e); err != nil {
							os.Exit(1)
						}
						if strings.Contains(string(e.Data), `"bad"`) {
							os.Exit(1)
						}
						r := edits([]byte{editDelete | everyMatch, 1})()
						out = wire.AppendResult(out, &r)
					}
					send(s, out)
				}
			}
		}()
	}
	w.Wait()
	return 0
}
