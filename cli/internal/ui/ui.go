// Package ui serves the operators' page: HTML under /ui/ on top of the relay's own HTTP API.
// Each screen and each button calls an endpoint of package api in process, with the token of
// the signed-in user. Only the API decides who may do what, and only the API records what was
// done. This package grants no rights of its own.
//
// Every string that an event, a guest or a sender wrote reaches the page through the contextual
// escaping of html/template. The Content-Security-Policy permits no inline script and no inline
// style.
package ui

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
	"auditrelay/cli/internal/oidc"
	"auditrelay/config"
)

//go:embed assets
var assetFiles embed.FS

//go:embed templates
var templateFiles embed.FS

// Options configure the page.
type Options struct {
	// API answers the page's calls. Required.
	API http.Handler
	// Denied records a request that the page refuses without asking the API, as the API records
	// its own: with the reason of package api, and the caller's name or "". Default: not recorded.
	Denied func(r *http.Request, reason, name string)
	// Version is the text at the foot of each screen.
	Version string
	// Issuer returns the issuer where users can sign in besides using a token, or nil if there
	// is none. Default: none.
	Issuer func() *oidc.Issuer
	// Logger receives the page's own faults; default slog.Default().
	Logger *slog.Logger

	now  func() time.Time // default time.Now
	tick time.Duration    // interval at which an open page checks for changes; default defaultTick
}

const defaultTick = 3 * time.Second

// maxStreams limits the number of pages that are updated live, and maxStreamsOfOne those of one
// principal. Further pages are not updated after they were loaded.
const (
	maxStreams      = 64
	maxStreamsOfOne = 32
)

// maxReports limits the reports created at the same time. Each reads up to 200,000 receipts and
// stores their events.
const maxReports = 2

// Maximum size in bytes of a form, and of a form with a module. The API applies its own lower
// limits where they matter.
const (
	maxForm   = 2 << 20
	maxUpload = 64 << 20
)

// policy is the Content-Security-Policy of every answer.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

type server struct {
	Options
	sessions  *sessions
	templates map[string]*template.Template
	assets    map[string]asset
	streams   streams
	reports   chan struct{}
	history   history
	asked     asked
}

// New returns the handler for everything under /ui/. It is safe for concurrent use.
func New(o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Denied == nil {
		o.Denied = func(*http.Request, string, string) {}
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.tick == 0 {
		o.tick = defaultTick
	}
	s := &server{Options: o, sessions: newSessions(o.now), reports: make(chan struct{}, maxReports)}
	s.assets = loadAssets()
	s.templates = s.loadTemplates()
	mux := http.NewServeMux()
	for _, sc := range screens() {
		mux.HandleFunc(sc.method+" "+sc.path, s.serve(sc))
	}
	mux.HandleFunc("GET /ui/assets/{name}", s.asset)
	mux.HandleFunc("GET /ui/sign-in", s.signInForm)
	mux.HandleFunc("POST /ui/sign-in", s.signIn)
	mux.HandleFunc("POST /ui/sign-out", s.signOut)
	mux.HandleFunc("GET /ui/login", s.login)
	mux.HandleFunc("GET "+config.OIDCCallback, s.callback)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.bare(w, r, http.StatusNotFound, "No such page", "The address may be mistyped.")
	})
	var guard http.CrossOriginProtection
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Denied(r, api.ReasonCrossOrigin, "")
		s.bare(w, r, http.StatusForbidden, "Refused", "The request came from a page of another site.")
	}))
	return secured(guard.Handler(mux))
}

// secured sets the headers that all answers share.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// asset is one static file. Its address contains its digest, so it can be cached.
type asset struct {
	address, contentType string
	content              []byte
}

// loadAssets returns the static files by name without version.
func loadAssets() map[string]asset {
	all := map[string]asset{}
	entries, _ := fs.ReadDir(assetFiles, "assets") // embedded: no error
	types := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml", "txt": "text/plain; charset=utf-8"}
	for _, e := range entries {
		content, _ := assetFiles.ReadFile("assets/" + e.Name())
		sum := sha256.Sum256(content)
		extension := e.Name()[strings.LastIndexByte(e.Name(), '.')+1:]
		all[e.Name()] = asset{
			address:     "/ui/assets/" + e.Name() + "?v=" + hex.EncodeToString(sum[:6]),
			contentType: types[extension], content: content,
		}
	}
	return all
}

func (s *server) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.PathValue("name")]
	if !ok {
		s.bare(w, r, http.StatusNotFound, "No such file", "")
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.content)
}

