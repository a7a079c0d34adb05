package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// refuseID answers with err while the payload contains a record with that id.
func refuseID(id string, err error) func(auditrelay.Payload) error {
	return func(p auditrelay.Payload) error {
		if bytes.Contains(p.Body, []byte(`"id":"`+id+`"`)) {
			return err
		}
		return nil
	}
}

func tenEvents() []string {
	var events []string
	for i := range 10 {
		events = append(events, event(fmt.Sprint("e", i), "created"))
	}
	return events
}

// TestRefusedRecordStandsAlone: a permanently refused payload is halved until the invalid
// record is alone. Without Split its neighbours are dead-lettered with it.
func TestRefusedRecordStandsAlone(t *testing.T) {
	cases := []struct {
		name     string
		split    bool
		err      error
		cause    auditrelay.Cause
		deadWant uint64
	}{
		{"refused, with Split", true, refuse(auditrelay.Refused), auditrelay.CauseRefused, 1},
		{"too large, with Split", true, refuse(auditrelay.TooLarge), auditrelay.CauseTooLarge, 1},
		{"refused, without Split", false, refuse(auditrelay.Refused), auditrelay.CauseRefused, 10},
		{"named by Deliver", false, &auditrelay.RecordErrors{Records: []auditrelay.RecordError{{Sequence: 7, Cause: auditrelay.CauseTooLarge, Err: errors.New("too long")}}},
			auditrelay.CauseTooLarge, 1},
		{"named by Deliver without a cause", false, &auditrelay.RecordErrors{Records: []auditrelay.RecordError{{Sequence: 7, Err: errors.New("odd")}}},
			auditrelay.CauseRefused, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mem := &memorySink{}
			mem.deliver = func(p auditrelay.Payload) error {
				err := refuseID("e6", c.err)(p)
				if _, partial := errors.AsType[*auditrelay.RecordErrors](err); partial {
					rest := p // all other records are delivered
					rest.Sequences = append(append([]uint64(nil), p.Sequences[:6]...), p.Sequences[7:]...)
					lines := bytes.SplitAfter(p.Body, []byte("\n"))
					rest.Body = bytes.Join(append(append([][]byte(nil), lines[:6]...), lines[7:]...), nil)
					mem.mu.Lock()
					mem.objects = map[string]auditrelay.Payload{p.Key: rest}
					mem.mu.Unlock()
				}
				return err
			}
			var sink auditrelay.Sink = mem
			if !c.split {
				sink = whole{mem}
			}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
			submit(t, r, tenEvents()...)
			settle(t, r)
			want := runtime.Account{Assigned: 10, Delivered: 10 - c.deadWant, DeadLettered: c.deadWant, Balanced: true}
			if got := account(t, r, "archive"); got != want {
				t.Errorf("account\n got %+v\nwant %+v", got, want)
			}
			lines := mem.lines()
			if ts := asTombstone(t, lines[7]); ts.Cause != string(c.cause) || len(lines) != 10 {
				t.Errorf("%d records, tombstone %+v", len(lines), ts)
			}
			end := ending(t, r, "e6", "archive")
			if end.Outcome != auditrelay.DeadLettered || end.Cause != c.cause || !end.Tombstone || end.Error == "" {
				t.Errorf("explained: %+v", end)
			}
			if c.deadWant == 1 {
				if end := ending(t, r, "e5", "archive"); end.Outcome != auditrelay.Delivered || end.Tombstone || end.Key == "" {
					t.Errorf("its neighbour: %+v", end)
				}
			}
			d, err := r.DeadLetter(t.Context(), "archive", 7)
			if err != nil || string(d.Data) != event("e6", "created") {
				t.Errorf("dead letter: %s, %v", d.Data, err)
			}
		})
	}
}

