// Command auditrelay accepts audit events over HTTP, keeps them durably, and
// delivers them through filters to where they belong.
package main

import (
	"os"

	"auditrelay/cli"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func main() { os.Exit(cli.Main(os.Args[1:], cli.Options{Version: version})) }
