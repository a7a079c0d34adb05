package cli_test

import (
	"context"
	"errors"
	"log/slog"

	"auditrelay"
	"auditrelay/runtime"

	"github.com/rogpeppe/go-internal/testscript"
)

// setAsideCommand puts a file into the quarantine of the data directory, like an input.
func setAsideCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: quarantine FILE REASON")
	}
	r, err := runtime.Open(context.Background(), runtime.Options{Dir: ts.MkAbs("data"), Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	err = r.Quarantine(context.Background(), runtime.Quarantined{
		Data: []byte(ts.ReadFile(args[0])), Reason: args[1], Detail: "said by the test",
		Provenance: auditrelay.Provenance{Source: "s3", Principal: "litellm"},
	})
	ts.Check(errors.Join(err, r.Close()))
}
