package ui

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"auditrelay/cli/internal/api"
)

// page is what the layout shows.
type page struct {
	Title   string
	Screen  string // the template's name
	Path    string // of the request, for the navigation
	URL     string // address of the part that is updated live
	Who     api.Principal
	Signed  bool
	Notice  string
	Live    bool
	Version string
	Nav     []navItem
	Content any

	v *visit
}

// May reports whether the caller has a role.
func (p *page) May(role string) bool { return p.v != nil && p.v.may(role) }

// Posted reports whether the request submitted a form.
func (p *page) Posted() bool { return p.v != nil && p.v.r.Method == http.MethodPost }

type navItem struct {
	Path, Title string
	Here        bool
}

// notices are the confirmation texts by code. %d is a number of things.
var notices = map[string]string{
	"paused":           "Paused. Events are kept until you resume.",
	"resumed":          "Resumed.",
	"detached":         "Detached. Pending and new events are skipped until you attach it again.",
	"attached":         "Attached. New events are delivered again.",
	"replayed":         "%d dead letters will be delivered again.",
	"discarded":        "%d dead letters discarded.",
	"replaying":        "Replay started: %d events.",
	"dry":              "Dry run: the replay would deliver %d events. Nothing was started.",
	"cancelled":        "Replay cancelled.",
	"replay-cancelled": "Replay cancelled: what it had not delivered is skipped.",
	"quarantined":      "%d items replayed.",
	"deleted":          "%d items deleted.",
	"pushed":           "Module stored. Select it under a filter to use it.",
	"stored":           "The module was stored already.",
	"removed":          "Module deleted.",
	"using":            "The filter runs the other module from the next event on.",
	"same":             "The filter ran that module already.",
	"shadowed":         "The shadow runs. Nothing of it is delivered.",
	"shadow-used":      "It applies from the next event on. You can roll back here.",
	"rolling":          "The rollout has begun.",
	"promoted":         "The new version judges all events from now on.",
	"rolled-back":      "Rolled back: the version in force judges all events again.",
	"drained":          "Another relay is to lead.",
	"undrained":        "The relay may lead again.",
	"shadow-dropped":   "Shadow dropped.",
	"policy-used":      "The filter applies the other policy from the next event on.",
	"policy-same":      "The filter applied that policy already.",
	"search-saved":     "Search saved.",
	"search-deleted":   "Search deleted.",
	"reset":            "Circuit breaker reset.",
	"reloaded":         "Configuration reloaded.",
	"approved":         "Approved. It waits for further approvals.",
	"approved-done":    "Approved, and done.",
	"rejected":         "Rejected.",
}

func noticeOf(q url.Values) string {
	text := notices[q.Get("notice")]
	if strings.Contains(text, "%d") {
		n, err := strconv.ParseUint(q.Get("n"), 10, 63)
		if err != nil {
			return ""
		}
		return fmt.Sprintf(text, n)
	}
	return text
}

// loadTemplates parses each screen with the layout.
func (s *server) loadTemplates() map[string]*template.Template {
	functions := template.FuncMap{
		"asset":   func(name string) string { return s.assets[name].address },
		"moment":  moment,
		"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"took":    func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) },
		"list":    func(items ...string) []string { return items },
		"count":   func(n any) string { return grouped(fmt.Sprint(n)) },
		"span":    span,
		"bytes":   size,
		"short":   func(digest string) string { return digest[:min(12, len(digest))] },
		"join":    strings.Join,
		"text":    func(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") },
		"urlpart": url.PathEscape,
		// query accepts a query string from any origin and lets only encoded parameters
		// through.
		"query": func(text string) template.URL {
			values, _ := url.ParseQuery(text)
			return template.URL(values.Encode()) //nolint:gosec // it is percent-encoded as a whole
		},
	}
	base := template.Must(template.New("layout").Funcs(functions).ParseFS(templateFiles, "templates/layout.html"))
	all := map[string]*template.Template{}
	names, _ := fs.Glob(templateFiles, "templates/*.html") // embedded: no error
	for _, name := range names {
		key := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		if key != "layout" {
			all[key] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, name))
		}
	}
	return all
}

