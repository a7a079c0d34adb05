package sinktest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// loginPage is a response of a proxy or a log-in server instead of the destination.
const loginPage = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form action=\"/login\"></form></body></html>"

// pause is the pause that the throttling destination requests.
const pause = 7 * time.Second

func throttling(t *testing.T, kit Kit) {
	if kit.Answer == nil {
		t.Skip("the kit cannot answer")
	}
	for _, status := range []int{429, 503} {
		sink := kit.Answer(t, Answer{Status: status, Header: map[string]string{"Retry-After": fmt.Sprint(int(pause.Seconds()))}})
		_, err := sink.Deliver(t.Context(), render(t, sink, chunkOf(kit, 1, 12))[0])
		if kind := auditrelay.KindOf(err); err == nil || kind != auditrelay.Throttled {
			t.Errorf("status %d with Retry-After is %v (%v), not throttled", status, kind, err)
		}
		if got := auditrelay.RetryAfter(err); got != pause {
			t.Errorf("status %d: the engine is told to wait %v, the destination asked for %v", status, got, pause)
		}
	}
	wantAt(t, kit)
}

func pageIsNoDelivery(t *testing.T, kit Kit) {
	if kit.Answer == nil {
		t.Skip("the kit cannot answer")
	}
	for _, contentType := range []string{"text/html; charset=utf-8", "application/json", ""} {
		a := Answer{Status: 200, Header: map[string]string{}, Body: loginPage}
		if contentType != "" {
			a.Header["Content-Type"] = contentType
		}
		sink := kit.Answer(t, a)
		_, err := sink.Deliver(t.Context(), render(t, sink, chunkOf(kit, 1, 12))[0])
		if err == nil {
			t.Errorf("a log-in page of the type %q counted as delivered", contentType)
			continue
		}
		// The records are not at fault, since every one would fail.
		if kind := auditrelay.KindOf(err); kind == auditrelay.Refused || kind == auditrelay.TooLarge {
			t.Errorf("a log-in page is %v: the engine would dead-letter every record", kind)
		}
		if _, named := errors.AsType[*auditrelay.RecordErrors](err); named {
			t.Error("a log-in page is taken for the refusal of records")
		}
	}
	wantAt(t, kit)
}

func partialFailure(t *testing.T, kit Kit) {
	if kit.Refuse == nil {
		t.Skip("the destination refuses no record")
	}
	chunk := chunkOf(kit, 1, 13)
	bad := chunk.Records[5]
	sink := kit.Refuse(t, string(bad.Data))
	aside := settle(t, sink, render(t, sink, chunk)...)
	if len(aside) != 1 || !aside[bad.Sequence] {
		t.Fatalf("set aside are the records %v, want %d alone", aside, bad.Sequence)
	}
	var good []auditrelay.Record
	for _, r := range chunk.Records {
		if r.Sequence != bad.Sequence {
			good = append(good, r)
		}
	}
	wantEach(t, kit, good)
}

// settle delivers payloads as the engine does: it halves a rejected payload until the bad
// record is alone. It returns the records that would become dead letters.
func settle(t *testing.T, sink auditrelay.Sink, payloads ...auditrelay.Payload) map[uint64]bool {
	t.Helper()
	aside := map[uint64]bool{}
	attempts := 0
	for number := uint64(1000); len(payloads) > 0; number++ {
		if attempts++; attempts > 200 {
			t.Fatal("200 attempts, and no end")
		}
		p := payloads[0]
		payloads = payloads[1:]
		p.Number = number
		_, err := sink.Deliver(t.Context(), p)
		if err == nil {
			continue
		}
		wantNoCanary(t, err)
		if named, ok := errors.AsType[*auditrelay.RecordErrors](err); ok {
			for _, r := range named.Records {
				aside[r.Sequence] = true
			}
			continue
		}
		switch kind := auditrelay.KindOf(err); kind {
		case auditrelay.Transient, auditrelay.Throttled:
			payloads = append(payloads, p)
			continue
		case auditrelay.Refused, auditrelay.TooLarge:
		default:
			t.Fatalf("a record that is refused is %v, which stalls all others: %v", kind, err)
		}
		splitter, ok := sink.(auditrelay.Splitter)
		if len(p.Sequences) == 1 || !ok {
			for _, s := range p.Sequences {
				aside[s] = true
			}
			continue
		}
		first, second, err := splitter.Split(p)
		if err != nil {
			t.Fatal(err)
		}
		payloads = append([]auditrelay.Payload{first, second}, payloads...)
	}
	return aside
}

func ambiguousTimeout(t *testing.T, kit Kit) {
	if kit.HangAfter == nil {
		t.Skip("the kit cannot hang after it has stored")
	}
	chunk := chunkOf(kit, 1, 12)
	sink := kit.HangAfter(t)
	payloads := render(t, sink, chunk)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var err error
	bounded(t, ctx, func() { _, err = sink.Deliver(ctx, payloads[0]) })
	if err == nil || auditrelay.KindOf(err) != auditrelay.Transient {
		t.Fatalf("a delivery whose answer did not come is %v, want a transient failure", err)
	}
	for _, p := range payloads {
		deliverWithin(t, sink, p, 3)
	}
	wantEach(t, kit, chunk.Records)
}

