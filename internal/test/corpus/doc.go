// Package corpus generates audit events in LiteLLM's form from a seed, with secrets planted
// where people have found them. It also finds those secrets in delivered data. The demo,
// benchmarks and tests share it.
package corpus

// Event is one generated event.
type Event struct {
	ID      string
	Action  string
	Data    []byte  // one JSON object on one line; the receiver may keep it
	Planted []Plant // the secrets in it, usually none
}

// Plant is one secret in one place.
type Plant struct {
	Kind   string // a Kind's name
	Path   string // its place, in the path grammar; a step into a string with JSON is like any other
	Secret string // unique in a generator
}
