package verify

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/tlog"
)

// Proven is what a proof file proves.
type Proven struct {
	Origin    string `json:"origin"`
	Callback  string `json:"callback"` // the lane
	Sequence  uint64 `json:"sequence"`
	Outcome   string `json:"outcome"`
	Delivered string `json:"delivered"` // nothing, record, tombstone, possible record or possible tombstone; possible: it may have arrived
	Digest    string `json:"sha256,omitempty"`
	// Besides is a second delivery with other content that may also have arrived. It is nil if
	// the proof discloses none.
	Besides  *Possible `json:"besides,omitempty"`
	Accepted time.Time `json:"accepted,omitzero"` // proved by the log of accepted events

	Event   *proof.EventHead   `json:"event,omitempty"`   // proved if its data is shown
	Receipt *proof.ReceiptText `json:"receipt,omitempty"` // proved

	// Came and Went report whether the shown document is the event as received, and as
	// delivered.
	Came bool `json:"came,omitempty"`
	Went bool `json:"went,omitempty"`
}

// Possible is a delivery attempt without an answer. Either exactly this content arrived, or
// nothing.
type Possible struct {
	Delivered string `json:"delivered"` // possible record or possible tombstone
	Digest    string `json:"sha256,omitempty"`
	Went      bool   `json:"went,omitempty"` // the shown document is this content
}

// deliveredNames are the names of the values of an outcome's Delivered.
var deliveredNames = map[byte]string{proof.Nothing: "nothing", proof.Record: "record", proof.Tombstone: "tombstone",
	proof.PossibleRecord: "possible record", proof.PossibleTombstone: "possible tombstone"}

// Known reports whether the shown document is what was received, was delivered, or may have
// been delivered.
func (p *Proven) Known() bool { return p.Came || p.Went || p.Besides != nil && p.Besides.Went }

// FileOptions are the inputs for checking a proof file.
type FileOptions struct {
	Keys []string
	// Document, if not nil, is compared with what was received and what was delivered.
	Document []byte
}

// FileError describes a fault of a proof file. Its category is Unreadable or Forged.
type FileError struct {
	Category Category
	Err      error
}

