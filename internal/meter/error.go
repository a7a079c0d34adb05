package meter

import "fmt"

// Error is the reason why a module was refused. It names the part being read and never contains
// the module's data. Names from the module are quoted and truncated.
type Error struct {
	Offset int    // in the original module, in bytes
	What   string // the part being read: "section import", "function 12"
	Reason string // the fault
}

func (e *Error) Error() string {
	return fmt.Sprintf("wasm module: offset %#x: %s: %s", e.Offset, e.What, e.Reason)
}
