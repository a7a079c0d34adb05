// Package corpus makes audit events as LiteLLM writes them, from a seed, with
// secrets planted where people have found them, and finds those secrets again in
// what was delivered. Demo, benchmarks and tests share it.
package corpus

// Event is one generated event.
type Event struct {
	ID      string
	Action  string
	Data    []byte  // one JSON object on one line; the receiver's to keep
	Planted []Plant // the secrets in it, none as a rule
}

// Plant is one secret in one place.
type Plant struct {
	Kind   string // a Kind's name
	Path   string // where, in the path grammar; a place inside a string that holds JSON is a step like any other
	Secret string // unique among all of a generator's
}
