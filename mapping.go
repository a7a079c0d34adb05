package auditrelay

// Mapping says where the relay finds the fields that it needs in an event whose schema is not LiteLLM's.
// Each field is an expression from the configuration's ingest.schemas. If the configuration lists several,
// it is the one that found a value; if none did, it is empty. The relay reads a value from the document
// that it processes, so a value that a filter masked is masked here too.
type Mapping struct {
	Schema     string // the schema's name
	ID         string // if empty, the event's ID is a keyed digest of its bytes
	Action     string
	Time       string
	Actor      string
	Object     string
	ObjectType string
}

// Empty reports whether m is nil or has no fields set.
func (m *Mapping) Empty() bool { return m == nil || *m == Mapping{} }
