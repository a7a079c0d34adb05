package delivery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Seal writes the result of a batch into tx: outcomes, dead letters, tombstones, emitted
// records, payloads, the manifest, the cursor. After the commit the filters never run again for
// these events. It completes the action that requested the batch.
func (l *Lane) Seal(tx *journal.Tx, now time.Time, a *Assembled, at Place) error {
	l.taking, l.deadTaken = false, nil
	l.takeTries, l.takeAfter = 0, time.Time{}
	l.leaked(now, a.Judged)
	if a.Held == nil {
		l.recover(now)
	} else {
		l.takeTries = 1
		l.takeAfter = now.Add(l.pause(1, 0))
		l.fail(now, "filter", a.Held)
	}
	l.sealFrame(tx, now, a)
	if a.dead() {
		return l.sealDead(tx, now, a, at)
	}
	if a.From != l.state.Cursor {
		return fmt.Errorf("seal a chunk of callback %s: it starts at %d, the cursor is at %d", l.state.LaneName(), a.From, l.state.Cursor)
	}

	ordinals := a.ordinals()
	var runs []run
	counts := map[string]uint64{}
	reasons := map[string]uint64{}
	for i := range a.Judged {
		j := &a.Judged[i]
		runs = appendRun(runs, run{first: j.Event.Sequence, count: 1, outcome: j.Outcome, cause: j.Cause,
			filter: j.Filter, reason: j.Reason, payload: ordinals[i]})
		counts[j.Outcome.String()]++
		if j.Cause != auditrelay.CauseNone {
			reasons[string(j.Cause)]++
			l.cause(j.Cause)
		}
		if j.Outcome != auditrelay.Delivered || at.Sink == nil {
			l.state.Counts.add(j.Outcome, 1)
		}
		if j.Outcome == auditrelay.DeadLettered {
			l.state.SetAside++
			if err := l.putDeadLetter(tx, newDeadLetter(j, now)); err != nil {
				return err
			}
		}
		l.emit(tx, j, at)
	}

	l.countTried(a.Judged)
	if len(a.Judged) > 0 {
		record, err := json.Marshal(chunkRecord{From: a.From, To: a.To, At: now, Number: l.state.Number + 1,
			Payloads: len(a.payloads), Runs: encodeRuns(runs)})
		if err != nil {
			return fmt.Errorf("encode a chunk of callback %s: %w", l.state.LaneName(), err)
		}
		tx.SetAbout(a.From, journal.ChunkKey(l.state.ID, a.From), record)
	}
	oldest := now
	if len(a.Judged) > 0 {
		oldest = a.Judged[0].Event.Received
	}
	entries, err := l.sealPayloads(tx, a.payloads, a.marks, sealing{chunk: a.From, of: a.of(), oldest: oldest})
	if err != nil {
		return err
	}
	if len(a.payloads) > 0 || l.state.Amends > 0 {
		m := auditrelay.Manifest{From: a.From, To: a.To, Counts: counts, Reasons: reasons, Payloads: entries, Origins: a.origins}
		if err := l.sealManifest(tx, m, at, sealing{chunk: a.From, of: a.of(), oldest: oldest}); err != nil {
			return err
		}
	}

	if err := l.stateSealed(tx, a, ordinals); err != nil {
		return err
	}
	l.state.Cursor, l.dueTo = a.To, max(l.dueTo, a.Due)
	l.state.Taken += uint64(len(a.Judged))
	l.state.Bytes += a.Bytes
	l.firstSeen = time.Time{}
	return l.state.put(tx)
}

// ordinals returns for each of Judged the number of its payload, from 1; 0 if it is in none.
func (a *Assembled) ordinals() []uint64 {
	ordinals := make([]uint64, len(a.Judged))
	for i := range a.payloads {
		a.each(&a.payloads[i], func(_, at int) { ordinals[at] = uint64(i + 1) })
	}
	return ordinals
}

// sealDead seals dead letters that were processed again.
func (l *Lane) sealDead(tx *journal.Tx, now time.Time, a *Assembled, at Place) error {
	handled := make(map[uint64]bool, len(a.Dead))
	for _, s := range a.Dead {
		handled[s] = true
	}
	l.dequeue(handled)
	for i := range a.Judged {
		j := &a.Judged[i]
		d, err := loadDeadLetter(l.journal, l.state.ID, j.Event.Sequence)
		if err != nil {
			return err
		}
		if d == nil || d.Resolved != auditrelay.Pending {
			return fmt.Errorf("seal a dead letter of callback %s: sequence %d was resolved meanwhile", l.state.LaneName(), j.Event.Sequence)
		}
		switch j.Outcome {
		case auditrelay.Delivered:
			if at.Sink == nil {
				l.resolve(d, auditrelay.Delivered, now)
			} else {
				d.Sealed = true
			}
		case auditrelay.DeadLettered:
			d.again(j, now)
		default:
			l.resolve(d, j.Outcome, now)
			d.Cause, d.Filter, d.Reason = j.Cause, j.Filter, j.Reason
		}
		if err := l.putDeadLetter(tx, d); err != nil {
			return err
		}
	}
	entries, err := l.sealPayloads(tx, a.payloads, a.marks, sealing{dead: true, of: a.of(), oldest: now})
	if err != nil {
		return err
	}
	if err := l.stateSealed(tx, a, a.ordinals()); err != nil {
		return err
	}
	if len(entries) > 0 {
		if err := l.sealManifest(tx, auditrelay.Manifest{Payloads: entries, Origins: a.origins}, at, sealing{dead: true, of: a.of(), oldest: now}); err != nil {
			return err
		}
	}
	return l.state.put(tx)
}

