package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"auditrelay"
)

// An event's record is
//
//	crc(4) received(8, Unix ns) body
//	body: version(1) len(uvarint) head data
//
// Version 2 is version 1 with the result of the filters before the journal at the end of its
// head. Programs that do not know it report damage instead of reading it as an unfiltered
// event. Version 3 is one of the others, encrypted; see sealedVersion. Version 4 has the
// event's Mapping at the end of its head, after the result of the filters if there is one.
//
// Append encodes the body. When the event gets its sequence, crc and received are put before
// the body. The crc covers body, sequence and received.
const (
	eventVersion  = 1
	ingestVersion = 2
	mappedVersion = 4
	recordPrefix  = 12
	flagEmission  = 1 << 7
	flagIngest    = 1 << 6
	flagMapping   = 1 << 5
	timeFromBits  = 0x0f
)

// appendBody appends e's body to dst.
func appendBody(dst []byte, e *auditrelay.Event) []byte {
	head := make([]byte, 0, 256)
	head = appendString(head, e.Namespace)
	head = appendString(head, e.ID)
	flags := byte(e.TimeFrom) & timeFromBits
	if e.Emission != nil {
		flags |= flagEmission
	}
	if e.Ingest != nil {
		flags |= flagIngest
	}
	if e.Mapping != nil {
		flags |= flagMapping
	}
	head = append(head, flags)
	if ownTime(e.TimeFrom) {
		head = binary.AppendVarint(head, e.Time.Unix())
		head = binary.AppendUvarint(head, uint64(e.Time.Nanosecond()))
	}
	head = appendString(head, string(e.Action))
	head = appendProvenance(head, e.Provenance)
	if m := e.Emission; m != nil {
		head = appendString(head, m.Target)
		head = appendString(head, m.Callback)
		head = appendString(head, m.Filter)
		head = binary.AppendUvarint(head, m.Sequence)
		head = binary.AppendVarint(head, int64(m.Ordinal))
		head = binary.AppendVarint(head, int64(m.Hops))
	}
	version := byte(eventVersion)
	if e.Ingest != nil {
		version = ingestVersion
		head = append(head, byte(e.Ingest.Outcome))
		head = append(head, e.Ingest.Digest[:]...)
	}
	if m := e.Mapping; m != nil {
		version = mappedVersion
		for _, text := range []string{m.Schema, m.ID, m.Action, m.Time, m.Actor, m.Object, m.ObjectType} {
			head = appendString(head, text)
		}
	}
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(head)))
	dst = append(dst, head...)
	return append(dst, e.Data...)
}

// ownTime reports whether an event's Time is its own and therefore stored. Otherwise it equals
// Received.
func ownTime(s auditrelay.TimeSource) bool {
	return s != auditrelay.TimeMissing && s != auditrelay.TimeUnreadable
}

func appendProvenance(dst []byte, p auditrelay.Provenance) []byte {
	dst = appendString(dst, p.Source)
	dst = appendString(dst, p.Principal)
	return appendString(dst, p.Address)
}

// eventSum computes the final checksum from a body's checksum.
func eventSum(body uint32, sequence uint64, received int64) uint32 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], sequence)
	binary.BigEndian.PutUint64(b[8:], uint64(received))
	return crc32.Update(body, castagnoli, b[:])
}

func putPrefix(dst []byte, bodySum uint32, sequence uint64, received int64) {
	binary.BigEndian.PutUint32(dst, eventSum(bodySum, sequence, received))
	binary.BigEndian.PutUint64(dst[4:], uint64(received))
}

// checkRecord verifies an event's record and returns its parts without copying.
func checkRecord(sequence uint64, record []byte) (received int64, body []byte, err error) {
	if len(record) < recordPrefix {
		return 0, nil, errDamaged
	}
	received = int64(binary.BigEndian.Uint64(record[4:]))
	body = record[recordPrefix:]
	if binary.BigEndian.Uint32(record) != eventSum(crc32.Checksum(body, castagnoli), sequence, received) {
		return 0, nil, errDamaged
	}
	return received, body, nil
}

func splitBody(body []byte) (head, data []byte, err error) {
	r := reader{b: body}
	if v := r.byte(); v != eventVersion && v != ingestVersion && v != mappedVersion {
		r.fail()
	}
	head = r.bytes()
	return head, r.b, r.err
}

// sameIdentity reports whether a head starts with this identity.
func sameIdentity(head []byte, namespace, id string) bool {
	r := reader{b: head}
	return string(r.bytes()) == namespace && string(r.bytes()) == id && r.err == nil
}

// decodeEvent builds the event from a verified record. text is the content of head. The event's
// strings are parts of text, so that one conversion serves many events.
func decodeEvent(sequence uint64, received int64, text string, head, data []byte) (auditrelay.Event, error) {
	r := reader{b: head}
	str := func() string {
		n := len(r.bytes())
		end := len(head) - len(r.b)
		if r.err != nil {
			return ""
		}
		return text[end-n : end]
	}
	e := auditrelay.Event{Sequence: sequence, Received: fromUnixNano(received), Data: data}
	e.Namespace = str()
	e.ID = str()
	flags := r.byte()
	e.TimeFrom = auditrelay.TimeSource(flags & timeFromBits)
	e.Time = e.Received
	if ownTime(e.TimeFrom) {
		seconds, nanos := r.varint(), r.uvarint()
		e.Time = time.Unix(seconds, int64(min(nanos, 1e9-1))).UTC()
	}
	e.Action = auditrelay.Action(str())
	e.Provenance = auditrelay.Provenance{Source: str(), Principal: str(), Address: str()}
	if flags&flagEmission != 0 {
		m := &auditrelay.Emission{Target: str(), Callback: str(), Filter: str(), Sequence: r.uvarint()}
		m.Ordinal, m.Hops = r.int(), r.int()
		e.Emission = m
	}
	if flags&flagIngest != 0 {
		e.Ingest = &auditrelay.Ingest{Outcome: auditrelay.Outcome(r.byte())}
		copy(e.Ingest.Digest[:], r.take(uint64(len(e.Ingest.Digest))))
	}
	if flags&flagMapping != 0 {
		e.Mapping = &auditrelay.Mapping{Schema: str(), ID: str(), Action: str(), Time: str(), Actor: str(), Object: str(), ObjectType: str()}
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return e, r.err
}

func (r *reader) int() int {
	v := r.varint()
	if v > math.MaxInt32 || v < math.MinInt32 {
		r.fail()
		return 0
	}
	return int(v)
}

func fromUnixNano(ns int64) time.Time { return time.Unix(0, ns).UTC() }
