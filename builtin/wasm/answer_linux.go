package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/wire"
	"auditrelay/document"
	"auditrelay/filter"
)

// take applies the worker's results for events. lie reports a violation of the protocol. The
// results before it are still valid.
func (i *remote) take(calls []filter.Call, verdicts []auditrelay.Verdict, answer []byte) (decided int, err, lie error) {
	if len(answer) < 4 {
		return 0, nil, errors.New("it ends too early")
	}
	count := int(binary.LittleEndian.Uint32(answer))
	answer = answer[4:]
	if count < 1 || count > len(calls) {
		return 0, nil, fmt.Errorf("it has results for %d events, expected 1 to %d", count, len(calls))
	}
	limits := i.module.wireLimits()
	// Parse everything before applying anything, so that nothing is applied twice.
	rest := answer
	for k := range count {
		if rest, err = wire.ReadResult(rest, &i.result, limits); err != nil {
			return k, nil, err
		}
		if i.result.Verdict == wire.Failed && k < count-1 {
			return k, nil, errors.New("it has results after a failure")
		}
		if err := i.check(&i.result); err != nil {
			return k, nil, err
		}
	}
	if len(rest) > 0 {
		return count - 1, nil, errors.New("it has data after the results")
	}
	rest = answer
	for k := range count {
		rest, _ = wire.ReadResult(rest, &i.result, limits)
		if verdicts[k], err = i.one(&calls[k], &i.result); err != nil {
			return k, err, nil
		}
	}
	return count, nil, nil
}

// check checks a result as far as this does not depend on the event's document.
func (i *remote) check(r *wire.Result) error {
	for _, e := range r.Emits {
		if err := document.Check(e.Data, i.module.policy.Document); err != nil {
			return fmt.Errorf("a record: %w", err)
		}
	}
	return nil
}

// one applies the worker's result for one event.
func (i *remote) one(call *filter.Call, r *wire.Result) (auditrelay.Verdict, error) {
	m := i.module
	call.Reason = plain(r.Reason, maxText)
	call.Usage = filter.Usage{Fuel: min(r.Fuel, m.fuelOf(call)+m.limits.InitFuel), Memory: min(r.Memory, int64(m.limits.Memory))}
	i.say(call, r.Lines)
	if r.Verdict == wire.Failed {
		text := plain(r.Text, maxErrorText)
		if call.Leaks != nil && call.Leaks([]byte(text)) {
			text = "(withheld: must_not_leave)"
		}
		cause := causes[r.Cause]
		i.claimed = cause == auditrelay.CauseWallTime
		return auditrelay.NoVerdict, &filter.Error{Cause: cause, Err: errors.New(text), Final: cause == auditrelay.CausePanic}
	}
	if len(r.Edits) > 0 {
		if err := i.replay.Edit(call, r.Edits, m.fuelOf(call)); err != nil {
			// An honest worker has made the same checks, so this one lies.
			i.lane.Process.Kill("its edits were invalid")
			return auditrelay.NoVerdict, err
		}
		from := len(i.touched)
		i.touched = append(i.touched, call.Touched...)
		call.Touched = i.touched[from:len(i.touched):len(i.touched)]
	}
	for _, e := range r.Emits {
		call.Emitted = append(call.Emitted, filter.Emit{Target: m.workers.targets[e.Target], Data: append([]byte(nil), e.Data...)})
	}
	for _, c := range r.Counts {
		m.policy.Metrics[m.workers.metrics[c.Metric]].Add(min(c.N, maxCount))
	}
	if r.Verdict == wire.Drop {
		return auditrelay.Drop, nil
	}
	return auditrelay.Keep, nil
}

// maxCount limits what one event may add to a metric.
const maxCount = 1 << 40

// say logs the lines of a guest.
func (i *remote) say(call *filter.Call, lines []wire.Line) {
	for _, l := range lines {
		i.module.policy.Log.Say(context.Background(), call, slog.Level(l.Level), func() string { return plain(l.Text, maxText) })
	}
}

// plain makes a worker's text safe to show: valid, short, and without control characters except
// line feeds.
func plain(text []byte, most int) string {
	clean := strings.ToValidUTF8(string(text[:min(len(text), most)]), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return '\uFFFD'
	}, clean)
}

// wireLimits returns the limits of a worker's answers.
func (m *Module) wireLimits() wire.Limits {
	return wire.Limits{Causes: len(causes), Text: 2 * maxErrorText, Emits: m.limits.EmitCount, EmitBytes: int(m.limits.EmitBytes),
		Targets: len(m.policy.Emit), Metrics: len(m.policy.Metrics), Lines: maxLines, Paths: m.policy.Paths, PathBytes: maxPathBytes}
}

const (
	maxLines     = 64      // lines that a worker reports for one event
	maxPathBytes = 1 << 20 // all paths that a guest interns
)
