package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

var limits = Limits{Causes: 10, Text: 64, Emits: 3, EmitBytes: 100, Targets: 2, Metrics: 2, Lines: 4, Paths: 5, PathBytes: 50}

func TestResultsComeBackAsTheyWent(t *testing.T) {
	for _, want := range []Result{
		{Verdict: Keep},
		{Verdict: Drop, Fuel: 1 << 40, Memory: 3, Reason: []byte("why"), Edits: []byte{1, 2, 3}},
		{Verdict: Keep, Emits: []Emit{{1, []byte(`{"a":1}`)}, {0, []byte(`{}`)}}, Counts: []Count{{1, 1 << 50}}, Lines: []Line{{-4, []byte("line")}}},
		{Verdict: Failed, Cause: 9, Text: []byte("what"), Reason: []byte("why")},
	} {
		b := AppendResult(nil, &want)
		if len(b) > ResultSize(&want) {
			t.Errorf("%d bytes, ResultSize says %d", len(b), ResultSize(&want))
		}
		var got Result
		rest, err := ReadResult(append(b, 77), &got, limits)
		if err != nil || len(rest) != 1 || !bytes.Equal(AppendResult(nil, &got), b) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		for n := range b {
			if _, err := ReadResult(b[:n], &got, limits); err == nil {
				t.Errorf("%d bytes of %d are a result", n, len(b))
			}
		}
	}
}

func TestEventsComeBackAsTheyWent(t *testing.T) {
	want := Event{Sequence: 1 << 60, Received: time.Unix(1, 2).UTC(), Namespace: "n", ID: "i", Accepted: 9, Data: []byte(`{}`), Gaps: []byte{}}
	b := AppendEvent(nil, &want)
	var got Event
	if rest, err := ReadEvent(b, &got); err != nil || len(rest) > 0 || !reflect.DeepEqual(got, want) || len(b) > EventSize(&want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLimitsHold(t *testing.T) {
	for name, r := range map[string]Result{
		"a verdict":   {Verdict: 4},
		"a cause":     {Verdict: Failed, Cause: 10},
		"a text":      {Verdict: Failed, Text: make([]byte, 65)},
		"a reason":    {Verdict: Keep, Reason: make([]byte, 65)},
		"emits":       {Verdict: Keep, Emits: make([]Emit, 4)},
		"emit bytes":  {Verdict: Keep, Emits: []Emit{{0, make([]byte, 60)}, {0, make([]byte, 60)}}},
		"a target":    {Verdict: Keep, Emits: []Emit{{Target: 2}}},
		"a metric":    {Verdict: Keep, Counts: []Count{{Metric: 2}}},
		"counts":      {Verdict: Keep, Counts: make([]Count, 3)},
		"lines":       {Verdict: Keep, Lines: make([]Line, 5)},
		"a line text": {Verdict: Keep, Lines: []Line{{0, make([]byte, 65)}}},
	} {
		var got Result
		if _, err := ReadResult(AppendResult(nil, &r), &got, limits); err == nil {
			t.Errorf("%s over the limit: %+v", name, got)
		}
	}
	var got Result
	if _, err := ReadResult([]byte{Keep, parts, 0, 0}, &got, limits); err == nil {
		t.Error("an unknown part")
	}
	for name, v := range map[string]Started{
		"paths":      {Paths: make([][]byte, 6)},
		"path bytes": {Paths: [][]byte{make([]byte, 30), make([]byte, 30)}},
		"a text":     {Text: []byte(strings.Repeat("x", 65))},
		"a cause":    {Failed: true, Cause: 11},
	} {
		if got, err := ReadStarted(AppendStarted(nil, &v), limits); err == nil {
			t.Errorf("%s over the limit: %+v", name, got)
		}
	}
}

// FuzzAnswers: whatever a worker sends, decoding ends, keeps within the limits, and what
// it accepts is what would be sent for it.
func FuzzAnswers(f *testing.F) {
	f.Add(AppendResult(nil, &Result{Verdict: Keep, Edits: []byte{1}, Emits: []Emit{{1, []byte(`{}`)}}, Counts: []Count{{1, 2}}, Lines: []Line{{4, []byte("x")}}}))
	f.Add(AppendResult(nil, &Result{Verdict: Failed, Cause: 3, Text: []byte("text")}))
	f.Add(AppendStarted(nil, &Started{Fuel: 3, Paths: [][]byte{[]byte("a.b")}}))
	f.Add([]byte{3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Result
		if rest, err := ReadResult(b, &r, limits); err == nil {
			total := 0
			for _, e := range r.Emits {
				if total += len(e.Data); e.Target >= limits.Targets {
					t.Errorf("target %d", e.Target)
				}
			}
			for _, c := range r.Counts {
				if c.Metric >= limits.Metrics {
					t.Errorf("metric %d", c.Metric)
				}
			}
			if len(r.Emits) > limits.Emits || total > limits.EmitBytes || len(r.Lines) > limits.Lines || len(r.Text) > limits.Text || len(r.Reason) > limits.Text {
				t.Errorf("over the limits: %+v", r)
			}
			var again Result
			if _, err := ReadResult(AppendResult(nil, &r), &again, limits); err != nil || len(rest) > len(b) {
				t.Errorf("%+v is not read again: %v", r, err)
			}
		}
		if v, err := ReadStarted(b, limits); err == nil && (len(v.Paths) > limits.Paths || int(v.Cause) >= limits.Causes) {
			t.Errorf("over the limits: %+v", v)
		}
		var e Event
		_, _ = ReadEvent(b, &e)
	})
}
