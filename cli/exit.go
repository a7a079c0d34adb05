package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
	"auditrelay/config"
	"auditrelay/internal/verify"
	"auditrelay/runtime"
)

// The exit codes. They are part of the command line's contract; see docs/reference/commands.md.
const (
	ExitOK          = 0
	ExitFailure     = 1 // an error without its own code
	ExitUsage       = 2 // an invalid command line
	ExitConfig      = 3 // an invalid configuration
	ExitNotFound    = 4 // no such callback or dead letter, or an unknown event
	ExitRefused     = 5 // send: some events were rejected, the others are accepted; quarantine: some items stay
	ExitUnavailable = 6 // no response, or the relay cannot do it now
	ExitDenied      = 7 // the token is missing, unknown or lacks the role
	ExitDiffer      = 8 // reconcile: the table and the journal differ

	// verify: the most serious fault.
	ExitForged     = 20
	ExitAltered    = 21
	ExitTruncated  = 22
	ExitMissing    = 23
	ExitAdded      = 24
	ExitReordered  = 25
	ExitUnreadable = 26

	ExitInterrupted = 130 // by a signal
)

// usageError is an invalid command line that only the command itself can detect.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// refusedError says that send sent everything, but the relay rejected some events.
type refusedError struct{ refused uint64 }

func (e refusedError) Error() string {
	return fmt.Sprintf("%d events were refused; all others are accepted", e.refused)
}

// stayError says that items stay in quarantine that should not.
type stayError struct{ stay, all int }

func (e stayError) Error() string {
	return fmt.Sprintf("%d of %d stay in quarantine", e.stay, e.all)
}

// exitCode returns the process's exit code for err.
func exitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[config.Errors](err); ok {
		return ExitConfig
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return ExitConfig
	}
	if _, ok := errors.AsType[*runtime.RemovalError](err); ok {
		return ExitConfig
	}
	if errors.Is(err, runtime.ErrNoKey) || errors.Is(err, runtime.ErrWrongKey) {
		return ExitConfig
	}
	if _, ok := errors.AsType[refusedError](err); ok {
		return ExitRefused
	}
	if _, ok := errors.AsType[stayError](err); ok {
		return ExitRefused
	}
	if e, ok := errors.AsType[verdictError](err); ok {
		return ExitForged + slices.Index(verify.Categories, e.worst)
	}
	if _, ok := errors.AsType[differError](err); ok {
		return ExitDiffer
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return ExitUnavailable
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		switch {
		case e.Reason == api.ReasonConfig:
			return ExitConfig
		case e.Status == http.StatusNotFound:
			return ExitNotFound
		case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
			return ExitDenied
		case e.Status == http.StatusServiceUnavailable:
			return ExitUnavailable
		}
		return ExitFailure
	}
	if errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	return ExitFailure
}

// hint suggests what to do about err. It is empty if the error's text says it.
func hint(err error) string {
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return "is the relay running? give its address with --server or AUDITRELAY_SERVER"
	}
	if errors.Is(err, runtime.ErrNoKey) {
		return "give the configuration with the key: --config FILE"
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		if e.Hint != "" {
			return e.Hint
		}
		switch e.Status {
		case http.StatusUnauthorized:
			return "give a token with AUDITRELAY_TOKEN or --token-file"
		case http.StatusForbidden:
			return "docs/reference/commands.md says which role each command needs"
		}
	}
	return ""
}
