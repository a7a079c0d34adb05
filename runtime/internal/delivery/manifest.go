package delivery

import (
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// maxAmendments limits one manifest.
const maxAmendments = 1000

func (s *State) amendmentKey(number uint64) journal.Key {
	return journal.MetaKey(fmt.Sprintf("amendment/%s/%020d", s.ID, number))
}

// amend stores the replacement of a payload until a manifest contains it. It has its own
// record, since one bad chunk can cause thousands. of is a sequence in the payload's period.
func (l *Lane) amend(tx *journal.Tx, of uint64, a auditrelay.Amendment) error {
	value, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode an amendment of callback %s: %w", l.state.LaneName(), err)
	}
	tx.SetAbout(of, l.state.amendmentKey(a.Number), value)
	l.state.Amends++
	return nil
}

// takeAmendments reads the oldest stored amendments and removes them in tx.
func (l *Lane) takeAmendments(tx *journal.Tx) ([]auditrelay.Amendment, error) {
	if l.state.Amends == 0 {
		return nil, nil
	}
	var amends []auditrelay.Amendment
	err := l.journal.Scan(l.state.amendmentKey(0), l.state.amendmentKey(^uint64(0)), func(k journal.Key, value []byte) error {
		if len(amends) == maxAmendments {
			return errStop
		}
		var a auditrelay.Amendment
		if err := json.Unmarshal(value, &a); err != nil {
			return fmt.Errorf("decode an amendment of callback %s: %w", l.state.LaneName(), err)
		}
		amends = append(amends, a)
		tx.Delete(l.state.amendmentKey(a.Number))
		return nil
	})
	if err != nil && err != errStop {
		return nil, err
	}
	// Amendments of a transaction that is not committed yet are not read here and stay counted.
	l.state.Amends -= len(amends)
	return amends, nil
}

// SealAmendments writes a manifest that contains only the replacements of rejected payloads.
func (l *Lane) SealAmendments(tx *journal.Tx, now time.Time, at Place) error {
	before := l.state.Amends
	m := auditrelay.Manifest{From: l.state.Cursor, To: l.state.Cursor}
	if err := l.sealManifest(tx, m, at, sealing{chunk: l.state.Cursor, of: l.journal.Head().Next, oldest: now}); err != nil {
		return err
	}
	if l.state.Amends == before {
		l.state.Amends = 0 // there are none, so do not request this action again
	}
	return l.state.put(tx)
}

// sealManifest writes the manifest of the current seal, if the sink keeps manifests. It
// includes the replacements of earlier payloads since the last manifest.
func (l *Lane) sealManifest(tx *journal.Tx, m auditrelay.Manifest, at Place, s sealing) error {
	amends, err := l.takeAmendments(tx)
	if err != nil {
		return err
	}
	keeper, ok := at.Sink.(auditrelay.Manifester)
	if !ok {
		return nil
	}
	m.Callback, m.Journal, m.Replay = at.Callback, at.Journal, at.Replay
	m.Number, m.Previous, m.Amends = l.state.Number+1, l.state.LastSum, amends
	if a := l.state.Attested; a.Size > 0 {
		m.Checkpoint = &auditrelay.ManifestCheckpoint{Size: a.Size, Root: a.Root}
	}
	p, err := renderManifest(keeper, m)
	if err != nil {
		return fmt.Errorf("render a manifest of callback %s: %w", l.state.LaneName(), err)
	}
	s.manifest = true
	p.Sequences = nil
	entries, err := l.sealPayloads(tx, []auditrelay.Payload{p}, make([]payloadMarks, 1), s)
	if err != nil {
		return err
	}
	l.state.LastSum = entries[0].StoredDigest
	return nil
}

// originsOf groups records by origin, in the order of each origin's first record. A record
// extends its origin's range if the previous record has the same origin.
func originsOf(records []auditrelay.Record) (all []auditrelay.ManifestOrigin) {
	type origin struct{ namespace, source, principal string }
	index := map[origin]int{}
	var before origin
	at := -1 // index of the previous record's origin in all
	for i := range records {
		r := &records[i]
		from := origin{r.Namespace, r.Source, r.Principal}
		if at >= 0 && from == before {
			ranges := all[at].Sequences
			ranges[len(ranges)-1][1] = r.Sequence
			continue
		}
		known, ok := index[from]
		if at = known; !ok {
			at = len(all)
			index[from] = at
			all = append(all, auditrelay.ManifestOrigin{Namespace: r.Namespace, Source: r.Source, Principal: r.Principal})
		}
		before = from
		all[at].Sequences = append(all[at].Sequences, [2]uint64{r.Sequence, r.Sequence})
	}
	return all
}

func renderManifest(keeper auditrelay.Manifester, m auditrelay.Manifest) (p auditrelay.Payload, err error) {
	defer recoverInto(&err, "the sink's RenderManifest")
	return keeper.RenderManifest(m)
}