// visit is one request of one screen.
type visit struct {
	*server
	w      http.ResponseWriter
	r      *http.Request
	api    *client.Client
	who    api.Principal
	signed bool // signed in by a session, so the user can sign out
	screen screen
}

// client returns an API client that acts for the browser of r with token.
func (s *server) client(r *http.Request, token auditrelay.Secret) *client.Client {
	return client.Within(inProcess{api: s.API, browser: r}, token)
}

// enter authenticates a request. If it returns nil, it has answered the request.
func (s *server) enter(w http.ResponseWriter, r *http.Request, sc screen) *visit {
	byItself := r.Header.Get("HX-Trigger") == "live" || sc.stream
	token, signed := s.sessions.token(r, byItself)
	v := &visit{server: s, w: w, r: r, api: s.client(r, token), signed: signed, screen: sc}
	var err error
	v.who, err = v.api.Principal(r.Context())
	refused, _ := errors.AsType[*api.Error](err)
	switch {
	case err == nil:
		return v
	case refused != nil && refused.Status == http.StatusUnauthorized && sc.stream:
		s.endStream(w, r)
	case refused != nil && refused.Status == http.StatusUnauthorized:
		s.toSignIn(w, r)
	case refused != nil:
		s.bare(w, r, refused.Status, "Refused", refused.Message+". "+refused.Hint)
	default:
		s.Logger.Error("the page cannot call the API", "error", err)
		s.bare(w, r, http.StatusInternalServerError, "The page failed", "The relay's log says more.")
	}
	return nil
}

func (s *server) serve(sc screen) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		limit := int64(maxForm)
		if sc.upload {
			limit = maxUpload
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		v := s.enter(w, r, sc)
		if v == nil {
			return
		}
		if !v.may(sc.role) {
			s.Denied(r, api.ReasonForbidden, v.who.Name)
			v.failure(&api.Error{Status: http.StatusForbidden, Message: "this needs the role " + sc.role, Hint: "sign in with a token that has it"})
			return
		}
		if r.Method == http.MethodPost && !sc.upload {
			if err := r.ParseForm(); err != nil {
				v.failure(unreadable(err, "the form", maxForm))
				return
			}
		}
		if version := seen(r.PostForm); version != "" { // the form acts on this version alone
			v.api = v.api.Seeing(version)
		}
		if err := sc.show(v); err != nil {
			v.failure(err)
		}
	}
}

// seen returns the version that the form's user saw: of the object, or of the filter that the
// user selected in the form. It returns "" if the form has none.
func seen(form url.Values) string {
	if version := form.Get("seen"); version != "" {
		return version
	}
	filter, _, _ := strings.Cut(cmp.Or(form.Get("filter"), form.Get("where")), " ")
	return form.Get("seen " + filter)
}

// unreadable returns the reason why a submitted form was not read.
func unreadable(err error, what string, limit int64) *api.Error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &api.Error{Status: http.StatusRequestEntityTooLarge, Message: what + " is too large", Hint: "at most " + size(limit)}
	}
	return &api.Error{Status: http.StatusBadRequest, Message: what + " cannot be read"}
}

// may reports whether the caller has a role.
func (v *visit) may(role string) bool { return role == "" || slices.Contains(v.who.Roles, role) }

// failure answers with an error from the API.
func (v *visit) failure(err error) {
	if v.r.Context().Err() != nil {
		return // the browser disconnected
	}
	refused, ok := errors.AsType[*api.Error](err)
	if !ok {
		v.Logger.Error("a screen failed", "screen", v.screen.path, "error", err)
		refused = &api.Error{Status: http.StatusInternalServerError, Message: "the page failed", Hint: "the relay's log says more"}
	}
	if refused.Status == http.StatusUnauthorized {
		v.toSignIn(v.w, v.r)
		return
	}
	title := "Not done"
	if refused.Reason == api.ReasonApproval {
		title = "Waits for approval"
	}
	v.render(max(refused.Status, 400), "failure", title, refused)
}

// done redirects the browser to another screen with a notice. The notice is a code and at most
// one number, so nobody's text appears in an address.
func (v *visit) done(to, notice string, n int) error {
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	q := u.Query()
	if notice != "" {
		q.Set("notice", notice)
	}
	if n >= 0 {
		q.Set("n", fmt.Sprint(n))
	}
	u.RawQuery = q.Encode()
	http.Redirect(v.w, v.r, u.String(), http.StatusSeeOther)
	return nil
}

