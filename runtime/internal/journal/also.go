package journal

import (
	"slices"

	"auditrelay"
)

// maxAlso limits the stored further provenances of one event, so that repetitions from ever new
// addresses cannot fill the journal.
const maxAlso = 16

// addProvenances records the provenances of the duplicates in out, if they are new. After an
// error nothing was written.
func (g *group) addProvenances(tx *Tx, out []Appended) error {
	type addition struct {
		key   []byte
		value []byte
	}
	var additions []addition
	for i, a := range out {
		if a.Status != Duplicate {
			continue
		}
		known, err := g.provenances(a.Sequence)
		if err != nil {
			return err
		}
		p := tx.events[i].provenance
		if slices.Contains(known, p) || len(known) > maxAlso {
			continue
		}
		key := alsoKey(a.Sequence, len(known)-1)
		period, _ := g.j.keyring.Load().at(a.Sequence)
		value, err := g.j.sealedValue(period, key, sealRecord(key, appendProvenance(nil, p)))
		if err != nil {
			return err
		}
		additions = append(additions, addition{key, value})
		if g.also == nil {
			g.also = map[uint64][]auditrelay.Provenance{}
		}
		g.also[a.Sequence] = append(g.also[a.Sequence], p)
	}
	for _, a := range additions {
		g.put(a.key, a.value)
	}
	return nil
}

// provenances returns all known provenances of an event, its original one first.
func (g *group) provenances(sequence uint64) ([]auditrelay.Provenance, error) {
	var known []auditrelay.Provenance
	if sequence >= g.frame.first {
		known = append(known, g.events[sequence-g.frame.first].provenance)
	} else {
		e, err := g.j.stored(sequence)
		if err != nil {
			return nil, err
		}
		also, err := g.j.also(sequence)
		if err != nil {
			return nil, err
		}
		known = append(append(known, e.Provenance), also...)
	}
	return append(known, g.also[sequence]...), nil
}

// AlsoFrom returns the provenances of equal events that arrived later, in order and at most 16.
// The event's own Provenance is the first one.
func (j *Journal) AlsoFrom(sequence uint64) ([]auditrelay.Provenance, error) {
	done, err := j.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	return j.also(sequence)
}

func (j *Journal) also(sequence uint64) ([]auditrelay.Provenance, error) {
	var all []auditrelay.Provenance
	err := j.scan(alsoKey(sequence, 0), sequenceKey(spaceAlso, sequence+1), func(k, v []byte) error {
		var r *reader
		v, err := j.value(k, v, nil)
		if err == nil {
			r, err = openRecord(k, v)
		}
		if err == nil {
			p := auditrelay.Provenance{Source: string(r.bytes()), Principal: string(r.bytes()), Address: string(r.bytes())}
			all, err = append(all, p), r.err
		}
		return j.damaged(sequence, sequence+1, err)
	})
	return all, err
}
