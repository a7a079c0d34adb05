package http

import (
	"net/http"

	"auditrelay/cli/internal/api"
)

// getCaller returns the caller's name and roles.
func (s *Server) getCaller(_ *http.Request, who principal, _ api.None) (api.Principal, error) {
	out := api.Principal{Name: who.by(), Roles: []string{}}
	for _, r := range roles() {
		if who.roles[r] {
			out.Roles = append(out.Roles, string(r))
		}
	}
	return out, nil
}