// TestRenderRefusesRecords: records that the sink cannot format are dead-lettered, and the
// others are delivered.
func TestRenderRefusesRecords(t *testing.T) {
	bad := func(c auditrelay.Chunk) (sequence uint64, alone bool) {
		for _, r := range c.Records {
			if r.ID == "e6" {
				return r.Sequence, len(c.Records) == 1
			}
		}
		return 0, false
	}
	cases := []struct {
		name   string
		render func(c auditrelay.Chunk) error
		cause  auditrelay.Cause
	}{
		{"by name", func(c auditrelay.Chunk) error {
			if s, _ := bad(c); s != 0 {
				return &auditrelay.RecordErrors{Records: []auditrelay.RecordError{{Sequence: s, Cause: auditrelay.CauseTooLarge, Err: errors.New("too long")}}}
			}
			return nil
		}, auditrelay.CauseTooLarge},
		{"without saying which", func(c auditrelay.Chunk) error {
			if s, _ := bad(c); s != 0 {
				return errors.New("cannot format")
			}
			return nil
		}, auditrelay.CauseRender},
		{"by a panic", func(c auditrelay.Chunk) error {
			if s, _ := bad(c); s != 0 {
				panic(string(c.Records[0].Data))
			}
			return nil
		}, auditrelay.CauseRender},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sink := &memorySink{render: c.render}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
			submit(t, r, tenEvents()...)
			settle(t, r)
			want := runtime.Account{Assigned: 10, Delivered: 9, DeadLettered: 1, Balanced: true}
			if got := account(t, r, "archive"); got != want {
				t.Errorf("account\n got %+v\nwant %+v", got, want)
			}
			lines := sink.lines()
			if ts := asTombstone(t, lines[7]); ts.Cause != string(c.cause) || len(lines) != 10 {
				t.Errorf("%d records, tombstone %+v", len(lines), ts)
			}
			if d, err := r.DeadLetter(t.Context(), "archive", 7); err != nil || strings.Contains(d.Error, "s3cr3t") {
				t.Errorf("dead letter: %+v, %v", d, err)
			}
		})
	}
}

// hugeSink renders one event to more than the journal seals at a time.
type hugeSink struct {
	memorySink
	body []byte
}

func (s *hugeSink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	payloads, err := s.memorySink.Render(c)
	for _, r := range c.Records {
		if r.ID == "e6" {
			payloads[0].Body = s.body
		}
	}
	return payloads, err
}

// TestAnEventOfWhichTheSinkMakesTooMuch: a payload that can never be sealed is dead-lettered,
// and the callback continues.
func TestAnEventOfWhichTheSinkMakesTooMuch(t *testing.T) {
	sink := &hugeSink{body: make([]byte, 385<<20)} // never touched: it takes no memory
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, tenEvents()...)
	settle(t, r)
	want := runtime.Account{Assigned: 10, Delivered: 9, DeadLettered: 1, Balanced: true}
	if got := account(t, r, "archive"); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	d, err := r.DeadLetter(t.Context(), "archive", 7)
	if err != nil || d.Cause != auditrelay.CauseRender || !strings.Contains(d.Error, "bytes of it, at most 402653184 fit") {
		t.Errorf("dead letter: %+v, %v", d, err)
	}
	if lines := sink.lines(); len(lines) != 10 || asTombstone(t, lines[7]).Cause != string(auditrelay.CauseRender) {
		t.Errorf("%d records", len(lines))
	}
}

// brokenSink breaks the contract of Render or Split until it is repaired.
type brokenSink struct {
	memorySink
	fixed atomic.Bool
	spoil func([]auditrelay.Payload) []auditrelay.Payload
	split bool // break Split, not Render
}

func (s *brokenSink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p, err := s.memorySink.Render(c)
	if err == nil && !s.split && !s.fixed.Load() {
		p = s.spoil(p)
	}
	return p, err
}

func (s *brokenSink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	first, second, err = s.memorySink.Split(p)
	if s.split && !s.fixed.Load() {
		halves := s.spoil([]auditrelay.Payload{first, second})
		first, second = halves[0], halves[1]
	}
	return first, second, err
}

