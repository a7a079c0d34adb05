package hostfuncs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
)

// Replay applies edits that were recorded in another process to documents of this process,
// under the same policy. It checks each edit and its grant as if a guest requested it here. It
// is not safe for concurrent use.
type Replay struct {
	state  *State
	places document.Places
	log    []byte
}

// NewReplay returns a Replay for recordings whose handles refer to these paths. The paths come
// from an untrusted process, so NewReplay returns an error if there are more than the policy
// allows or one is invalid.
func NewReplay(p *Policy, paths []string) (*Replay, error) {
	s := NewState(context.Background(), p)
	if len(paths) > p.Paths {
		return nil, fmt.Errorf("%d paths, at most %d", len(paths), p.Paths)
	}
	for _, text := range paths {
		parsed, err := document.ParsePath(text)
		if err != nil {
			return nil, fmt.Errorf("a path: %w", err)
		}
		s.paths = append(s.paths, path{parsed, text, names(p.Asked, parsed) && names(p.Granted, parsed)})
	}
	s.tank.alone = true
	return &Replay{state: s}, nil
}

// Pseudonym appends the pseudonym of a value under one of the policy's keys, and reports
// whether the policy has the key.
func (r *Replay) Pseudonym(dst []byte, key string, value []byte) ([]byte, bool) {
	p := r.state.keys[key]
	if p == nil {
		return dst, false
	}
	return p.Append(dst, value), true
}

// InternedPaths returns the paths that the guest interned, in the order of their handles.
func (s *State) InternedPaths() []string {
	all := make([]string, len(s.paths))
	for i := range s.paths {
		all[i] = s.paths[i].text
	}
	return all
}

var errRecording = errors.New("its record of edits cannot be read")

// Edit applies a recording to call's document and sets call.Touched. fuel limits the work; the
// guest paid for the same work. The error is always a *filter.Error. After an error some of the
// edits may be applied.
func (r *Replay) Edit(call *filter.Call, log []byte, fuel int64) (err error) {
	s := r.state
	defer func() {
		if p := recover(); p != nil {
			failure, ok := p.(*filter.Error)
			if !ok {
				panic(p)
			}
			err = failure
		}
		s.End()
		s.doc, r.log = nil, nil
	}()
	s.Begin(call)
	s.Fill(fuel, time.Hour)
	s.worked = s.work()
	s.function = "the record of edits"
	r.places.Reset()
	for r.log = log; len(r.log) > 0; {
		s.pay(unitsCall)
		if err := r.one(); err != nil {
			return &filter.Error{Cause: auditrelay.CauseProtocol, Err: err}
		}
		s.payWork()
		s.pay(r.places.Walked())
	}
	s.settle()
	call.Touched = s.touched
	return nil
}

// one applies the next edit.
func (r *Replay) one() error {
	s := r.state
	code := r.log[0]
	r.log = r.log[1:]
	if code&everyMatch != 0 {
		handle, ok := r.number()
		if !ok || handle < 1 || handle > len(s.paths) {
			return errRecording
		}
		r.places.Reset()
		return r.every(code&^everyMatch, uint64(handle))
	}
	if code == recordReplace {
		raw, ok := r.bytes()
		if !ok {
			return errRecording
		}
		s.replace(raw)
		r.places.Reset()
		return nil
	}
	n, rest, ok := r.places.Find(s.doc, r.log)
	if !ok || n == document.None {
		return errRecording
	}
	r.log = rest
	switch code {
	case recordPut:
		key, ok := r.bytes()
		raw, ok2 := r.bytes()
		if !ok || !ok2 || s.put(n, key, raw) != 0 {
			return errRecording
		}
	case recordMatches:
		operation, ok := r.operation()
		if !ok {
			return errRecording
		}
		s.allow(n)
		place := s.place(n)
		count, ok := r.found(n, operation)
		if !ok || count <= 0 {
			return errRecording
		}
		s.touch(place, matchName(operation), 1)
	default:
		e, arg, number, ok := r.edit(code)
		if !ok || s.edit(n, e, arg, number) != 0 {
			return errRecording
		}
	}
	return nil
}

// every applies an edit to all matches of a path.
func (r *Replay) every(code byte, handle uint64) error {
	s := r.state
	if code == recordMatches {
		operation, ok := r.operation()
		if !ok {
			return errRecording
		}
		whole := true
		s.each(handle, matchName(operation), func(n document.Node) bool {
			count, ok := r.found(n, operation)
			whole = whole && ok
			return count > 0
		})
		if !whole {
			return errRecording
		}
		return nil
	}
	e, arg, number, ok := r.edit(code)
	if !ok {
		return errRecording
	}
	s.all(make([]uint64, 1), handle, e, arg, number)
	return nil
}

// edit reads the arguments of an edit.
func (r *Replay) edit(code byte) (e edit, arg []byte, number int, ok bool) {
	e, ok = edit(code), true
	switch e {
	case editJSON, editString:
		arg, ok = r.bytes()
	case editPseudonym:
		if arg, ok = r.bytes(); ok {
			arg = r.state.key(arg)
		}
	case editTruncate, editPartial:
		number, ok = r.number()
	case editDelete, editMask:
	default:
		return 0, nil, 0, false
	}
	return e, arg, number, ok
}

func (r *Replay) operation() (int, bool) {
	n, ok := r.number()
	return n, ok && (n == matchMask || n == matchRemove)
}

// found redacts the recorded matches in the text of n, and returns their number. ok is false if
// they cannot be in that text.
func (r *Replay) found(n document.Node, operation int) (count int32, ok bool) {
	s := r.state
	many, ok := r.number()
	if !ok {
		return 0, false
	}
	if s.value, ok = text(s.value[:0], s.doc, n); !ok {
		return 0, many == 0
	}
	s.pay(len(s.value) / bytesPerUnit)
	s.findings = s.findings[:0]
	last := 0
	for range many {
		gap, ok := r.number()
		length, ok2 := r.number()
		if !ok || !ok2 || gap > len(s.value)-last || length > len(s.value)-last-gap {
			return 0, false
		}
		s.pay(unitsFinding)
		s.findings = append(s.findings, detect.Finding{Start: last + gap, End: last + gap + length})
		last += gap + length
	}
	return s.redactFound(n, operation), true
}

func (r *Replay) number() (int, bool) {
	v, size := binary.Uvarint(r.log)
	if size <= 0 || v > 1<<31-1 {
		return 0, false
	}
	r.log = r.log[size:]
	return int(v), true
}

func (r *Replay) bytes() ([]byte, bool) {
	n, ok := r.number()
	if !ok || n > len(r.log) {
		return nil, false
	}
	b := r.log[:n:n]
	r.log = r.log[n:]
	return b, true
}
