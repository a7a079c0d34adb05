package cli

import (
	"os"

	"auditrelay/internal/compile"
)

// compileCommand is for the relay's own use: it compiles one guest in a process
// with limits. It is answered before anything else and stands in no help.
const compileCommand = "internal-compile"

// compiler names this program as the one that compiles guests. By the kernel's
// own link it is found also when its file has been replaced by a newer version,
// which would compile differently.
func compiler() []string {
	if os.Getenv(compile.Marker) != "" {
		return nil // this is what was run to compile, and it went another way
	}
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return []string{self, compileCommand}
	}
	if path, err := os.Executable(); err == nil {
		return []string{path, compileCommand}
	}
	return nil
}

func (a *program) compile(args []string) int { return compile.Child(a.stdin, a.stderr, args) }