func (e *FileError) Error() string { return e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

// File checks a proof file. A *FileError describes a fault of the file itself.
func File(text []byte, o FileOptions) (*Proven, error) {
	keys, err := NewKeys(o.Keys)
	if err != nil {
		return nil, err
	}
	f, err := proof.ParseFile(text)
	if err != nil {
		return nil, &FileError{Unreadable, err}
	}
	p, err := proven(f, keys, o)
	if err != nil {
		return nil, &FileError{Forged, err}
	}
	return p, nil
}

// proven checks the content of a proof file.
func proven(f *proof.File, keys *Keys, o FileOptions) (*Proven, error) {
	c, err := keys.Open(f.Checkpoint)
	if err != nil {
		return nil, err
	}
	e, err := proof.ParseEvidence(f.Extra)
	if err != nil {
		return nil, err
	}
	if f.Index >= c.Size || tlog.CheckRecord(f.Hashes, int64(c.Size), c.Root, int64(f.Index), proof.LeafHash(e.Entry)) != nil {
		return nil, errors.New("the outcome is not in the signed log")
	}
	entry, err := proof.ParseEntry(e.Entry)
	outcome, ok := entry.(proof.Outcome)
	if err != nil || !ok {
		return nil, errors.New("the leaf is not the outcome of an event")
	}
	if outcome.Outcome == 0 {
		return nil, errors.New("the leaf has no outcome: another leaf has it")
	}
	journal, incarnation, lane, err := proof.ParseOrigin(c.Origin)
	if err != nil || lane == "" {
		return nil, errors.New("the log is not that of a callback")
	}
	p := &Proven{Origin: c.Origin, Callback: lane, Sequence: outcome.Sequence, Outcome: outcomeNames[outcome.Outcome],
		Delivered: deliveredNames[outcome.Delivered]}
	if outcome.Digest != zero {
		p.Digest = fmt.Sprintf("%x", outcome.Digest[:])
	}
	if o.Document != nil {
		p.Went = outcome.Digest != zero && sha256.Sum256(line(o.Document)) == outcome.Digest
	}
	if err := p.besides(c, e, outcome, o.Document); err != nil {
		return nil, err
	}
	if err := p.accepted(keys, e, outcome, proof.Origin(journal, incarnation, ""), o.Document); err != nil {
		return nil, err
	}
	if len(e.Statement) > 0 {
		if proof.Commit(e.ReceiptSalt, sha256.Sum256(e.Statement)) != outcome.Receipt {
			return nil, errors.New("the receipt does not match the log")
		}
		r, err := proof.ParseReceipt(e.Statement, e.Trail)
		if err != nil {
			return nil, errors.New("the receipt cannot be read")
		}
		p.Receipt = &r
	}
	return p, nil
}

// besides checks the part of the evidence about a possible delivery. If the outcome delivered
// nothing, the possible delivery becomes p.Delivered.
func (p *Proven) besides(c proof.Checkpoint, e *proof.Evidence, outcome proof.Outcome, document []byte) error {
	if len(e.Possible) == 0 {
		return nil
	}
	entry, err := proof.ParseEntry(e.Possible)
	possible, ok := entry.(proof.Outcome)
	if err != nil || !ok || possible.Sequence != outcome.Sequence || !possible.IsPossible() {
		return errors.New("the possible delivery belongs to another event")
	}
	if e.PossibleIndex >= c.Size || tlog.CheckRecord(e.PossibleHashes, int64(c.Size), c.Root, int64(e.PossibleIndex), proof.LeafHash(e.Possible)) != nil {
		return errors.New("the possible delivery is not in the signed log")
	}
	b := Possible{Delivered: deliveredNames[possible.Delivered]}
	if possible.Digest != zero {
		b.Digest = fmt.Sprintf("%x", possible.Digest[:])
		b.Went = document != nil && sha256.Sum256(line(document)) == possible.Digest
	}
	if outcome.Delivered == proof.Nothing {
		p.Delivered, p.Digest, p.Went = b.Delivered, b.Digest, b.Went
		return nil
	}
	p.Besides = &b
	return nil
}

// line returns a document as a record, without the final line feed.
func line(document []byte) []byte {
	if n := len(document); n > 0 && document[n-1] == '\n' {
		return document[:n-1]
	}
	return document
}

// accepted checks the part of the evidence about the event as received.
func (p *Proven) accepted(keys *Keys, e *proof.Evidence, outcome proof.Outcome, origin string, document []byte) error {
	if len(e.Accepted) == 0 {
		return nil
	}
	entry, err := proof.ParseEntry(e.Accepted)
	a, ok := entry.(proof.Accepted)
	if err != nil || !ok || a.Sequence != outcome.Sequence || proof.LeafHash(e.Accepted) != outcome.Accepted {
		return errors.New("the accepted event does not belong to the outcome")
	}
	c, err := keys.Open(e.AcceptedHead)
	if err != nil {
		return fmt.Errorf("the log of accepted events: %w", err)
	}
	if c.Origin != origin || e.AcceptedIndex >= c.Size ||
		tlog.CheckRecord(e.AcceptedHashes, int64(c.Size), c.Root, int64(e.AcceptedIndex), proof.LeafHash(e.Accepted)) != nil {
		return errors.New("the event is not in the signed log of accepted events")
	}
	p.Accepted = time.Unix(0, a.Received).UTC()
	for _, data := range [][]byte{document, line(document)} {
		if document == nil {
			break
		}
		body := append(append([]byte{}, e.Head...), data...)
		if proof.Commit(e.AcceptedSalt, sha256.Sum256(body)) == a.Commitment {
			p.Came = true
			if head, err := proof.ParseHead(e.Head); err == nil {
				p.Event = &head
			}
			break
		}
	}
	return nil
}
