package hostfuncs

import (
	"bytes"
	"encoding/binary"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// A recording has the edits of one event in order, each as
//
//	code | place or path | arguments
//
// If the code has everyMatch set, the edit applies to all matches of a path, which is given by
// its handle. Otherwise it applies to the node at a place (document.Places). A text is preceded
// by its length. Lengths, handles and numbers are unsigned varints.
const (
	recordPut     = byte(edits) + iota // key, JSON
	recordReplace                      // JSON, no place
	recordMatches                      // operation, then for each node the number of matches, and for each match the number of bytes before it and in it

	everyMatch = 0x80
)

// recording stores edits for Replay. A nil recording stores nothing.
type recording struct {
	log  []byte
	last int      // start of the last edit
	full [][]byte // earlier pieces, which are not copied when the recording grows
}

// recordPiece is the size from which a recording continues in a new piece.
const recordPiece = 256 << 10

// Record makes the state store each event's edits for Recorded.
func (s *State) Record() { s.record = new(recording) }

// Recorded returns the event's edits so far, for Replay. They are valid until the next event
// begins.
func (s *State) Recorded() []byte {
	r := s.record
	if len(r.full) > 0 {
		r.log = bytes.Join(append(r.full, r.log), nil)
		r.full, r.last = nil, len(r.log)
	}
	return r.log
}

func (r *recording) reset() {
	if r != nil {
		r.log, r.full, r.last = r.log[:0], nil, 0
	}
}

// undo removes the edit that was begun.
func (r *recording) undo() {
	if r != nil {
		r.log = r.log[:r.last]
	}
}

func (r *recording) code(c byte) {
	if r != nil {
		if len(r.log) > recordPiece {
			r.full = append(r.full, r.log)
			r.log = make([]byte, 0, recordPiece+recordPiece/4)
		}
		r.last = len(r.log)
		r.log = append(r.log, c)
	}
}

func (r *recording) node(c byte, place []byte) {
	if r != nil {
		r.code(c)
		r.log = append(r.log, place...)
	}
}

// where returns the place of a node for an edit. Finding it costs fuel even without a
// recording, so that an event needs the same fuel everywhere. A Replay starts from a place and
// pays when it resolves it.
func (s *State) where(n document.Node) []byte {
	if s.tank.alone {
		return nil
	}
	s.placed = s.places.Append(s.placed[:0], s.doc, n)
	s.pay(s.places.Walked())
	return s.placed
}

func (r *recording) path(c byte, handle uint64) {
	if r != nil {
		r.code(c | everyMatch)
		r.log = binary.AppendUvarint(r.log, uint64(uint32(handle)))
	}
}

func (r *recording) number(n int) {
	if r != nil {
		r.log = binary.AppendUvarint(r.log, uint64(n))
	}
}

// bytes calls look while it copies a long text, since a copy to new memory takes milliseconds.
func (r *recording) bytes(b []byte, look func()) {
	if r == nil {
		return
	}
	r.log = binary.AppendUvarint(r.log, uint64(len(b)))
	if free := cap(r.log) - len(r.log); len(b) > max(free, recordPiece) {
		r.log = append(make([]byte, 0, len(r.log)+len(b)), r.log...)
	}
	for len(b) > recordPiece {
		r.log = append(r.log, b[:recordPiece]...)
		b = b[recordPiece:]
		look()
	}
	r.log = append(r.log, b...)
}

// edit stores the arguments of an edit.
func (r *recording) edit(e edit, arg []byte, number int, look func()) {
	switch e {
	case editJSON, editString, editPseudonym:
		r.bytes(arg, look)
	case editTruncate, editPartial:
		r.number(number)
	}
}

func (r *recording) findings(all []detect.Finding) {
	if r == nil {
		return
	}
	r.number(len(all))
	last := 0
	for _, f := range all {
		r.number(f.Start - last)
		r.number(f.End - f.Start)
		last = f.End
	}
}
