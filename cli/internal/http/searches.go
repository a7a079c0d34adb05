package http

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"auditrelay/cli/internal/api"
)

// Limits for a saved search.
const (
	maxSearchName  = 64
	maxSearchQuery = 4096
)

func (s *Server) getSearches(*http.Request, principal, api.None) ([]api.SavedSearch, error) {
	return s.control.ListSearches()
}

func (s *Server) postSearch(r *http.Request, who principal, in api.SaveSearch) (api.SavedSearch, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.SavedSearch{}, refused
	}
	n := utf8.RuneCountInString(in.Name)
	if n == 0 || n > maxSearchName || strings.TrimSpace(in.Name) != in.Name || strings.Contains(in.Name, "/") || !utf8.ValidString(in.Name) ||
		strings.ContainsFunc(in.Name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return api.SavedSearch{}, badRequest("name: expected 1 to 64 printable characters without a slash", "")
	}
	if len(in.Query) > maxSearchQuery {
		return api.SavedSearch{}, badRequest("query: longer than 4096 bytes", "")
	}
	if _, refused := readAuditQuery(in.Query, slices.Concat(filterParams, []string{"page_size"}), ""); refused != nil {
		return api.SavedSearch{}, refused
	}
	return s.control.SaveSearch(context.WithoutCancel(r.Context()), in, who.as(r, in.Reason))
}

func (s *Server) deleteSearch(r *http.Request, who principal, in api.ForgetSearch) (api.Changed, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.Changed{}, refused
	}
	return api.Changed{Changed: 1}, s.control.ForgetSearch(context.WithoutCancel(r.Context()), in.Name, who.as(r, in.Reason))
}
