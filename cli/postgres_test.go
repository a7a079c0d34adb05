package cli_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"auditrelay/internal/test/pgtest"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestJournalOnPostgres runs the scripts of testdata/postgres on one server, whose
// connection string is in journal.url. Beside the other commands there is
//
//	postgres stop|start   the server, at once
//	postgres copy|swap    its data aside, and back in place; while it is stopped
func TestJournalOnPostgres(t *testing.T) {
	server := pgtest.Start(t, "fsync = on", "wal_sync_method = fdatasync")
	p := scripts("testdata/postgres")
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		url := filepath.Join(e.WorkDir, "journal.url")
		return errors.Join(os.WriteFile(url, []byte(server.URL("owner", "postgres")), 0o600), setup(e))
	}
	p.Cmds["postgres"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: postgres stop|start|copy|swap")
		}
		switch args[0] {
		case "stop":
			server.Stop(t, "immediate")
		case "start":
			server.Restart(t)
		case "copy":
			server.Copy(t)
		case "swap":
			server.Swap(t)
		}
	}
	testscript.Run(t, p)
}
