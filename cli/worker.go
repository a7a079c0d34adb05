package cli

import (
	"os"

	"auditrelay/builtin/wasm"
	"auditrelay/internal/compile"
)

// guestCommand is for internal use: it runs guests in a process with restrictions. It is
// handled before everything else, and no help lists it.
const guestCommand = "internal-guest"

// guestWorker returns the command that runs guests with this program, as compiler does.
func guestWorker() []string {
	if os.Getenv(wasm.WorkerMarker) != "" || os.Getenv(compile.Marker) != "" {
		return nil // this process is itself such a worker, and took another path
	}
	if c := compiler(); len(c) > 0 {
		return []string{c[0], guestCommand}
	}
	return nil
}
