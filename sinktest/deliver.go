package sinktest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"auditrelay"
)

func deliversEverything(t *testing.T, kit Kit) {
	sink := open(t, kit)
	var chunks []auditrelay.Chunk
	next := uint64(1)
	for range 4 {
		chunk := chunkOf(kit, next, 13)
		chunks = append(chunks, chunk)
		for _, p := range render(t, sink, chunk) {
			receipt, err := sink.Deliver(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if receipt.Location == "" || receipt.Duplicate {
				t.Errorf("the receipt of a first delivery is %+v", receipt)
			}
		}
		next += 13
	}
	wantAt(t, kit, chunks...)
}

func redeliveryIsHarmless(t *testing.T, kit Kit) {
	sink := open(t, kit)
	a, b := chunkOf(kit, 1, 12), chunkOf(kit, 13, 12)
	first := render(t, sink, a)
	second := number(uint64(len(first))+1, render(t, sink, b))
	deliver(t, sink, first...)
	deliver(t, sink, first...)
	deliver(t, sink, second...)
	for _, p := range slices.Concat(first, second) {
		receipt, err := sink.Deliver(t.Context(), p)
		if err != nil || !receipt.Duplicate {
			t.Errorf("delivered again: %+v, %v; want a duplicate", receipt, err)
		}
	}
	wantAt(t, kit, a, b)
}

func redeliveryAfterRestart(t *testing.T, kit Kit) {
	if kit.Forgetful {
		t.Skip("the sink forgets with a restart what it delivered")
	}
	a, b := chunkOf(kit, 1, 12), chunkOf(kit, 13, 12)
	sink := open(t, kit)
	first := render(t, sink, a)
	second := number(uint64(len(first))+1, render(t, sink, b))
	deliver(t, sink, first...)
	for range 3 {
		shut(t, sink)
		sink = open(t, kit)
		deliver(t, sink, first...)
		deliver(t, sink, second...)
	}
	wantAt(t, kit, a, b)
}

func tornDelivery(t *testing.T, kit Kit) {
	if kit.Tear == nil {
		t.Skip("the kit cannot tear")
	}
	a, b := chunkOf(kit, 1, 12), chunkOf(kit, 13, 12)
	sink := open(t, kit)
	deliver(t, sink, render(t, sink, a)...)
	rest := number(100, render(t, sink, b))
	shut(t, sink)
	kit.Tear(t, rest[0])
	deliver(t, open(t, kit), rest...)
	wantAt(t, kit, a, b)
}

func lostAnswer(t *testing.T, kit Kit) {
	if kit.LoseAnswer == nil {
		t.Skip("the kit cannot lose an answer")
	}
	chunk := chunkOf(kit, 1, 12)
	sink := kit.LoseAnswer(t)
	for _, p := range render(t, sink, chunk) {
		deliverWithin(t, sink, p, 3)
	}
	wantEach(t, kit, chunk.Records)
}

func cancellation(t *testing.T, kit Kit) {
	sink := open(t, kit)
	chunk := chunkOf(kit, 1, 12)
	payloads := render(t, sink, chunk)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var err error
	bounded(t, ctx, func() { _, err = sink.Deliver(ctx, payloads[0]) })
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the error of a cancelled delivery does not wrap context.Canceled: %v", err)
	}
	deliver(t, sink, payloads...)
	wantAt(t, kit, chunk)
}

func hanging(t *testing.T, kit Kit) {
	if kit.Hang == nil {
		t.Skip("the kit cannot hang")
	}
	sink := kit.Hang(t)
	payload := render(t, sink, chunkOf(kit, 1, 12))[0]
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var err error
	bounded(t, ctx, func() { _, err = sink.Deliver(ctx, payload) })
	scribble(payload.Body) // the race detector reports late reads
	if err == nil {
		t.Fatal("a delivery without an answer counted as delivered")
	}
	if auditrelay.KindOf(err) != auditrelay.Transient {
		t.Errorf("a delivery that was stopped is %v, not transient", auditrelay.KindOf(err))
	}
	wantNoCanary(t, err)
}

func deliverCopies(t *testing.T, kit Kit) {
	sink := open(t, kit)
	chunk := chunkOf(kit, 1, 30)
	for _, p := range render(t, sink, chunk) {
		lent := clonePayload(p)
		deliver(t, sink, lent)
		scribble(lent.Body)
		clear(lent.Headers)
		clear(lent.Sequences)
		if receipt, err := sink.Deliver(t.Context(), p); err != nil || !receipt.Duplicate {
			t.Fatalf("delivered again: %+v, %v; want a duplicate", receipt, err)
		}
	}
	wantAt(t, kit, chunk)
}

