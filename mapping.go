package auditrelay

// Mapping says where an event in a schema other than LiteLLM's has the fields that the
// relay needs. Each is an expression of the configuration's ingest.schemas, the one of
// several that found a value; empty: none did. A value is always read from the document
// at hand, so that what filters mask is masked in it as well.
type Mapping struct {
	Schema     string // its name
	ID         string // empty: the event's ID is a keyed digest of its bytes
	Action     string
	Time       string
	Actor      string
	Object     string
	ObjectType string
}

// Empty reports whether there is nothing in it.
func (m *Mapping) Empty() bool { return m == nil || *m == Mapping{} }
