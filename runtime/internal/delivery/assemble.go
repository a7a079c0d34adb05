package delivery

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
	"auditrelay/internal/proof"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/journal"
)

// Judged is the result of the filters for one assigned event.
type Judged struct {
	Event *auditrelay.Event
	// Outcome is Filtered, DeadLettered, Discarded or Skipped, or Delivered for an event that
	// must be delivered.
	Outcome auditrelay.Outcome
	Cause   auditrelay.Cause
	Filter  string // the filter that decided or failed
	Reason  string // the filter's explanation
	Err     error  // the failure, if there was one
	Data    []byte // the final document if Outcome is Delivered
	// IDChanged reports that filters removed or changed the id in Data.
	IDChanged bool
	Emitted   []Emitted

	// For the receipt; zero if no filter ran.
	Trail         receipts.Trail
	Input, Output receipts.Digest
	// Sum is the SHA-256 of Data for the log of delivered records; zero if it is unknown.
	Sum [sha256.Size]byte
}

// Emitted is a record that a filter emitted to another callback.
type Emitted struct {
	Target  string
	Filter  string
	Ordinal int
	Data    []byte
}

// Batch is a range of the journal, or a set of dead letters, after the filters.
type Batch struct {
	From, To uint64   // half-open range; both 0 for dead letters
	Bytes    uint64   // size of all events in the range
	Dead     []uint64 // the processed dead letters, including those resolved meanwhile
	Judged   []Judged
	// Due is set if the chunk was cut because memory was short: it is the end of the whole
	// chunk. The rest is taken at once. 0: the chunk was not cut.
	Due uint64
	// Held is why the next events could not be processed now; nil if nothing prevents it. If it
	// is set, sealing the batch does not make the lane healthy.
	Held error
}

func (b *Batch) dead() bool { return b.To == 0 }

// of returns a sequence in the period of the batch. A batch has one period only, since events
// that are read together have the same period.
func (b *Batch) of() uint64 {
	if b.dead() && len(b.Judged) > 0 {
		return b.Judged[0].Event.Sequence
	}
	return b.From
}

// Assembled is a batch with its payloads. It is ready to be sealed.
type Assembled struct {
	Batch
	payloads []auditrelay.Payload
	marks    []payloadMarks
	frame    *receipts.Sealed // nil if there are no receipts
	outcomes []proof.Outcome  // the outcomes for the log, by index in Judged
	rendered []auditrelay.Record
	origins  []auditrelay.ManifestOrigin // origins of the rendered records, if the sink keeps manifests
}

// Sealed returns the batch's payloads as Load does, without its manifest. Call it after the
// transaction of Seal is committed.
func (a *Assembled) Sealed() []auditrelay.Payload {
	for i := range a.payloads {
		a.payloads[i].Sum = [sha256.Size]byte{}
	}
	return a.payloads
}

// payloadMarks is what the engine knows about a payload's records.
type payloadMarks struct {
	events, tombstones uint64
	tombstone          []bool // by record
	first, last        uint64
	outcomes           []proof.Outcome // the outcomes for the log, by record
	joined             bool            // the body consists of the stored events: see joined.go
}

// Place describes the lane for which a batch is assembled.
type Place struct {
	Callback string
	Journal  string
	Replay   string
	Sink     auditrelay.Sink // nil if there is none
	// TombstoneKey keys the digests of ids in tombstones.
	TombstoneKey []byte
	// Gate checks the sink's payloads; nil: no check. The documents have already passed it.
	Gate *gate.Gate
	// Format formats tombstones for the destination, as it formatted the documents; nil: no
	// format.
	Format *format.Formatter
	// Receipts writes the receipts of the batch; nil: no receipts.
	Receipts *receipts.Codec
	Config   string // digest of the callback's configuration, for receipts
	// Proofs has the leaves of accepted events, and the salts. If it is nil, the outcomes refer
	// to neither.
	Proofs *journal.Journal
	Lane   string // the lane's id
}

// Assemble renders the events of b that must be delivered, and tombstones for dead-lettered and
// discarded events. A record that the sink rejects, or whose payload the gate rejects, becomes
// a dead letter. An error means that the sink cannot render at all, or that the leaking record
// is unknown. Nothing of the batch is lost then.
func Assemble(b Batch, at Place) (*Assembled, error) {
	a := &Assembled{Batch: b}
	if at.Sink != nil {
		if err := a.render(at); err != nil {
			return nil, err
		}
	}
	if at.Receipts != nil && len(a.Judged) > 0 {
		a.frame = at.Receipts.EncodeEach(at.Config, len(a.Judged), func(i int) receipts.Receipt { return receiptOf(&a.Judged[i]) })
	}
	return a, a.state(at)
}