// toSignIn shows the sign-in screen and tells the user if a session has ended. After signing in
// the user returns to the requested screen.
func (s *server) toSignIn(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	part := r.Header.Get("HX-Request") != ""
	q, at := url.Values{}, ""
	switch {
	case part:
		if u, err := url.Parse(r.Header.Get("HX-Current-URL")); err == nil {
			at = u.RequestURI()
		}
	case r.Method == http.MethodGet:
		at = r.URL.RequestURI()
	}
	if at = next(at); at != "/ui/" {
		q.Set("next", at)
	}
	if _, err := r.Cookie(cookieName); err == nil {
		q.Set("ended", r.Method)
	} else if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		q.Set("from", "elsewhere")
	}
	to := "/ui/sign-in"
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	if part {
		w.Header().Set("HX-Redirect", to)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// endStream tells an open page that its session has ended. A live page then reloads its parts
// and asks the user to sign in; a tap shows a message. A redirect would change neither.
func (s *server) endStream(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "event: change\ndata: \n\nevent: ended\ndata: The session has ended. <a href=\"/ui/sign-in?next=%2Fui%2Ftap\">Sign in again</a>, then watch anew.\n\n")
}

// bare answers before the user is known.
func (s *server) bare(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	if r.Method == http.MethodHead {
		w.WriteHeader(status)
		return
	}
	s.write(w, status, "bare", &page{Title: title, Content: text})
}

// live tells an open page when to reload its parts.
func (v *visit) live() error {
	if !v.streams.take(v.who.Name) {
		return &api.Error{Status: http.StatusServiceUnavailable, Message: "too many pages are open"}
	}
	defer v.streams.free(v.who.Name)
	control := http.NewResponseController(v.w)
	v.w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(v.tick)
	defer ticker.Stop()
	var before [sha256.Size]byte
	for {
		now, err := v.fingerprint(v.r.Context())
		if v.r.Context().Err() != nil {
			return nil
		}
		event := ": as before\n\n"
		if err != nil || now != before { // always the first time: the page's contents are older than this connection
			event = "event: change\ndata: \n\n"
		}
		before = now
		_ = control.SetWriteDeadline(v.now().Add(v.tick + 10*time.Second)) // fails only with a test's recorder
		if _, werr := v.w.Write([]byte(event)); werr != nil || err != nil {
			return nil // the page reloads its parts and asks the user to sign in
		}
		if err := control.Flush(); err != nil {
			return nil
		}
		select {
		case <-v.r.Context().Done():
			return nil
		case <-ticker.C:
		}
		if _, signed := v.sessions.token(v.r, true); v.signed && !signed {
			_, _ = v.w.Write([]byte("event: change\ndata: \n\n"))
			return nil
		}
	}
}

// fingerprint returns a value that changes when the contents of the screens change.
func (v *visit) fingerprint(ctx context.Context) (sum [sha256.Size]byte, err error) {
	callbacks, err := v.api.Callbacks(ctx)
	if err != nil {
		return sum, err
	}
	stats, err := v.api.Stats(ctx)
	if err != nil {
		return sum, err
	}
	shadows, err := v.api.Shadows(ctx)
	if alone(err) {
		err = nil
	}
	if err != nil {
		return sum, err
	}
	rollouts, err := v.rolloutsOf(ctx)
	if err != nil {
		return sum, err
	}
	fleet, err := v.fleetOf()
	if err != nil {
		return sum, err
	}
	v.history.sample(v.now(), callbacks)
	h := sha256.New()
	for i := range callbacks {
		callbacks[i].Lag = callbacks[i].Lag.Truncate(time.Minute)
		fmt.Fprintf(h, "%+v\n", callbacks[i])
	}
	for i := range shadows {
		fmt.Fprintln(h, shadows[i].Callback, shadows[i].Digest, shadows[i].Events, shadows[i].Missed, shadows[i].End)
	}
	for i := range rollouts {
		fmt.Fprintln(h, rollouts[i].ID, rollouts[i].State, rollouts[i].Counts)
	}
	if fleet != nil {
		fmt.Fprintln(h, fleet.Leader, fleet.Epoch, fleet.Agree, fleet.Reason)
		for i := range fleet.Relays {
			fmt.Fprintln(h, fleet.Relays[i].Name, fleet.Relays[i].State, fleet.Relays[i].Failure)
		}
	}
	fmt.Fprintln(h, stats.Accepted, stats.Rejected, stats.Quarantine, stats.NotAccepting)
	return [sha256.Size]byte(h.Sum(nil)), nil
}
