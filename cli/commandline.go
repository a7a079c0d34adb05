package cli

import (
	"os/user"

	"auditrelay/runtime"
)

// commandLine identifies the user of this process, who works on a closed data directory.
func commandLine(reason string) runtime.By {
	by := runtime.By{Principal: "command line", Reason: reason}
	if u, err := user.Current(); err == nil {
		by.Credential = "uid " + u.Uid
	}
	return by
}
