package cli

import (
	"os"

	"auditrelay/internal/compile"
)

// compileCommand is for the relay's own use: it compiles one guest in a process with limits. It
// is handled before all other commands, and help does not list it.
const compileCommand = "internal-compile"

// compiler returns the command that runs this program as the compiler of guests. It uses the
// kernel's own link, which works even if the file was replaced by a newer version, which would
// compile differently.
func compiler() []string {
	if os.Getenv(compile.Marker) != "" {
		return nil // this process was started to compile and took a wrong path
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
