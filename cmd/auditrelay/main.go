// Command auditrelay accepts audit events over HTTP, keeps them durably, and
// delivers them through filters to where they belong.
package main

import (
	"os"

	"auditrelay/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.Options{})) }
