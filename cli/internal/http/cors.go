package http

import (
	"net/http"
	"slices"

	"auditrelay/cli/internal/api"
)

// corsAge is how long a browser caches the permissions, in seconds.
const corsAge = "600"

// corsPaths returns the paths that pages of configured origins may read.
func corsPaths() []string {
	return []string{api.GetAudit.Path, api.GetAuditLog.Path, api.GetAuditExport.Path}
}

// allowOrigin lets a page with a configured origin read the response. The token that it must
// send decides everything else; there are no cookies.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	w.Header().Add("Vary", "Origin")
	if origin == "" || !slices.Contains(s.auth.Load().origins, origin) {
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	return true
}

// preflight answers a browser's question whether a page may read a path.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	if !s.allowOrigin(w, r) || r.Header.Get("Access-Control-Request-Method") != http.MethodGet {
		respondError(w, &api.Error{
			Status: http.StatusForbidden, Reason: api.ReasonCrossOrigin,
			Message: "a page from elsewhere may not call the relay", Hint: "name its origin in audit.cors_origins",
		})
		return
	}
	w.Header().Set("Access-Control-Allow-Methods", http.MethodGet)
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	w.Header().Set("Access-Control-Max-Age", corsAge)
	w.WriteHeader(http.StatusNoContent)
}
