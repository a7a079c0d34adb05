package hostfuncs

import (
	"bytes"
	"encoding/binary"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// A recording is the edits of one event in order, each as
//
//	code | place or path | what the edit takes
//
// The code of an edit of all matches of a path has everyMatch set and names the path by
// its handle; any other names a node by its place (document.Places). Texts follow their
// length; lengths, handles and numbers are unsigned varints.
const (
	recordPut     = byte(edits) + iota // key, JSON
	recordReplace                      // JSON, no place
	recordMatches                      // operation, then for each node: how many, and for each the bytes before it and its own

	everyMatch = 0x80
)

// recording keeps edits for Replay. A nil one keeps nothing.
type recording struct {
	log  []byte
	last int      // where the last one begins
	full [][]byte // what came before, in pieces: none is copied to grow
}

// recordPiece is from which size on a recording goes on in a new piece.
const recordPiece = 256 << 10

// Record makes the state keep each event's edits, for Recorded.
func (s *State) Record() { s.record = new(recording) }

// Recorded returns the edits of the event so far, as Replay takes them. They are valid
// until the next one begins.
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

// undo takes back the edit that was begun.
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

// where returns the place of a node that is about to be edited. To find it costs fuel
// whether or not anybody wants to know, so that an event takes the same everywhere. A
// Replay, which comes from a place, pays on the way.
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

// bytes calls look while it copies what is long: that takes milliseconds where the memory is
// new to the process.
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

// edit keeps what an edit takes.
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
