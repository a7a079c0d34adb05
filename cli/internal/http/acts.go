package http

import (
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// as returns the user and the reason of a request, for own records. The request's If-Match has
// the version of the object that the user has seen.
func (p principal) as(r *http.Request, reason string) runtime.By {
	return runtime.By{Principal: p.by(), Address: peerAddress(r), Credential: p.credential, Subject: p.subject, Reason: reason, Seen: etagOf(r.Header.Get("If-Match"))}
}

// etagOf returns the version in an If-Match header, or "" for none or any.
func etagOf(header string) string {
	header = strings.TrimSpace(header)
	if header == "*" {
		return ""
	}
	return strings.Trim(header, `"`)
}

// reasonOf checks a user's reason for a change, which own records contain. A change that
// permanently gives something up requires one.
func reasonOf(reason string, required bool) *api.Error {
	fault := func(expected, hint string) *api.Error {
		return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: "reason", Message: "reason: " + expected, Hint: hint}
	}
	switch {
	case strings.TrimSpace(reason) == "":
		if required {
			return fault("it is required, since this cannot be undone; the relay's own record contains it", "on the command line: --reason 'TICKET-1: why'")
		}
	case len(reason) > runtime.MaxReason:
		return fault("it is longer than 1024 bytes", "")
	case !utf8.ValidString(reason) || strings.ContainsFunc(reason, func(c rune) bool { return !unicode.IsPrint(c) }):
		return fault("expected printable text on one line", "")
	}
	return nil
}

// code matches the form of the reasons of quarantine items.
var code = regexp.MustCompile(`^[a-z0-9_]+$`)

// checkItems rejects a change of all items whose reason looks like an item's reason. An older
// version took it for the selection of items, and all would be changed.
func checkItems(in api.QuarantineChange) *api.Error {
	if in.All && in.Cause == "" && code.MatchString(in.Reason) {
		return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: "reason",
			Message: "reason: expected why the items are changed, in words; all of them would be", Hint: "to choose items by their reason, use cause"}
	}
	return nil
}
