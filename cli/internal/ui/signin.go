package ui

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/oidc"
)

// signInView is what the sign-in screen shows.
type signInView struct {
	Next    string
	Refused string
	Issuer  bool // users can sign in at the issuer
	Ended   bool // a session has ended
	Undone  bool // the browser's last request was not carried out
	// Elsewhere means that a link on another site led here. The browser does not send the
	// session's cookie with such a request, so a session may exist.
	Elsewhere bool
}

// issuer returns the issuer where users can sign in, or nil if there is none.
func (s *server) issuer() *oidc.Issuer {
	if s.Issuer == nil {
		return nil
	}
	return s.Issuer()
}

func (s *server) signInForm(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.write(w, http.StatusOK, "sign-in", &page{Title: "Sign in", Content: signInView{
		Next: next(q.Get("next")), Issuer: s.issuer() != nil,
		Ended: q.Has("ended"), Undone: q.Get("ended") == http.MethodPost, Elsewhere: q.Get("from") == "elsewhere",
	}})
}

func (s *server) askToSignIn(w http.ResponseWriter, status int, next, refused string) {
	s.write(w, status, "sign-in", &page{Title: "Sign in", Content: signInView{Next: next, Refused: refused, Issuer: s.issuer() != nil}})
}

func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 20<<10)
	to := next(r.FormValue("next"))
	token := auditrelay.Secret(strings.TrimSpace(r.PostFormValue("token")))
	if token == "" {
		s.askToSignIn(w, http.StatusBadRequest, to, "Enter a token.")
		return
	}
	if s.begin(w, r, token, to) {
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// begin starts a session if the token is valid. Otherwise it answers the request and returns
// false.
func (s *server) begin(w http.ResponseWriter, r *http.Request, token auditrelay.Secret, to string) bool {
	who, err := s.client(r, token).Principal(r.Context())
	if refused, ok := errors.AsType[*api.Error](err); ok {
		if refused.RetryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(int(refused.RetryAfter.Seconds())))
		}
		s.askToSignIn(w, refused.Status, to, "The relay refused the token: "+refused.Message+".")
		return false
	}
	if err != nil {
		s.Logger.Error("the page cannot call the API", "error", err)
		s.askToSignIn(w, http.StatusInternalServerError, to, "The relay failed; its log says more.")
		return false
	}
	if !slices.Contains(who.Roles, "view") {
		s.Denied(r, api.ReasonForbidden, who.Name)
		s.askToSignIn(w, http.StatusForbidden, to, "This token has no role that sees anything here. Use one with the role view.")
		return false
	}
	s.sessions.end(r) // an id from before the sign-in is never reused
	setCookie(w, r, s.sessions.begin(who.Name, token))
	return true
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	setCookie(w, r, "")
	http.Redirect(w, r, "/ui/sign-in", http.StatusSeeOther)
}

// attemptCookie stores a sign-in at the issuer in the browser that began it, so an answer to
// another browser's sign-in does not match. The relay stores nothing for a sign-in, so nobody
// can fill its memory.
const (
	attemptCookie = "auditrelay_sign_in"
	attemptLimit  = 10 * time.Minute
)

func setAttempt(w http.ResponseWriter, r *http.Request, value string) {
	// Lax, because the browser comes back from another site.
	c := &http.Cookie{Name: attemptCookie, Value: value, Path: "/ui/", HttpOnly: true, Secure: encrypted(r), SameSite: http.SameSiteLaxMode, MaxAge: int(attemptLimit.Seconds())}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// attemptOf returns the browser's sign-in that is in progress.
func attemptOf(r *http.Request) (a oidc.Attempt, to string, ok bool) {
	c, err := r.Cookie(attemptCookie)
	if err != nil {
		return a, "", false
	}
	parts := strings.Split(c.Value, ".")
	if len(parts) != 4 {
		return a, "", false
	}
	to, err = url.QueryUnescape(parts[3])
	return oidc.Attempt{State: parts[0], Nonce: parts[1], Verifier: parts[2]}, next(to), err == nil && parts[0] != "" && parts[1] != "" && parts[2] != ""
}

// login redirects the browser to the issuer.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	issuer, to := s.issuer(), next(r.FormValue("next"))
	if issuer == nil {
		s.bare(w, r, http.StatusNotFound, "No such page", "People sign in with a token here.")
		return
	}
	a := oidc.NewAttempt()
	address, err := issuer.Address(r.Context(), a)
	if err != nil {
		s.askToSignIn(w, http.StatusServiceUnavailable, to, "The issuer does not answer. Try again later, or use a token.")
		return
	}
	escaped := strings.ReplaceAll(url.QueryEscape(to), ".", "%2E") // dots separate the parts of the cookie's value
	if len(escaped) > 2000 {
		escaped = ""
	}
	setAttempt(w, r, strings.Join([]string{a.State, a.Nonce, a.Verifier, escaped}, "."))
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// callback handles the issuer's answer.
func (s *server) callback(w http.ResponseWriter, r *http.Request) {
	issuer := s.issuer()
	a, to, ok := attemptOf(r)
	setAttempt(w, r, "")
	q := r.URL.Query()
	switch {
	case issuer == nil:
		s.bare(w, r, http.StatusNotFound, "No such page", "People sign in with a token here.")
		return
	case !ok || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(a.State)) != 1:
		s.Denied(r, api.ReasonUnauthorized, "")
		s.askToSignIn(w, http.StatusForbidden, "/ui/", "This sign-in was not begun in this browser, or more than 10 minutes ago. Sign in again.")
		return
	case q.Get("code") == "":
		s.askToSignIn(w, http.StatusForbidden, to, "The issuer did not sign you in.")
		return
	}
	token, err := issuer.Redeem(r.Context(), a, q.Get("code"), q.Get("iss"))
	switch {
	case errors.Is(err, oidc.ErrUnreachable):
		s.askToSignIn(w, http.StatusServiceUnavailable, to, "The issuer does not answer. Try again later, or use a token.")
		return
	case err != nil:
		s.Denied(r, api.ReasonUnauthorized, "")
		s.askToSignIn(w, http.StatusForbidden, to, "The issuer's answer was refused; the relay's log says why.")
		return
	}
	if !s.begin(w, r, token, to) {
		return
	}
	// A redirect would continue the issuer's navigation, in which the browser does not send the
	// session's cookie.
	w.Header().Set("Refresh", "0; url="+to)
	s.bare(w, r, http.StatusOK, "Signed in", "")
}

// next returns the address after the sign-in: one of our screens, or the overview.
func next(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path.Clean(u.Path)+"/", "/ui/") || strings.HasPrefix(to, "//") || strings.Contains(to, "\\") {
		return "/ui/"
	}
	return u.RequestURI()
}
