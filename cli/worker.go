package cli

import (
	"os"

	"auditrelay/builtin/wasm"
	"auditrelay/internal/compile"
)

// guestCommand is for the relay's own use: it runs guests in a process that the system
// locks in. It is answered before anything else and stands in no help.
const guestCommand = "internal-guest"

// guestWorker names this program as the one that runs guests, as compiler does.
func guestWorker() []string {
	if os.Getenv(wasm.WorkerMarker) != "" || os.Getenv(compile.Marker) != "" {
		return nil // this is what was run as a worker, and it went another way
	}
	if c := compiler(); len(c) > 0 {
		return []string{c[0], guestCommand}
	}
	return nil
}
