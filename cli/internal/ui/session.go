package ui

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/config"
)

// cookieName is the name of the session's cookie. The cookie contains only a random id.
const cookieName = "auditrelay_session"

// A session ends after idleLimit without a request, and after lifeLimit in any case. OWASP's
// session management guidance gives 15 to 30 minutes and 4 to 8 hours for such applications.
const (
	idleLimit = 30 * time.Minute
	lifeLimit = 8 * time.Hour
)

// maxSessions limits the number of sessions, and maxSessionsOfOne those of one principal, so that
// nobody can end those of others. Above a limit the session that was idle the longest ends.
const (
	maxSessions      = 1000
	maxSessionsOfOne = 100
)

// session is one browser that signed in with a token. Every request presents the token to the
// API, so a token that was removed or has expired ends its sessions at once.
type session struct {
	name        string // of its principal
	token       auditrelay.Secret
	began, used time.Time
}

// sessions are the sessions of one relay. They are only in memory, so a restart ends them all.
// It is safe for concurrent use.
type sessions struct {
	now  func() time.Time
	mu   sync.Mutex
	byID map[string]*session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: map[string]*session{}}
}

// begin starts a session of a principal and returns its id.
func (s *sessions) begin(name string, token auditrelay.Secret) string {
	id := rand.Text() // at least 128 bits
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.byID {
		if old.ended(now) {
			delete(s.byID, id)
		}
	}
	s.limit(maxSessionsOfOne, func(o *session) bool { return o.name == name })
	s.limit(maxSessions, func(*session) bool { return true })
	s.byID[id] = &session{name: name, token: token, began: now, used: now}
	return id
}

// limit makes room for one more of the selected sessions. The caller must hold mu.
func (s *sessions) limit(most int, selected func(*session) bool) {
	n, idlest := 0, ""
	for id, o := range s.byID {
		if !selected(o) {
			continue
		}
		if n++; idlest == "" || o.used.Before(s.byID[idlest].used) {
			idlest = id
		}
	}
	if n >= most {
		delete(s.byID, idlest)
	}
}

func (o *session) ended(now time.Time) bool {
	return now.Sub(o.used) >= idleLimit || now.Sub(o.began) >= lifeLimit
}

// token returns the token of the request's session. ok is false without a session or after its
// end. byItself marks a request that the page makes on its own; it does not extend the session.
func (s *sessions) token(r *http.Request, byItself bool) (token auditrelay.Secret, ok bool) {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", false
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.byID[c.Value]
	if o == nil {
		return "", false
	}
	if o.ended(now) {
		delete(s.byID, c.Value)
		return "", false
	}
	if !byItself {
		o.used = now
	}
	return o.token, true
}

// end ends the request's session, if any.
func (s *sessions) end(r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		s.mu.Lock()
		delete(s.byID, c.Value)
		s.mu.Unlock()
	}
}

// encrypted reports whether the browser uses HTTPS, to the relay or to a proxy in front of it.
// Browsers send Sec-Fetch-Site over HTTPS and to their own machine only.
func encrypted(r *http.Request) bool {
	host := (&url.URL{Host: r.Host}).Hostname()
	return r.TLS != nil || r.Header.Get("Sec-Fetch-Site") != "" && !config.Loopback(host)
}

// setCookie sets the session's cookie to an id. An empty id deletes it.
func setCookie(w http.ResponseWriter, r *http.Request, id string) {
	c := &http.Cookie{
		Name: cookieName, Value: id, Path: "/ui/", HttpOnly: true, Secure: encrypted(r), SameSite: http.SameSiteStrictMode,
	}
	if id == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}