// statuses must never count as delivered. 409 and 412 are missing, since their meaning depends
// on the destination.
var statuses = []int{300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 410, 411,
	413, 414, 415, 416, 417, 421, 422, 423, 425, 426, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 511, 520, 599}

func statusIsNoDelivery(t *testing.T, kit Kit) {
	if kit.Fail == nil {
		t.Skip("the destination has no status")
	}
	chunk := chunkOf(kit, 1, 12)
	for _, status := range statuses {
		sink := kit.Fail(t, status)
		_, err := sink.Deliver(t.Context(), render(t, sink, chunk)[0])
		if err == nil {
			t.Errorf("status %d counted as delivered", status)
			continue
		}
		kind := auditrelay.KindOf(err)
		switch status {
		case 401, 403:
			if kind != auditrelay.Unauthorized {
				t.Errorf("status %d is %v, not unauthorized", status, kind)
			}
		case 408, 500:
			if kind != auditrelay.Transient {
				t.Errorf("status %d is %v, not transient", status, kind)
			}
		case 429:
			if kind != auditrelay.Throttled {
				t.Errorf("status %d is %v, not throttled", status, kind)
			}
		case 502, 503, 504: // Standard Webhooks uses 502 and 504 to slow the sender down
			if kind != auditrelay.Throttled && kind != auditrelay.Transient {
				t.Errorf("status %d is %v, neither throttled nor transient", status, kind)
			}
		}
	}
	wantAt(t, kit)
}

func errorsCarryNoData(t *testing.T, kit Kit) {
	if kit.Fail == nil {
		t.Skip("the kit cannot fail")
	}
	chunk := chunkOf(kit, 1, 12)
	for _, status := range []int{200, 301, 400, 403, 404, 409, 413, 422, 500, 503} {
		sink := kit.Fail(t, status)
		for _, p := range render(t, sink, chunk)[:1] {
			if _, err := sink.Deliver(t.Context(), p); err != nil {
				wantNoCanary(t, err)
			}
		}
	}
}

func rotatedSecret(t *testing.T, kit Kit) {
	if kit.Rotate == nil {
		t.Skip("the sink has no secret that rotates")
	}
	sink := open(t, kit)
	a, b := chunkOf(kit, 1, 12), chunkOf(kit, 13, 12)
	deliver(t, sink, render(t, sink, a)...)
	kit.Rotate(t)
	for _, p := range render(t, sink, b) {
		deliverWithin(t, sink, p, 3)
	}
	wantAt(t, kit, a, b)
}

func concurrently(t *testing.T, kit Kit) {
	sink := open(t, kit)
	workers := concurrency(sink)
	if workers == 1 {
		t.Skip("the sink takes one payload at a time")
	}
	const size, count = 5, 20
	var chunks []auditrelay.Chunk
	queue := make(chan auditrelay.Payload, count*size)
	for i := range count {
		chunk := chunkOf(kit, uint64(1+i*size), size)
		chunks = append(chunks, chunk)
		for _, p := range render(t, sink, chunk) {
			queue <- p
		}
	}
	close(queue)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for p := range queue {
				if _, err := sink.Deliver(t.Context(), p); err != nil {
					t.Errorf("Deliver %s: %v", p.Key, err)
				}
			}
		})
	}
	wg.Wait()
	wantAt(t, kit, chunks...)
}

func manifests(t *testing.T, kit Kit) {
	sink := open(t, kit)
	manifester, ok := sink.(auditrelay.Manifester)
	if !ok {
		t.Skip("the sink keeps no manifests")
	}
	chunk := chunkOf(kit, 1, 12)
	payloads := render(t, sink, chunk)
	deliver(t, sink, payloads...)
	manifest := auditrelay.Manifest{
		Callback: chunk.Callback, Journal: chunk.Journal, From: chunk.From, To: chunk.To,
		Number: uint64(len(payloads)) + 1,
		Counts: map[string]uint64{"delivered": 12, "filtered": 0},
	}
	for _, p := range payloads {
		manifest.Payloads = append(manifest.Payloads, auditrelay.ManifestPayload{
			Number: p.Number, Key: p.Key, Records: len(p.Sequences), Digest: p.Digest,
		})
	}
	keys := map[string]bool{}
	for i := range 3 {
		m := manifest
		m.Number += uint64(i)
		first, err := manifester.RenderManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifester.RenderManifest(m)
		if err != nil || again.Key != first.Key || string(again.Body) != string(first.Body) {
			t.Fatalf("RenderManifest is not pure: %v", err)
		}
		if keys[first.Key] || len(first.Sequences) != 0 || len(first.Digest) != 64 {
			t.Errorf("the manifest's payload is %s, %v, %s", first.Key, first.Sequences, first.Digest)
		}
		keys[first.Key] = true
		first.Number = m.Number
		deliver(t, sink, first, first)
	}
	wantAt(t, kit, chunk)
}