// render makes the payloads. It changes the outcome of events that cannot be delivered.
func (a *Assembled) render(at Place) error {
	r := rendering{Assembled: a, at: at, inspector: at.Gate.Inspector(), buried: map[uint64]bool{}, bare: map[uint64]bool{}}
	for {
		chunk := auditrelay.Chunk{Callback: at.Callback, Journal: at.Journal, From: a.From, To: a.To, Replay: at.Replay, MediaType: at.Format.MediaType(), Records: r.records()}
		if len(chunk.Records) == 0 {
			r.rendered = nil
			return nil
		}
		refused, err := r.once(chunk)
		if err == nil && refused != nil && !r.setAside(refused) {
			err = fmt.Errorf("the sink refuses records that are not in it: %w", refused)
		}
		if err != nil {
			return fmt.Errorf("render a chunk of callback %s: %w", at.Callback, err)
		}
		if refused == nil {
			return nil
		}
	}
}

// rendering is the state of rendering a batch. Each round passes fewer records to the sink.
type rendering struct {
	*Assembled
	at        Place
	inspector *gate.Inspector
	buried    map[uint64]bool // tombstones that the sink rejects too
	bare      map[uint64]bool // own records that keep little of their content
	isolated  bool            // each record has already been rendered alone
}

// records returns the records and tombstones that the batch delivers now.
func (r *rendering) records() []auditrelay.Record {
	records := make([]auditrelay.Record, 0, len(r.Judged))
	for i := range r.Judged {
		j := &r.Judged[i]
		switch {
		case j.Outcome == auditrelay.Delivered:
			one := record(j.Event, j.Data)
			one.IDChanged = j.IDChanged
			if r.at.Format != nil {
				one.Mapping = nil // the mapping only fits the document before the format
			}
			records = append(records, one)
		case (j.Outcome == auditrelay.DeadLettered || j.Outcome == auditrelay.Discarded) &&
			!r.dead() && !r.buried[j.Event.Sequence]:
			records = append(records, r.at.Format.Tombstone(newTombstone(j.Event, j.Outcome, j.Cause, r.at.TombstoneKey)))
		}
	}
	return records
}

// once renders and checks a chunk. It returns the records that cannot be delivered, or nil if
// the payloads are complete.
func (r *rendering) once(chunk auditrelay.Chunk) (*auditrelay.RecordErrors, error) {
	payloads, err := render(r.at.Sink, chunk)
	if err == nil {
		marks, err := check(chunk.Records, payloads)
		if err != nil {
			return nil, err
		}
		if size(payloads) > maxRendered {
			return tooLarge(r.at.Sink, chunk), nil
		}
		refused, err := leaks(r.inspector, r.at.Sink, chunk, payloads)
		if err == nil && refused == nil {
			r.payloads, r.marks, r.rendered = payloads, marks, chunk.Records
		}
		return refused, err
	}
	refused, ok := errors.AsType[*auditrelay.RecordErrors](err)
	if !ok && !r.isolated {
		// The sink failed on the whole chunk and named no record. Find the bad records by
		// rendering each one alone.
		r.isolated = true
		refused = isolate(r.at.Sink, chunk)
		ok = len(refused.Records) < len(chunk.Records)
	}
	if !ok || len(refused.Records) == 0 {
		return nil, err
	}
	return refused, nil
}

// maxRendered limits the size of a chunk's payloads in bytes. One journal transaction (512 MiB)
// must hold them together with the records that guests emitted (64 MiB) and the log entries. A
// larger chunk could never be sealed, and its callback would retry for ever.
const maxRendered = 384 << 20

// size returns the bytes of the payloads in the journal, without their log entries.
func size(payloads []auditrelay.Payload) (n int) {
	for i := range payloads {
		p := &payloads[i]
		n += len(p.Key) + len(p.Body) + 8*len(p.Sequences)
		for k, v := range p.Headers {
			n += len(k) + len(v)
		}
	}
	return n
}

// tooLarge names the records of a chunk that do not fit into one seal: those that are too large
// alone, or else those after the first ones that fit.
func tooLarge(sink auditrelay.Sink, chunk auditrelay.Chunk) *auditrelay.RecordErrors {
	refused, fit := new(auditrelay.RecordErrors), 0
	for _, r := range chunk.Records {
		alone := chunk
		alone.Records = []auditrelay.Record{r}
		payloads, err := render(sink, alone)
		n := size(payloads)
		switch {
		case err != nil:
		case n > maxRendered:
			err = fmt.Errorf("the sink makes %d bytes of it, at most %d fit", n, maxRendered)
		case fit+n > maxRendered:
			err = fmt.Errorf("the sink makes over %d bytes of its chunk: set chunk.bytes lower and replay it", maxRendered)
		default:
			fit += n
		}
		if err != nil {
			refused.Records = append(refused.Records, auditrelay.RecordError{Sequence: r.Sequence, Cause: auditrelay.CauseRender, Err: err})
		}
	}
	if last := len(chunk.Records) - 1; len(refused.Records) == 0 { // together they are larger than the sum of the single ones
		refused.Records = append(refused.Records, auditrelay.RecordError{Sequence: chunk.Records[last].Sequence, Cause: auditrelay.CauseRender,
			Err: fmt.Errorf("the sink makes over %d bytes of its chunk: set chunk.bytes lower and replay it", maxRendered)})
	}
	return refused
}

