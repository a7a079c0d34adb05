package kafka

import (
	"strings"
	"sync"

	"auditrelay"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxTaken bounds the records of taken. The engine delivers one payload at a time, and few
// are given up after one partition refused them.
const maxTaken = 1 << 16

// taken are the records that brokers took of payloads that failed, since each partition takes
// or refuses its own batch. Neither a further attempt nor the halves of the payload repeat them.
type taken struct {
	mu      sync.Mutex
	records map[record]bool
}

// record identifies a record within a process.
type record struct {
	scope    string // callback, journal and replay: the beginning of the payload's key
	sequence uint64
}

func scopeOf(p auditrelay.Payload) string { return p.Key[:strings.LastIndexByte(p.Key, '/')+1] }

// rest returns the records of p that are still to be sent.
func (t *taken) rest(p auditrelay.Payload, records []*kgo.Record) []*kgo.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.records) == 0 {
		return records
	}
	rest := make([]*kgo.Record, 0, len(records))
	for i, r := range records {
		if !t.records[record{scopeOf(p), p.Sequences[i]}] {
			rest = append(rest, r)
		}
	}
	return rest
}

// add notes which records of p the results of a failed attempt name as taken.
func (t *taken) add(p auditrelay.Payload, records []*kgo.Record, results kgo.ProduceResults) {
	succeeded := map[*kgo.Record]bool{}
	for _, r := range results {
		succeeded[r.Record] = r.Err == nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.records == nil || len(t.records) > maxTaken { // beyond it, records are repeated
		t.records = map[record]bool{}
	}
	for i, r := range records {
		if succeeded[r] {
			t.records[record{scopeOf(p), p.Sequences[i]}] = true
		}
	}
}

// forget ends the note of p's records: p is known as delivered.
func (t *taken) forget(p auditrelay.Payload) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.records) == 0 {
		return
	}
	for _, sequence := range p.Sequences {
		delete(t.records, record{scopeOf(p), sequence})
	}
}