func expiredSecret(t *testing.T, kit Kit) {
	if kit.Expire == nil || kit.Rotate == nil {
		t.Skip("the sink has no secret that expires")
	}
	sink := open(t, kit)
	a, b := chunkOf(kit, 1, 12), chunkOf(kit, 13, 12)
	deliver(t, sink, render(t, sink, a)...)
	kit.Expire(t)
	payloads := render(t, sink, b)
	for range 2 {
		_, err := sink.Deliver(t.Context(), payloads[0])
		if kind := auditrelay.KindOf(err); err == nil || kind != auditrelay.Unauthorized {
			t.Fatalf("with an expired secret a delivery is %v (%v), not unauthorized", kind, err)
		}
		wantNoCanary(t, err)
	}
	wantAt(t, kit, a)
	kit.Rotate(t)
	if r, ok := sink.(auditrelay.Refresher); ok {
		r.Refresh() // as resume does
	}
	for _, p := range payloads {
		deliverWithin(t, sink, p, 3)
	}
	wantAt(t, kit, a, b)
}

func tooLargeRecord(t *testing.T, kit Kit) {
	if kit.TooLarge == 0 {
		t.Skip("the destination has no limit for one record")
	}
	sink := open(t, kit)
	chunk := chunkOf(kit, 1, 10)
	head := fmt.Sprintf(`{"sequence":3,"secret":"%s","value":"`, canary)
	chunk.Records[2].Data = []byte(head + strings.Repeat("x", kit.TooLarge-len(head)-len(`"}`)) + `"}`)
	_, err := sink.Render(chunk)
	bad, ok := errors.AsType[*auditrelay.RecordErrors](err)
	if !ok {
		t.Fatalf("a record of %d bytes, over the limit, was rendered (%v): it would be cut short over there, or refused after it was sent", kit.TooLarge, err)
	}
	if len(bad.Records) != 1 || bad.Records[0].Sequence != 3 || bad.Records[0].Cause != auditrelay.CauseTooLarge {
		t.Fatalf("want record 3, too large, got %+v", bad.Records)
	}
	wantNoCanary(t, err)
	chunk.Records = append(chunk.Records[:2:2], chunk.Records[3:]...)
	deliver(t, sink, render(t, sink, chunk)...)
	wantAt(t, kit, chunk)
}

func cancelledMidBody(t *testing.T, kit Kit) {
	if kit.Stall == nil {
		t.Skip("the kit cannot stop reading")
	}
	sink := kit.Stall(t)
	chunk := chunkOf(kit, 1, 6)
	chunk.Records, chunk.To = chunk.Records[:4], 5 // without a tombstone
	random := rand.New(rand.NewPCG(1, 2))
	for i := range chunk.Records { // compresses badly, so that the body is long
		noise := make([]byte, min(45<<10, kit.long()/2))
		for k := range noise {
			noise[k] = byte(random.Uint32())
		}
		chunk.Records[i].Data = document(chunk.Records[i].Sequence, hex.EncodeToString(noise))
	}
	payloads := render(t, sink, chunk)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var err error
	body := payloads[0].Body
	bounded(t, ctx, func() { _, err = sink.Deliver(ctx, clonePayloadOnto(payloads[0], body)) })
	if err == nil || auditrelay.KindOf(err) != auditrelay.Transient {
		t.Fatalf("a delivery that was cancelled in the middle of its body is %v, want a transient failure", err)
	}
	kept := append([]byte(nil), body...)
	scribble(body) // the race detector reports late reads
	copy(body, kept)
	for _, p := range payloads {
		deliverWithin(t, sink, p, 3)
	}
	wantAt(t, kit, chunk)
}

func clonePayloadOnto(p auditrelay.Payload, body []byte) auditrelay.Payload {
	c := clonePayload(p)
	c.Body = body
	return c
}

// wantEach checks that the destination has each record of a repeated delivery. It must have it
// once unless the destination cannot detect repetitions.
func wantEach(t *testing.T, kit Kit, records []auditrelay.Record) {
	t.Helper()
	counts := map[string]int{}
	for _, d := range kit.Read(t) {
		counts[string(d)]++
	}
	for _, r := range records {
		n := counts[string(r.Data)]
		if n == 0 {
			t.Errorf("record %d is not there", r.Sequence)
		}
		if n > 1 && !kit.Doubles {
			t.Errorf("record %d is there %d times", r.Sequence, n)
		}
		delete(counts, string(r.Data))
	}
	for d, n := range counts {
		t.Errorf("%d times there, and not to be: %.100s", n, d)
	}
}
