package meter

import "fmt"

// Error says why a module was refused. It names what was being read, never what
// the module's data hold; names from the module are quoted and cut short.
type Error struct {
	Offset int    // in the module as given, in bytes
	What   string // what was being read: "section import", "function 12"
	Reason string // what is wrong with it
}

func (e *Error) Error() string {
	return fmt.Sprintf("wasm module: offset %#x: %s: %s", e.Offset, e.What, e.Reason)
}
