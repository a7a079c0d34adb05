package httpsink

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"auditrelay"
)

// A refused tombstone puts the request at fault only if it is fresh: a destination may refuse
// old entries, and newer events must not wait behind them forever. A stall continues while its
// tombstones grow old, until something is accepted.
func TestRefusedTombstones(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	refused := &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("entry too old")}
	type step struct {
		ages []time.Duration // of the tombstones; negative: in the future
		err  error
		want auditrelay.ErrorKind // 0 with err nil
	}
	const fresh, old = freshTombstone - time.Minute, freshTombstone + time.Minute
	for name, steps := range map[string][]step{
		"fresh":             {{[]time.Duration{fresh}, refused, auditrelay.Misconfigured}},
		"old":               {{[]time.Duration{old}, refused, auditrelay.Refused}},
		"ten days":          {{[]time.Duration{240 * time.Hour}, refused, auditrelay.Refused}},
		"of the future":     {{[]time.Duration{-old}, refused, auditrelay.Refused}},
		"one is old":        {{[]time.Duration{fresh, old, 0}, refused, auditrelay.Refused}},
		"grows old":         {{[]time.Duration{fresh}, refused, auditrelay.Misconfigured}, {[]time.Duration{old}, refused, auditrelay.Misconfigured}},
		"something taken":   {{[]time.Duration{0}, refused, auditrelay.Misconfigured}, {[]time.Duration{0}, nil, 0}, {[]time.Duration{old}, refused, auditrelay.Refused}},
		"some of one taken": {{[]time.Duration{0}, refused, auditrelay.Misconfigured}, {[]time.Duration{0}, &auditrelay.RecordErrors{}, 0}, {[]time.Duration{old}, refused, auditrelay.Refused}},
		"no tombstone":      {{nil, refused, auditrelay.Refused}},
	} {
		c := &Client{now: func() time.Time { return now }, limiter: NewLimiter(1), url: new(url.URL)}
		for i, s := range steps {
			items := []Item{{Sequence: uint64(i + 1), Data: []byte("{}")}}
			if s.ages != nil {
				items = items[:0]
			}
			for k, age := range s.ages {
				r := auditrelay.Record{Tombstone: true, Received: now.Add(-age)}
				items = append(items, Item{Sequence: uint64(10*i + k + 1), Data: []byte("{}"), Buried: Buried(&r)})
			}
			payloads, err := Packing{Separator: "\n", MaxBytes: 100, MaxItem: 100}.Pack(auditrelay.Chunk{}, items)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Deliver(t.Context(), payloads[0], func(context.Context) error { return s.err })
			if (err == nil) != (s.err == nil) || s.want != 0 && auditrelay.KindOf(err) != s.want {
				t.Errorf("%s: delivery %d: %v, want %v", name, i+1, err, s.want)
			}
		}
	}
	live := auditrelay.Record{Received: now}
	payloads, err := Packing{Separator: "\n", MaxBytes: 100, MaxItem: 100}.Pack(auditrelay.Chunk{}, []Item{
		{Sequence: 1, Data: []byte("{}"), Buried: now}, {Sequence: 2, Data: []byte("{}"), Buried: Buried(&live)}, {Sequence: 3, Data: []byte("{}"), Buried: now}})
	if err != nil || payloads[0].Headers[tombstones] != "" {
		t.Errorf("a payload with an event is marked as one of tombstones alone: %v %v", payloads, err)
	}
}
