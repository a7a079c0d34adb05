package delivery

import (
	"encoding/binary"
	"errors"
	"fmt"

	"auditrelay"
)

// run says how consecutive assigned events of a chunk ended at the seal. Consecutive events
// with the same result share a run, so a chunk without failures takes a few bytes.
type run struct {
	first   uint64 // the first sequence
	count   uint64 // number of consecutive sequences
	outcome auditrelay.Outcome
	cause   auditrelay.Cause
	filter  string
	reason  string
	payload uint64 // ordinal in the chunk from 1; 0 if none
}

func (r *run) last() uint64 { return r.first + r.count - 1 }

// same reports whether next has the same result as r.
func (r *run) same(next *run) bool {
	return r.outcome == next.outcome && r.cause == next.cause && r.filter == next.filter &&
		r.reason == next.reason && r.payload == next.payload
}

// appendRun adds one event and extends the last run if possible. Runs have no gaps: an
// unassigned sequence ends a run.
func appendRun(runs []run, next run) []run {
	if n := len(runs); n > 0 && runs[n-1].last()+1 == next.first && runs[n-1].same(&next) {
		runs[n-1].count++
		return runs
	}
	return append(runs, next)
}

// encodeRuns encodes runs with one table of their strings.
func encodeRuns(runs []run) []byte {
	var table []string
	index := map[string]uint64{}
	intern := func(s string) uint64 {
		i, ok := index[s]
		if !ok {
			i = uint64(len(table))
			index[s] = i
			table = append(table, s)
		}
		return i
	}
	var body []byte
	var previous uint64
	for _, r := range runs {
		body = binary.AppendUvarint(body, r.first-previous)
		body = binary.AppendUvarint(body, r.count)
		body = append(body, byte(r.outcome))
		body = binary.AppendUvarint(body, intern(string(r.cause)))
		body = binary.AppendUvarint(body, intern(r.filter))
		body = binary.AppendUvarint(body, intern(r.reason))
		body = binary.AppendUvarint(body, r.payload)
		previous = r.first
	}
	out := binary.AppendUvarint(nil, uint64(len(table)))
	for _, s := range table {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	out = binary.AppendUvarint(out, uint64(len(runs)))
	return append(out, body...)
}

var errRuns = errors.New("malformed outcomes of a chunk")

// decodeRuns is the inverse of encodeRuns. The length of its input limits its allocations.
func decodeRuns(in []byte) ([]run, error) {
	d := &decoder{in: in}
	table := make([]string, d.count(1))
	for i := range table {
		table[i] = string(d.bytes(d.uvarint()))
	}
	runs := make([]run, d.count(7))
	var previous uint64
	for i := range runs {
		r := &runs[i]
		r.first = previous + d.uvarint()
		r.count = d.uvarint()
		r.outcome = auditrelay.Outcome(d.byte())
		r.cause = auditrelay.Cause(d.lookup(table))
		r.filter = d.lookup(table)
		r.reason = d.lookup(table)
		r.payload = d.uvarint()
		previous = r.first
	}
	if d.failed || len(d.in) > 0 {
		return nil, errRuns
	}
	return runs, nil
}

// decoder decodes the encoding; after a failure it returns zeros.
type decoder struct {
	in     []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.in)
	if n <= 0 {
		d.failed, d.in = true, nil
		return 0
	}
	d.in = d.in[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.in) == 0 {
		d.failed = true
		return 0
	}
	b := d.in[0]
	d.in = d.in[1:]
	return b
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.in)) {
		d.failed, d.in = true, nil
		return nil
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

// count reads the number of items that take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.in)/size) {
		d.failed, d.in = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) lookup(table []string) string {
	i := d.uvarint()
	if i >= uint64(len(table)) {
		d.failed = true
		return ""
	}
	return table[i]
}

// encodeSequences encodes the sequences of a payload, in any order, and whether each is a
// tombstone.
func encodeSequences(sequences []uint64, tombstone func(i int) bool) []byte {
	out := make([]byte, 0, len(sequences)+binary.MaxVarintLen64)
	var previous uint64
	for i, s := range sequences {
		mark := int64(0)
		if tombstone(i) {
			mark = 1
		}
		out = binary.AppendVarint(out, int64(s-previous)*2+mark)
		previous = s
	}
	return out
}

// decodeSequences is the inverse of encodeSequences.
func decodeSequences(in []byte) (sequences []uint64, tombstones map[uint64]bool, err error) {
	sequences = make([]uint64, 0, len(in)) // nearly always one byte each
	var previous uint64
	for len(in) > 0 {
		v, n := binary.Varint(in)
		if n <= 0 {
			return nil, nil, fmt.Errorf("malformed list of a payload's records")
		}
		in = in[n:]
		mark := v & 1
		previous += uint64((v - mark) / 2)
		sequences = append(sequences, previous)
		if mark == 1 {
			if tombstones == nil {
				tombstones = map[uint64]bool{}
			}
			tombstones[previous] = true
		}
	}
	return sequences, tombstones, nil
}
