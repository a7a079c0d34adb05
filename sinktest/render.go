package sinktest

import (
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"testing"

	"auditrelay"
)

func renderIsPure(t *testing.T, kit Kit) {
	sink := open(t, kit)
	chunk := chunkOf(kit, 1, 40)
	before := cloneChunk(chunk)
	first := render(t, sink, chunk)
	if !reflect.DeepEqual(chunk, before) {
		t.Error("Render changed the chunk")
	}
	for range 5 {
		if again := render(t, sink, chunk); !reflect.DeepEqual(first, again) {
			t.Fatal("the same chunk gave different payloads")
		}
	}
	shut(t, sink)
	if again := render(t, open(t, kit), chunk); !reflect.DeepEqual(first, again) {
		t.Fatal("the same chunk gave different payloads after a restart")
	}
}

func renderCovers(t *testing.T, kit Kit) {
	chunk := chunkOf(kit, 100, 40)
	payloads, err := open(t, kit).Render(chunk)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]string{}
	keys := map[string]bool{}
	for _, p := range payloads {
		if p.Key == "" || keys[p.Key] {
			t.Errorf("the key %q is empty or used twice", p.Key)
		}
		keys[p.Key] = true
		if p.Number != 0 {
			t.Error("Render set a payload's number: that is the engine's")
		}
		if len(p.Digest) != 64 {
			t.Errorf("the digest %q is no SHA-256 in hex", p.Digest)
		}
		if p.Sum != ([sha256.Size]byte{}) && p.Sum != sha256.Sum256(p.Body) {
			t.Errorf("the sum of %s is not its body's SHA-256", p.Key)
		}
		if !slices.IsSorted(p.Sequences) {
			t.Errorf("records out of order in %s: %v", p.Key, p.Sequences)
		}
		for _, s := range p.Sequences {
			if at, twice := seen[s]; twice {
				t.Errorf("record %d stands in %s and in %s", s, at, p.Key)
			}
			seen[s] = p.Key
		}
	}
	for _, r := range chunk.Records {
		if _, ok := seen[r.Sequence]; !ok {
			t.Errorf("record %d stands in no payload", r.Sequence)
		}
		delete(seen, r.Sequence)
	}
	if len(seen) > 0 {
		t.Errorf("records that the chunk does not have: %v", seen)
	}
}

func renderKeysDiffer(t *testing.T, kit Kit) {
	sink := open(t, kit)
	keys := map[string]string{}
	add := func(name string, chunk auditrelay.Chunk) {
		for _, p := range render(t, sink, chunk) {
			if other, taken := keys[p.Key]; taken && other != name {
				t.Errorf("%s and %s share the key %s", name, other, p.Key)
			}
			keys[p.Key] = name
		}
	}
	add("a chunk", chunkOf(kit, 1, 10))
	add("the next chunk", chunkOf(kit, 11, 10))
	replay := chunkOf(kit, 1, 10)
	replay.Replay = "r1"
	add("a replay of the first", replay)
	replay = cloneChunk(replay)
	replay.Replay = "r2"
	add("another replay of it", replay)
	// A filter may make all records equal. They are still separate records.
	alike := chunkOf(kit, 21, 10)
	for i := range alike.Records {
		alike.Records[i].Data = []byte(`{"alike":true}`)
	}
	add("a chunk of equal records", alike)
	alike = cloneChunk(alike)
	alike.From, alike.To = 31, 41
	for i := range alike.Records {
		alike.Records[i].Sequence += 10
		alike.Records[i].ID += "-next"
	}
	add("the next chunk of the same", alike)
}

func renderNothing(t *testing.T, kit Kit) {
	payloads, err := open(t, kit).Render(chunkOf(kit, 1, 0))
	if err != nil || len(payloads) != 0 {
		t.Fatalf("an empty chunk gave %d payloads, %v", len(payloads), err)
	}
}

func renderCopies(t *testing.T, kit Kit) {
	chunk := chunkOf(kit, 1, 20)
	scratch := cloneChunk(chunk)
	sink := open(t, kit)
	payloads := render(t, sink, scratch)
	for _, r := range scratch.Records {
		scribble(r.Data)
	}
	deliver(t, sink, payloads...)
	wantAt(t, kit, chunk)
}

func renderNamesBadRecords(t *testing.T, kit Kit) {
	sink := open(t, kit)
	chunk := chunkOf(kit, 1, 10)
	// The engine never passes such documents. A sink may send them as they are, but must not
	// turn one into two records, and must not fail the other records.
	chunk.Records[2].Data = []byte("{\"a\":\n1}")
	_, err := sink.Render(chunk)
	if err == nil {
		return
	}
	bad, ok := errors.AsType[*auditrelay.RecordErrors](err)
	if !ok {
		t.Fatalf("a bad record is no *RecordErrors but %v", err)
	}
	if len(bad.Records) != 1 || bad.Records[0].Sequence != 3 || bad.Records[0].Cause == auditrelay.CauseNone {
		t.Fatalf("want record 3 with a cause, got %+v", bad.Records)
	}
	chunk.Records = slices.Delete(chunk.Records, 2, 3)
	deliver(t, sink, render(t, sink, chunk)...)
	wantAt(t, kit, chunk)
}

func splitCovers(t *testing.T, kit Kit) {
	sink := open(t, kit)
	splitter, ok := sink.(auditrelay.Splitter)
	if !ok {
		t.Skip("the sink does not split")
	}
	chunk := chunkOf(kit, 1, 23)
	alike := chunkOf(kit, 24, 8)
	for i := range alike.Records {
		alike.Records[i].Data = []byte(`{"alike":true}`)
	}
	var leaves []auditrelay.Payload
	var halve func(p auditrelay.Payload)
	halve = func(p auditrelay.Payload) {
		if len(p.Sequences) == 1 {
			leaves = append(leaves, p)
			return
		}
		before := clonePayload(p)
		a, b, err := splitter.Split(p)
		if err != nil {
			t.Fatalf("Split of %d records: %v", len(p.Sequences), err)
		}
		if again, _, err := splitter.Split(p); err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("Split is not pure: %v", err)
		}
		if !reflect.DeepEqual(before, p) {
			t.Fatal("Split changed the payload")
		}
		if len(a.Sequences) == 0 || len(b.Sequences) == 0 || !slices.Equal(slices.Concat(a.Sequences, b.Sequences), p.Sequences) {
			t.Fatalf("%v was split in %v and %v", p.Sequences, a.Sequences, b.Sequences)
		}
		if a.Key == b.Key || a.Key == p.Key || b.Key == p.Key {
			t.Fatalf("%s was split in %s and %s", p.Key, a.Key, b.Key)
		}
		halve(a)
		halve(b)
	}
	for _, c := range []auditrelay.Chunk{chunk, alike} {
		for _, p := range render(t, sink, c) {
			halve(p)
		}
	}
	deliver(t, sink, number(1, leaves)...)
	wantAt(t, kit, chunk, alike)
}
