package ui

import (
	"html/template"
	"net/http"
	"strings"
)

const awayPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>No relay leads · auditrelay</title></head>
<body><main><h1>No relay leads the fleet</h1>
<p role="alert">{{.Why}}.{{if .Act}} <strong>{{if .Sent}}It is not known whether what you sent was done: look before you repeat it.{{else}}What you sent was not done.{{end}}</strong>{{end}}</p>
{{if .Act}}<p><a href="/ui/">Overview</a></p>{{else}}<p>This page loads itself again every 5 seconds. Another relay takes the lead within some seconds. If none does: <code>auditrelay fleet</code> on each relay, and its log.</p>{{end}}
</main></body></html>
`

// Away answers a browser that requests a screen from a relay that does not lead its fleet and
// cannot forward the request. sent means that the request may have reached the previous leader.
// For any other request Away returns false and does nothing.
func Away(w http.ResponseWriter, r *http.Request, why string, sent bool) bool {
	if !strings.HasPrefix(r.URL.Path, "/ui/") || !strings.Contains(r.Header.Get("Accept"), "text/html") || r.Header.Get("HX-Request") != "" {
		return false
	}
	page := template.Must(template.New("away").Parse(awayPage))
	act := r.Method != http.MethodGet && r.Method != http.MethodHead
	secured(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if !act {
			w.Header().Set("Refresh", "5")
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = page.Execute(w, struct { // the browser disconnected
			Why       string
			Act, Sent bool
		}{strings.ToUpper(why[:1]) + why[1:], act, sent})
	})).ServeHTTP(w, r)
	return true
}