// cause counts why an event was not delivered.
func (l *Lane) cause(c auditrelay.Cause) { l.causes(c, 1) }

func (l *Lane) causes(c auditrelay.Cause, n uint64) {
	if l.state.Causes == nil {
		l.state.Causes = map[auditrelay.Cause]uint64{}
	}
	l.state.Causes[c] += n
}

// emit appends the records that a filter emitted for one event, as events. Their ids derive
// from their origin. So if a chunk is processed again after a crash before its seal, the
// journal stores each record once.
func (l *Lane) emit(tx *journal.Tx, j *Judged, at Place) {
	if l.state.Replay != nil && !l.state.Replay.Emit {
		return
	}
	hops := 1
	if j.Event.Emission != nil {
		hops = j.Event.Emission.Hops + 1
	}
	for _, e := range j.Emitted {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s\x00%s\x00%d\x00%s",
			at.Journal, j.Event.Sequence, l.state.LaneName(), e.Filter, e.Ordinal, e.Target))
		tx.Append(auditrelay.Event{
			Namespace: auditrelay.NamespaceEmitted, ID: hex.EncodeToString(sum[:16]),
			Time: j.Event.Time, TimeFrom: j.Event.TimeFrom, Action: j.Event.Action,
			Provenance: auditrelay.Provenance{Source: "guest", Principal: l.state.Callback + "/" + e.Filter},
			Emission: &auditrelay.Emission{Target: e.Target, Callback: l.state.Callback, Filter: e.Filter,
				Sequence: j.Event.Sequence, Ordinal: e.Ordinal, Hops: hops},
			Data: e.Data,
		})
	}
}

// sealing holds the common properties of the payloads of one seal.
type sealing struct {
	chunk    uint64
	dead     bool
	manifest bool
	// set for a bundle of proofs
	proof     bool
	proofFrom uint64
	of        uint64 // a sequence in their period
	oldest    time.Time
	origin    uint64 // the payload that these replace
}

// sealPayloads numbers the payloads and writes them. It writes the body only if the payload is
// not joined.
func (l *Lane) sealPayloads(tx *journal.Tx, payloads []auditrelay.Payload, marks []payloadMarks, s sealing) ([]auditrelay.ManifestPayload, error) {
	entries := make([]auditrelay.ManifestPayload, 0, len(payloads))
	for i, p := range payloads {
		m := marks[i]
		l.state.Number++
		payloads[i].Number = l.state.Number
		meta := payloadMeta{Number: l.state.Number, Chunk: s.chunk, Manifest: s.manifest, Dead: s.dead,
			Key: p.Key, Headers: p.Headers, Digest: p.Digest,
			Records: encodeSequences(p.Sequences, func(i int) bool { return m.tombstone[i] }),
			First:   m.first, Last: m.last, Events: m.events, Tombstones: m.tombstones,
			Size: int64(len(p.Body)), Oldest: s.oldest, Origin: s.origin}
		if s.manifest {
			meta.Of, meta.Proof, meta.ProofFrom = s.of, s.proof, s.proofFrom
		}
		if m.joined {
			sum := crc32.Checksum(p.Body, castagnoli)
			meta.Joined = &sum
		} else {
			tx.SetAbout(s.of, journal.BodyKey(l.state.ID, meta.Number), p.Body)
		}
		value, err := json.Marshal(&meta)
		if err != nil {
			return nil, fmt.Errorf("encode a payload of callback %s: %w", l.state.LaneName(), err)
		}
		tx.SetAbout(s.of, journal.PayloadKey(l.state.ID, meta.Number), value)
		l.pending = append(l.pending, &pending{payloadMeta: meta, fresh: true})
		stored := p.Sum
		if stored == ([sha256.Size]byte{}) {
			stored = sha256.Sum256(p.Body)
		}
		if !s.proof { // the log does not record bundles of proofs; otherwise it would grow without end
			tx.SetAbout(s.of, journal.StatementKey(l.state.ID, meta.Number), l.statement(&meta, stored, m.outcomes))
		}
		entries = append(entries, auditrelay.ManifestPayload{Number: meta.Number, Key: p.Key, Records: len(p.Sequences),
			Tombstones: int(m.tombstones), Digest: p.Digest, StoredDigest: hex.EncodeToString(stored[:])})
	}
	return entries, nil
}

// Mend reports that the journal records the lane's progress again after a failure.
func (l *Lane) Mend(now time.Time) {
	l.takeTries, l.takeAfter = 0, time.Time{}
	l.recover(now)
}

// Retake retries a failed take at once, since its cause is gone.
func (l *Lane) Retake(now time.Time) {
	l.takeTries, l.takeAfter = 0, time.Time{}
	l.recover(now)
}

// Resting reports before the first take that a filter pauses: opening the lane anew does not
// make it healthy. It does not stop the lane; the first take determines the state.
func (l *Lane) Resting(now time.Time, err error) {
	l.takeTries = 1
	l.fail(now, "filter", err)
}

// Untake reports that a take failed. Nothing was sealed, and the lane takes the range again
// after a pause.
func (l *Lane) Untake(now time.Time, err error) {
	l.taking, l.deadTaken = false, nil
	l.takeTries++
	if errors.Is(err, journal.ErrFull) {
		l.shrink = min(l.shrink+1, maxShrink)
	}
	l.takeAfter = now.Add(l.pause(l.takeTries, 0))
	l.fail(now, "filter", err)
}
