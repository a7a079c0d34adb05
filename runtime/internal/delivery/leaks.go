package delivery

import (
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/gate"
)

// leaks checks the payloads that the sink made of a chunk, and names the records that leak; nil
// if there are none. If a payload contains several records, leaks renders each alone to find
// the leaking ones. This works for every format and does not rely on the sink. An error means
// that the leaking record is unknown, so the chunk must not be sent.
func leaks(inspector *gate.Inspector, sink auditrelay.Sink, chunk auditrelay.Chunk, payloads []auditrelay.Payload) (*auditrelay.RecordErrors, error) {
	if inspector == nil {
		return nil, nil
	}
	records := make(map[uint64]*auditrelay.Record, len(chunk.Records))
	for i := range chunk.Records {
		records[chunk.Records[i].Sequence] = &chunk.Records[i]
	}
	found := new(auditrelay.RecordErrors)
	for i := range payloads {
		p := &payloads[i]
		in := make([]auditrelay.Record, len(p.Sequences))
		for k, s := range p.Sequences {
			in[k] = *records[s]
		}
		err := inspector.Payload(p, in)
		if err == nil {
			continue
		}
		blamed := len(found.Records)
		if len(in) == 1 {
			blame(found, &in[0], err)
		} else {
			for k := range in {
				blame(found, &in[k], alone(inspector, sink, chunk, in[k]))
			}
		}
		if len(found.Records) == blamed {
			return nil, withheld(err)
		}
	}
	if len(found.Records) == 0 {
		return nil, nil
	}
	return found, nil
}

// withheld is the error of a chunk or payload whose leaking record is unknown.
func withheld(err error) error {
	return &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured,
		Err: fmt.Errorf("what the sink made is held back, and no single record is to blame: %w", err)}
}

// blame adds a record to found if err is a leak in it. A tombstone contains no event data, so
// it cannot leak.
func blame(found *auditrelay.RecordErrors, r *auditrelay.Record, err error) {
	leak, ok := errors.AsType[*gate.Leak](err)
	if !ok || r.Tombstone {
		return
	}
	found.Records = append(found.Records, auditrelay.RecordError{Sequence: r.Sequence, Cause: leak.Cause, Err: leak})
}

// alone renders one record alone and checks the result.
func alone(inspector *gate.Inspector, sink auditrelay.Sink, chunk auditrelay.Chunk, r auditrelay.Record) error {
	chunk.Records = []auditrelay.Record{r}
	payloads, err := render(sink, chunk)
	if err != nil {
		return err
	}
	for i := range payloads {
		if err := inspector.Payload(&payloads[i], chunk.Records); err != nil {
			return err
		}
	}
	return nil
}

// quiet is how long a lane counts as withholding after its last leak. Otherwise the alert would
// come and go with every chunk.
const quiet = time.Hour

// leaked records that must_not_leave dead-lettered events of a chunk.
func (l *Lane) leaked(now time.Time, judged []Judged) {
	for i := range judged {
		if judged[i].Cause == auditrelay.CauseLeak {
			l.state.Leaked = now
			break
		}
	}
}

// withholding reports whether the alert still applies.
func (l *Lane) withholding(now time.Time) bool {
	return !l.state.Leaked.IsZero() && now.Before(l.state.Leaked.Add(quiet))
}
