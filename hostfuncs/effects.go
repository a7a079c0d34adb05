package hostfuncs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
)

// emit stores a record for a callback. Records take effect with the verdict.
func emit(s *State, m api.Memory, a []uint64) {
	name, data := s.bytes(m, a[0], a[1]), s.bytes(m, a[2], a[3])
	if !s.policy.Emit[string(name)] {
		s.fail(auditrelay.CauseRejectedOutput, "this callback is not among grants.emit")
	}
	if len(s.emitted) == s.policy.EmitCount {
		s.fail(auditrelay.CauseRejectedOutput, fmt.Sprintf("more than %d records for one event", s.policy.EmitCount))
	}
	if s.emitBytes += len(data); s.emitBytes > s.policy.EmitBytes {
		s.fail(auditrelay.CauseRejectedOutput, fmt.Sprintf("the records for one event come to more than %d bytes", s.policy.EmitBytes))
	}
	s.prepay(2 * len(data)) // checked and copied
	if err := document.CheckAtPace(data, s.policy.Document, s.glimpse); err != nil {
		s.fail(auditrelay.CauseRejectedOutput, err.Error())
	}
	s.emitted = append(s.emitted, filter.Emit{Target: string(name), Data: bytes.Clone(data)})
	result(a, 0)
}

// reason stores the guest's reason. The last call wins.
func reason(s *State, m api.Memory, a []uint64) {
	s.reason = s.text(s.bytes(m, a[0], a[1]))
	result(a, 0)
}

func config(s *State, m api.Memory, a []uint64) {
	s.buffer(m, a[0], a[1])
	if len(s.policy.Config) == 0 {
		result(a, Absent)
		return
	}
	s.answer(m, a, a[0], a[1], s.policy.Config)
}

func configFind(s *State, _ api.Memory, a []uint64) {
	p := s.path(a[0])
	if len(s.policy.Config) == 0 {
		result(a, Absent)
		return
	}
	result(a, s.handle(&s.config, s.config.Find(p.Path)))
}

func sequence(s *State, _ api.Memory, a []uint64) { a[0] = s.call.Event.Sequence }

func received(s *State, _ api.Memory, a []uint64) {
	a[0] = api.EncodeI64(s.call.Event.Received.UnixNano())
}

// logLine logs a line, unless the guest has logged too many.
func logLine(s *State, m api.Memory, a []uint64) {
	text := s.bytes(m, a[1], a[2])
	level := slog.LevelInfo
	switch int32(uint32(a[0])) {
	case 0:
		level = slog.LevelDebug
	case 2:
		level = slog.LevelWarn
	case 3:
		level = slog.LevelError
	}
	s.pay(unitsLog)
	s.log(level, text)
	result(a, 0)
}

// withheld replaces a log line that contains a value that must_not_leave forbids.
const withheld = "(withheld: must_not_leave)"

func (s *State) log(level slog.Level, text []byte) {
	if s.Say != nil {
		s.Say(level, func() string { return s.text(text) })
		return
	}
	s.policy.Log.Say(s, s.call, level, func() string { return s.text(text) })
}

// Say logs a line of a guest, unless there are too many. call is nil if the line is not about
// an event.
func (l *LogLimit) Say(ctx context.Context, call *filter.Call, level slog.Level, text func() string) {
	if l == nil || !l.Logger.Enabled(ctx, level) {
		return
	}
	omitted, ok := l.allow()
	if !ok {
		return
	}
	said := text()
	if call != nil && call.Leaks != nil && call.Leaks([]byte(said)) {
		said = withheld
	}
	attrs := []slog.Attr{slog.String("text", said)}
	if call != nil {
		attrs = append(attrs, slog.Uint64("sequence", call.Event.Sequence))
	}
	if omitted > 0 {
		attrs = append(attrs, slog.Int("omitted_before", omitted))
	}
	l.Logger.LogAttrs(ctx, level, "guest says", attrs...)
}

// counted is what one event adds to a metric.
type counted struct {
	to *atomic.Uint64
	n  uint64
}

// Counted calls each for every metric that the guest has counted for the current event.
func (s *State) Counted(each func(to *atomic.Uint64, n uint64)) {
	for _, c := range s.counted {
		each(c.to, c.n)
	}
}

// count adds to a metric of the operator. Like records it takes effect with the verdict, so
// that an event that is processed again counts once.
func count(s *State, m api.Memory, a []uint64) {
	to := s.policy.Metrics[string(s.bytes(m, a[0], a[1]))]
	if to == nil {
		s.fail(auditrelay.CauseRejectedOutput, "this metric is not among those that the manifest asks for and grants.metrics names")
	}
	n := uint64(uint32(a[2]))
	i := slices.IndexFunc(s.counted, func(c counted) bool { return c.to == to })
	if i < 0 {
		s.counted = append(s.counted, counted{to: to, n: n})
	} else {
		s.counted[i].n += n
	}
	result(a, 0)
}

// failWith ends the call. At the start the guest's text is the error's text. For an event the
// text may contain event data, so it becomes the reason, and the error only refers to it.
func failWith(s *State, m api.Memory, a []uint64) {
	text := s.text(s.bytes(m, a[0], a[1]))
	if s.turn != AtEvent {
		panic(&filter.Error{Cause: auditrelay.CauseInit, Err: errors.New(text)})
	}
	s.reason = text
	panic(&filter.Error{Cause: auditrelay.CauseFail, Err: errors.New("the guest called fail; its words are kept as the reason")})
}

func has(s *State, m api.Memory, a []uint64) {
	truth(a, s.policy.Has[string(s.bytes(m, a[0], a[1]))])
}