// setAside removes rejected records from the chunk. It reports whether it found one.
func (r *rendering) setAside(refused *auditrelay.RecordErrors) bool {
	bySequence := make(map[uint64]*Judged, len(r.Judged))
	for i := range r.Judged {
		bySequence[r.Judged[i].Event.Sequence] = &r.Judged[i]
	}
	progress := false
	for _, f := range refused.Records {
		j := bySequence[f.Sequence]
		switch {
		case j == nil:
		case j.Outcome == auditrelay.Delivered && j.Event.Namespace == auditrelay.NamespaceRelay && !r.bare[f.Sequence]:
			// An own record continues with little of its content.
			r.bare[f.Sequence] = true
			j.Data, j.Output = Bare(j.Event), receipts.Digest{}
			progress = true
		case j.Outcome == auditrelay.Delivered:
			j.Outcome, j.Cause, j.Err, j.Data = auditrelay.DeadLettered, cmp.Or(f.Cause, auditrelay.CauseRender), f.Err, nil
			progress = true
		case !r.buried[f.Sequence]:
			r.buried[f.Sequence] = true
			progress = true
		}
	}
	return progress
}

func record(e *auditrelay.Event, data []byte) auditrelay.Record {
	return auditrelay.Record{Sequence: e.Sequence, Namespace: e.Namespace, ID: e.ID, Time: e.Time,
		TimeFrom: e.TimeFrom, Received: e.Received, Action: e.Action, Source: e.Provenance.Source, Principal: e.Provenance.Principal, Mapping: e.Mapping, Data: data}
}

// render calls the sink and turns its panic into an error.
func render(sink auditrelay.Sink, chunk auditrelay.Chunk) (payloads []auditrelay.Payload, err error) {
	defer recoverInto(&err, "the sink's Render")
	return sink.Render(chunk)
}

// recoverInto turns a panic into the error of the deferring function. It reports only the type
// of the panic value, since the value may contain event data.
func recoverInto(err *error, where string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s panicked with a %T", where, p)
	}
}

// isolate renders every record alone and names those that fail.
func isolate(sink auditrelay.Sink, chunk auditrelay.Chunk) *auditrelay.RecordErrors {
	refused := new(auditrelay.RecordErrors)
	for _, r := range chunk.Records {
		alone := chunk
		alone.Records = []auditrelay.Record{r}
		if _, err := render(sink, alone); err != nil {
			refused.Records = append(refused.Records, auditrelay.RecordError{Sequence: r.Sequence, Cause: auditrelay.CauseRender, Err: err})
		}
	}
	return refused
}

// check verifies the sink's contract: every record is in exactly one payload, in order. Without
// the check, a sink could lose a record silently.
func check(records []auditrelay.Record, payloads []auditrelay.Payload) ([]payloadMarks, error) {
	taken := make([]bool, len(records))
	seen := 0
	marks := make([]payloadMarks, len(payloads))
	for n, p := range payloads {
		if len(p.Sequences) == 0 {
			return nil, errors.New("the sink's Render made a payload that holds no record")
		}
		m := &marks[n]
		m.tombstone = make([]bool, len(p.Sequences))
		previous := -1
		for i, s := range p.Sequences {
			at, ok := placeOf(records, s, previous+1)
			if !ok || taken[at] {
				return nil, fmt.Errorf("the sink's Render put record %d into two payloads, or made it up", s)
			}
			if at <= previous {
				return nil, fmt.Errorf("the sink's Render put record %d out of order", s)
			}
			previous = at
			taken[at] = true
			seen++
			if i == 0 {
				m.first = s
			}
			m.first, m.last = min(m.first, s), max(m.last, s)
			if records[at].Tombstone {
				m.tombstone[i] = true
				m.tombstones++
			} else {
				m.events++
			}
		}
	}
	if seen != len(records) {
		return nil, fmt.Errorf("the sink's Render left out %d of %d records", len(records)-seen, len(records))
	}
	return marks, nil
}

// placeOf returns the index of a sequence in records, which are ordered by sequence. It tries
// next first.
func placeOf(records []auditrelay.Record, sequence uint64, next int) (at int, ok bool) {
	if next < len(records) && records[next].Sequence == sequence {
		return next, true
	}
	return slices.BinarySearchFunc(records, sequence, func(r auditrelay.Record, s uint64) int { return cmp.Compare(r.Sequence, s) })
}
