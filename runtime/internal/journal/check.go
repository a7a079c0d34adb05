package journal

import "errors"

// kindNames are for who reads what is damaged, in the order of the kinds.
var kindNames = [...]string{"states of callbacks", "sealed chunks", "payloads", "bodies of payloads", "outcomes of payloads", "dead letters", "other values",
	"uploaded modules", "parts of uploaded modules", "selected modules", "receipts", "receipts of dead letters", "quarantine", "texts that receipts name",
	"hashes of leaves", "hashes of tiles", "entries of logs", "statements of payloads", "ended dead letters", "spans of logs"}

// Check reads all values that the journal holds but its events, and calls fn for each kind
// of them of which a value is not what was written, with the first such. What is erased is
// none. The error says that it could not look.
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
		if err := found(kindNames[kind-KindLane], err); err != nil {
			return err
		}
	}
	return nil
}
