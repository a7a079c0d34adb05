package delivery

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/proof"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// BenchmarkProofs measures the cost of the logs for an event of 0.9 KB: at acceptance the
// digest of the body and the leaf; on a callback the commitment to the receipt, the entry and
// the leaf, and their writes to a transaction. The runner computes a record's digest, which the
// receipt needs too; it is measured separately, as digest.
func BenchmarkProofs(b *testing.B) {
	data := make([]byte, 900)
	b.Run("accept", func(b *testing.B) {
		var entry [proof.AcceptedBytes]byte
		var sum proof.Hash
		for i := range b.N {
			digest := sha256.Sum256(data)
			a := proof.Accepted{Sequence: uint64(i), Commitment: proof.Commit(proof.Salt{}, digest)}
			sum = proof.NodeHash(sum, proof.LeafHash(a.Append(entry[:0])))
		}
	})
	b.Run("digest", func(b *testing.B) {
		for range b.N {
			data[0] = sha256.Sum256(data)[0]
		}
	})
	b.Run("deliver", func(b *testing.B) {
		j, err := journal.Open("j", journal.Options{FS: vfs.NewMem(), AnchorEvery: -1})
		if err != nil {
			b.Fatal(err)
		}
		defer j.Close()
		const n = 1000
		tx := new(journal.Tx)
		for i := range n {
			tx.Append(auditrelay.Event{Namespace: "b", ID: fmt.Sprint(i), Data: data})
		}
		if _, err := j.Commit(tx); err != nil {
			b.Fatal(err)
		}
		codec, err := receipts.NewCodec()
		if err != nil {
			b.Fatal(err)
		}
		at := Place{Proofs: j, Lane: "l", Receipts: codec}
		trail := receipts.Trail{{Filter: "no-secrets", Description: filter.Description{Kind: "redact", Digest: "0123456789abcdef"}}}
		a := &Assembled{Batch: Batch{From: 1, To: n + 1}}
		p := auditrelay.Payload{Key: "k"}
		var records []auditrelay.Record
		for i := range n {
			e := &auditrelay.Event{Sequence: uint64(i + 1), Received: time.Unix(0, 0), Data: data}
			a.Judged = append(a.Judged, Judged{Event: e, Outcome: auditrelay.Delivered, Trail: trail, Data: data, Sum: sha256.Sum256(data)})
			records = append(records, auditrelay.Record{Sequence: e.Sequence, Data: data})
			p.Sequences = append(p.Sequences, e.Sequence)
		}
		a.payloads, a.marks = []auditrelay.Payload{p}, make([]payloadMarks, 1)
		l := &Lane{journal: j, state: State{ID: "l", Log: j.Identity().Incarnation}}
		if l.tree, err = j.OpenTree("t"); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for done := 0; done < b.N; done += n {
			a.rendered = records
			if err := a.state(at); err != nil {
				b.Fatal(err)
			}
			value := l.statement(&payloadMeta{Number: 1, Key: "k"}, sha256.Sum256(nil), a.marks[0].outcomes)
			entries, err := proof.SplitEntries(value)
			if err != nil {
				b.Fatal(err)
			}
			if err := l.states(new(journal.Tx), 1, n, entries...); err != nil {
				b.Fatal(err)
			}
		}
	})
}