// write renders the whole page before it sends anything.
func (s *server) write(w http.ResponseWriter, status int, name string, p *page) {
	p.Version, p.Screen = s.Version, name
	part := "layout.html"
	if p.v != nil && p.v.r.Header.Get("HX-Trigger") == "live" && status < 400 {
		part = "live"
	}
	var out bytes.Buffer
	if err := s.templates[name].ExecuteTemplate(&out, part, p); err != nil {
		s.Logger.Error("a screen cannot be rendered", "screen", name, "error", err)
		http.Error(w, "the page failed; the relay's log says more", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(shown(out.Bytes())) // the browser disconnected
}

// unseen reports whether r is invisible or changes the order of the displayed text. Such a
// character makes one text look like another. No template contains one.
func unseen(r rune) bool {
	if unicode.IsControl(r) {
		return r != '\t' && r != '\n' && r != '\r'
	}
	return r >= 0x80 && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// spellOut appends text and writes its invisible characters as escapes.
func spellOut(out *strings.Builder, text string) {
	from := 0
	for i, r := range text {
		if unseen(r) {
			out.WriteString(text[from:i])
			fmt.Fprintf(out, "[U+%04X]", r)
			from = i + utf8.RuneLen(r)
		}
	}
	out.WriteString(text[from:])
}

// shown escapes invisible characters in the text of a page. It leaves attributes alone, because
// their values are sent back, and text areas.
func shown(page []byte) []byte {
	if !bytes.ContainsFunc(page, unseen) {
		return page
	}
	var out strings.Builder
	for text, tag := string(page), ""; text != ""; {
		end := "<"
		if strings.HasPrefix(tag, "<textarea") {
			end = "</textarea"
		}
		at := strings.Index(text, end)
		if at < 0 {
			at = len(text)
		}
		if end == "<" {
			spellOut(&out, text[:at])
		} else {
			out.WriteString(text[:at])
		}
		text = text[at:]
		tag = text[:strings.IndexByte(text, '>')+1]
		if tag == "" {
			tag = text
		}
		out.WriteString(tag)
		text = text[len(tag):]
	}
	return []byte(out.String())
}

// render answers with a screen.
func (v *visit) render(status int, name, title string, content any) {
	p := &page{
		Title: title, Path: v.r.URL.Path, Who: v.who, Signed: v.signed, Notice: noticeOf(v.r.URL.Query()),
		Live: v.screen.live, Content: content, v: v,
	}
	u := *v.r.URL
	q := u.Query()
	q.Del("notice")
	q.Del("n")
	u.RawQuery = q.Encode()
	p.URL = u.RequestURI()
	for _, sc := range screens() {
		if sc.nav != "" && v.may(sc.role) {
			path := strings.TrimSuffix(sc.path, "{$}")
			here := p.Path == path || path != "/ui/" && strings.HasPrefix(p.Path, strings.TrimSuffix(path, "s"))
			p.Nav = append(p.Nav, navItem{path, sc.nav, here})
		}
	}
	v.write(v.w, status, name, p)
}

func (v *visit) show(name, title string, content any) error {
	v.render(http.StatusOK, name, title, content)
	return nil
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// span formats a duration for people.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "none"
	case d < time.Second:
		return "under 1 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// size formats a number of bytes for people.
func size(bytes int64) string {
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	n, unit := float64(bytes)/1024, 0
	for ; n >= 1024 && unit < 3; unit++ {
		n /= 1024
	}
	return fmt.Sprintf("%.1f %s", n, []string{"KiB", "MiB", "GiB", "TiB"}[unit])
}

// grouped inserts separators between thousands.
func grouped(n string) string {
	for i := len(n) - 3; i > 0; i -= 3 {
		n = n[:i] + "," + n[i:]
	}
	return n
}
