package journal

import "errors"

// kindNames are the names of the kinds of values for users.
var kindNames = [kindEnd]string{
	KindLane: "states of callbacks", KindChunk: "sealed chunks", KindPayload: "payloads", KindBody: "bodies of payloads", KindReceipt: "outcomes of payloads",
	KindDeadLetter: "dead letters", KindMeta: "other values", KindModule: "uploaded modules", KindPiece: "parts of uploaded modules", KindSelection: "selected modules",
	KindFrame: "receipts", KindDeadFrame: "receipts of dead letters", KindQuarantine: "quarantine", KindText: "texts that receipts name", KindLeaf: "hashes of leaves",
	KindNode: "hashes of tiles", KindEntry: "entries of logs", KindStatement: "statements of payloads", KindResolved: "ended dead letters", KindSpan: "spans of logs",
}

// Check reads all values of the journal except its events. For each kind with a damaged value
// it calls fn once, with the first damage. Erased values are not damage. An error means that
// Check could not continue.
func (j *Journal) Check(fn func(what string, err error)) error {
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	found := func(what string, err error) error {
		if !errors.Is(err, ErrCorrupt) {
			return err
		}
		fn(what, err)
		return nil
	}
	for _, own := range []struct {
		space byte
		what  string
	}{{spaceOwn, "state"}, {spaceFrame, "index of ids"}, {spaceAlso, "further provenances of events"}, {spaceIDs, "index of older ids"}} {
		err := j.scan([]byte{own.space}, []byte{own.space + 1}, func(_, _ []byte) error { return nil })
		if err := found(own.what, err); err != nil {
			return err
		}
	}
	for kind := KindLane; kind < kindEnd; kind++ {
		from, to := All(kind)
		var scratch []byte
		err := j.scan(from, to, func(k, v []byte) error {
			plain, err := j.value(k, v, scratch)
			if errors.Is(err, ErrErased) {
				return nil
			}
			scratch = larger(scratch, plain, v)
			return j.valueError("check", err)
		})
		if err := found(kindNames[kind], err); err != nil {
			return err
		}
	}
	return nil
}