// TestSinkThatBreaksItsContractHoldsTheChunk: if Render or Split loses, doubles or invents a
// record, this is detected before anything is sealed.
func TestSinkThatBreaksItsContractHoldsTheChunk(t *testing.T) {
	cases := []struct {
		name  string
		split bool
		spoil func([]auditrelay.Payload) []auditrelay.Payload
	}{
		{"Render loses a record", false, func(p []auditrelay.Payload) []auditrelay.Payload {
			p[0].Sequences = p[0].Sequences[1:]
			return p
		}},
		{"Render renders nothing", false, func([]auditrelay.Payload) []auditrelay.Payload { return nil }},
		{"Render doubles a payload", false, func(p []auditrelay.Payload) []auditrelay.Payload { return append(p, p[0]) }},
		{"Render makes up a record", false, func(p []auditrelay.Payload) []auditrelay.Payload {
			p[0].Sequences = append(p[0].Sequences, 99)
			return p
		}},
		{"Render adds an empty payload", false, func(p []auditrelay.Payload) []auditrelay.Payload {
			return append(p, auditrelay.Payload{Key: "empty"})
		}},
		{"Render turns the order around", false, func(p []auditrelay.Payload) []auditrelay.Payload {
			s := p[0].Sequences
			s[0], s[len(s)-1] = s[len(s)-1], s[0]
			return p
		}},
		{"Split loses a record", true, func(p []auditrelay.Payload) []auditrelay.Payload {
			p[0].Sequences = p[0].Sequences[1:]
			return p
		}},
		{"Split loses the last record", true, func(p []auditrelay.Payload) []auditrelay.Payload {
			p[1].Sequences = p[1].Sequences[:len(p[1].Sequences)-1]
			return p
		}},
		{"Split gives an empty half", true, func(p []auditrelay.Payload) []auditrelay.Payload {
			p[0].Sequences = nil
			return p
		}},
		{"Split panics", true, func([]auditrelay.Payload) []auditrelay.Payload { panic("no") }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sink := &brokenSink{spoil: c.spoil, split: c.split}
			if c.split {
				sink.deliver = refuseID("e6", refuse(auditrelay.Refused))
			}
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
			submit(t, r, tenEvents()...)
			s := await(t, r, "archive", "degraded", func(s runtime.CallbackStatus) bool {
				return s.State == runtime.StateDegraded && s.Account.Pending == 10
			})
			if !s.Account.Balanced || s.LastError == "" || len(sink.lines()) != 0 {
				t.Errorf("while it is broken: %+v", s)
			}
			sink.fixed.Store(true)
			settle(t, r)
			want := runtime.Account{Assigned: 10, Delivered: 10, Balanced: true}
			if c.split {
				want.Delivered, want.DeadLettered = 9, 1
			}
			if got := account(t, r, "archive"); got != want {
				t.Errorf("account\n got %+v\nwant %+v", got, want)
			}
			if n := len(sink.lines()); n != 10 {
				t.Errorf("%d records at the destination, want 10", n)
			}
		})
	}
}

// TestATombstoneIsTooLarge: a destination, or a proxy before it, that calls even a tombstone too
// large refuses every event alike. The callback stalls after few dead letters, and sends the rest
// once the limit is corrected.
func TestATombstoneIsTooLarge(t *testing.T) {
	sink := &memorySink{deliver: func(auditrelay.Payload) error { return refuse(auditrelay.TooLarge) }}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, tenEvents()...)
	s := await(t, r, "archive", "misconfigured", inState(runtime.StateMisconfigured))
	if s.Account.DeadLettered != 1 || s.Account.Pending != 9 || !strings.Contains(s.LastError, "says the destination: even a tombstone of ") {
		t.Errorf("status: %+v", s)
	}
	sink.set(nil)
	if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	want := runtime.Account{Assigned: 11, Delivered: 10, DeadLettered: 1, Balanced: true}
	if got := account(t, r, "archive"); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	if n := len(sink.lines()); n != 11 {
		t.Errorf("%d records are there, want 9 events, a tombstone, and the own record of Resume", n)
	}
}
