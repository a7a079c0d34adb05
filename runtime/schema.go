package runtime

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/internal/schema"
)

// Schema says where the relay finds the fields that it needs in another producer's events. It is immutable
// and safe for concurrent use.
type Schema = schema.Schema

// SchemaFields has the expressions of a Schema; see docs/operators/producers.md.
type SchemaFields = schema.Fields

// NewSchema returns a Schema, or an error if an expression is invalid.
func NewSchema(name string, fields SchemaFields) (*Schema, error) {
	s, err := schema.New(name, fields)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	return s, nil
}

// check parses and validates one event.
func (r *Runtime) check(in *Submission, l ingest.Limits) (auditrelay.Event, error) {
	if in.Schema == nil {
		return ingest.Check(in.Data, l)
	}
	e, err := in.Schema.Read(in.Data, l, r.bytesDigest)
	if e.Namespace == "" {
		e.Namespace = auditrelay.NamespaceLiteLLM
	}
	return e, err
}

// bytesDigest returns the id of an event that has none. Equal bytes get equal ids, also after a restart.
// The digest is keyed, so that it reveals nothing about the event's content.
func (r *Runtime) bytesDigest(data []byte) string {
	mac := hmac.New(sha256.New, r.tombstoneKey)
	mac.Write([]byte("bytes\x00"))
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// leftMapped is left for an event with a mapping: its fields are read with the mapping from the filtered
// data.
func (r *Runtime) leftMapped(e auditrelay.Event, received *auditrelay.Event) auditrelay.Event {
	if ingest.CheckDocument(e.Data, ingest.Limits{EventBytes: maxIngested, Depth: maxIngestedDepth}) != nil {
		return r.bare(e)
	}
	m := *e.Mapping
	e.Mapping = &m
	if id, ok := schema.Value(m.ID, e.Data); m.ID != "" && (!ok || id != received.ID) {
		e.ID = r.idDigest(*received)
	}
	action, _ := schema.Value(m.Action, e.Data)
	e.Action = auditrelay.Action(action)
	if at, ok := schema.Value(m.Time, e.Data); ok {
		e.Time, e.TimeFrom = schema.Time(at)
	} else {
		e.TimeFrom = auditrelay.TimeMissing
	}
	return e
}

// ReplayBySchema sets the schema for input of a sender that is replayed from quarantine. If of returns nil,
// the schema is LiteLLM's.
func (r *Runtime) ReplayBySchema(of func(from auditrelay.Provenance) *Schema) {
	r.replaySchema.Store(&of)
}

func (r *Runtime) schemaOf(from auditrelay.Provenance) *Schema {
	if of := r.replaySchema.Load(); of != nil {
		return (*of)(from)
	}
	return nil
}

// ParseEventBy is ParseEvent with a schema; nil is LiteLLM's. An event without an id gets a digest of its
// bytes. Every run gives it the same id, but a Runtime gives it another one.
func ParseEventBy(s *Schema, data []byte, l Limits) (auditrelay.Event, error) {
	if s == nil {
		return ParseEvent(data, l)
	}
	e, err := s.Read(data, l.ingest(), func(data []byte) string {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:16])
	})
	if err != nil {
		return auditrelay.Event{}, err
	}
	if e.Namespace == "" {
		e.Namespace = auditrelay.NamespaceLiteLLM
	}
	return e, nil
}

// ParseEventWith is ParseEvent for an event that was accepted with a mapping; nil is LiteLLM's schema. The
// caller must set Namespace and ID.
func ParseEventWith(m *auditrelay.Mapping, data []byte, l Limits) (auditrelay.Event, error) {
	if m == nil {
		return ParseEvent(data, l)
	}
	if err := ingest.CheckDocument(data, l.ingest()); err != nil {
		return auditrelay.Event{}, err
	}
	e := auditrelay.Event{Mapping: m, TimeFrom: auditrelay.TimeMissing, Data: data}
	action, _ := schema.Value(m.Action, data)
	e.Action = auditrelay.Action(action)
	if at, ok := schema.Value(m.Time, data); ok {
		e.Time, e.TimeFrom = schema.Time(at)
	}
	return e, nil
}

func (l Limits) ingest() ingest.Limits {
	return ingest.Limits{EventBytes: int64(l.EventBytes), Depth: l.Depth, IDBytes: l.IDBytes, Reserved: true}
}
