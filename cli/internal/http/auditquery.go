package http

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/auditstore"
)

// auditQuery is a client's search.
type auditQuery struct {
	auditstore.Query
	page, pageSize int
	after          *auditstore.Place // set for a cursor; page is then not set
	exactTotal     bool
	format         string // format of an export
	ending         bool
	confined       string // the only namespace that the reader may see; empty: all
}

const (
	maxAuditPage     = 1_000_000
	maxAuditPageSize = 100
	maxAuditValue    = 1024 // bytes of a filter's value
)

// filterParams are the parameters of both a list and an export.
var filterParams = []string{"id", "changed_by", "changed_by_api_key", "action", "table_name", "object_id",
	"object_team_id", "object_team", "object_key_hash", "start_date", "end_date", "sort_by", "sort_order"}

// originParams are only for an export, since no index has these fields.
var originParams = []string{"namespace", "source", "principal"}

// The parameters of each route.
var (
	listParams   = append([]string{"page", "page_size", "cursor", "exact_total"}, filterParams...)
	exportParams = append(append([]string{"format", "ending"}, originParams...), filterParams...)
)

// narrowing are the parameters that limit a search.
var narrowing = append([]string{"cursor", "id", "changed_by", "changed_by_api_key", "action", "table_name", "object_id", "start_date", "end_date", "namespace", "source", "principal"}, insideParams()...)

func insideParams() (names []string) {
	for _, f := range auditstore.Inside() {
		names = append(names, string(f))
	}
	return names
}

// auditParams parses a query string and collects all faults.
type auditParams struct {
	values   url.Values
	problems []string
	invalid  []api.Invalid // faults of page and page_size
}

func (p *auditParams) bad(name, format string, args ...any) {
	p.problems = append(p.problems, name+": "+fmt.Sprintf(format, args...))
}

// readAuditQuery parses a query string strictly, since ignoring an unknown parameter would
// silently widen the search. namespace is the only one that the reader may see; empty: all.
func readAuditQuery(raw string, allowed []string, namespace string) (auditQuery, *api.Error) {
	p := &auditParams{}
	var err error
	if p.values, err = url.ParseQuery(raw); err != nil {
		return auditQuery{}, badRequest("the query string is malformed", "")
	}
	// An export, and a request with a cursor, must be exact. A list treats an empty value as
	// missing, as LiteLLM does.
	strict := slices.Contains(allowed, "format") || p.values.Has("cursor")
	names := make([]string, 0, len(p.values))
	for name := range p.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case !slices.Contains(allowed, name):
			p.bad(strconv.Quote(brief(name)), "there is no such parameter")
		case len(p.values[name]) > 1:
			p.bad(name, "it is given %d times", len(p.values[name]))
		case len(p.values.Get(name)) > maxAuditValue:
			p.bad(name, "longer than %d bytes", maxAuditValue)
		case !utf8.ValidString(p.values.Get(name)):
			p.bad(name, "not valid UTF-8")
		case p.values.Get(name) == "" && strict && slices.Contains(narrowing, name):
			p.bad(name, "it is empty: leave it out, or everything would be found")
		}
		if len(p.problems) >= 20 {
			break // a request with hundreds of faults is no typing mistake
		}
	}
	q := auditQuery{page: p.number("page", 1, maxAuditPage), pageSize: p.number("page_size", 10, maxAuditPageSize)}
	p.filters(&q.Query)
	q.confined = namespace
	if q.Namespace = p.values.Get("namespace"); namespace != "" {
		if q.Namespace != "" && q.Namespace != namespace {
			p.bad("namespace", "the token is confined to %s", namespace)
		}
		q.Namespace = namespace
	}
	q.Source, q.Principal = p.values.Get("source"), p.values.Get("principal")
	q.exactTotal = p.flag("exact_total", false)
	q.ending = p.flag("ending", true)
	if q.format = p.values.Get("format"); slices.Contains(allowed, "format") && q.format != "csv" && q.format != "ndjson" {
		p.bad("format", "expected csv or ndjson")
	}
	if text := p.values.Get("cursor"); text != "" {
		at, err := q.parseCursor(text)
		if err != "" {
			p.bad("cursor", "%s", err)
		}
		if p.values.Get("page") != "" {
			p.bad("page", "it goes without cursor only")
		}
		q.after = &at
	}
	if p.problems != nil {
		e := badRequest(strings.Join(p.problems, "; "), "see docs/operators/store.md")
		if p.invalid != nil {
			e.Status, e.Invalid = http.StatusUnprocessableEntity, p.invalid
		}
		return auditQuery{}, e
	}
	return q, nil
}

func (p *auditParams) number(name string, otherwise, most int) int {
	text := p.values.Get(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err == nil && n >= 1 && n <= most {
		return n
	}
	p.bad(name, "expected a number from 1 to %d", most)
	no := api.Invalid{Where: []string{"query", name}, Input: brief(text)}
	switch {
	case err != nil:
		no.Type, no.Text = "int_parsing", "Input should be a valid integer, unable to parse string as an integer"
	case n < 1:
		no.Type, no.Text, no.Limit = "greater_than_equal", "Input should be greater than or equal to 1", map[string]int{"ge": 1}
	default:
		no.Type, no.Text, no.Limit = "less_than_equal", fmt.Sprintf("Input should be less than or equal to %d", most), map[string]int{"le": most}
	}
	p.invalid = append(p.invalid, no)
	return otherwise
}

func (p *auditParams) flag(name string, otherwise bool) bool {
	switch p.values.Get(name) {
	case "":
		return otherwise
	case "true":
		return true
	case "false":
		return false
	}
	p.bad(name, "expected true or false")
	return otherwise
}

func (p *auditParams) filters(q *auditstore.Query) {
	q.Equal = map[auditstore.Field]string{}
	for _, f := range auditstore.Filterable() {
		if value := p.values.Get(string(f)); value != "" {
			q.Equal[f] = value
		}
	}
	q.Contains = map[auditstore.Field]string{}
	for _, f := range auditstore.Inside() {
		if value := p.values.Get(string(f)); value != "" {
			q.Contains[f] = value
		}
	}
	q.From = p.time("start_date", false)
	q.To = p.time("end_date", true)
	if !q.From.IsZero() && !q.To.IsZero() && q.From.After(q.To) {
		p.bad("end_date", "it is before start_date")
	}
	if q.Sort = auditstore.Field(p.values.Get("sort_by")); q.Sort == "" {
		q.Sort = auditstore.FieldUpdatedAt
	}
	if !slices.Contains(auditstore.Sortable(), q.Sort) {
		names := make([]string, 0, len(auditstore.Sortable()))
		for _, f := range auditstore.Sortable() {
			names = append(names, string(f))
		}
		p.bad("sort_by", "expected one of %s", strings.Join(names, ", "))
	}
	switch p.values.Get("sort_order") {
	case "", "desc":
	case "asc":
		q.Ascending = true
	default:
		p.bad("sort_order", "expected asc or desc")
	}
}

// time parses a time or a UTC day. The whole day counts.
func (p *auditParams) time(name string, end bool) time.Time {
	text := p.values.Get(name)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		p.bad(name, "expected a time as in 2026-01-31T00:00:00Z, or a day as in 2026-01-31")
		return time.Time{}
	}
	if end {
		return t.AddDate(0, 0, 1).Add(-time.Microsecond)
	}
	return t
}

// A cursor says where in an order a page ended. Its holder can read all of it anyway, so it
// needs no signature. It is bound to its search, since in another search it would silently skip
// or repeat records.
const (
	cursorVersion = 1
	cursorBytes   = 1 + 8 + 8 + 8
)

func (q *auditQuery) cursor(at auditstore.Place) string {
	b := []byte{cursorVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(at.Time.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, uint64(at.Position))
	return base64.RawURLEncoding.EncodeToString(append(b, q.digest()...))
}

// parseCursor parses a cursor, or returns what is wrong with it.
func (q *auditQuery) parseCursor(text string) (at auditstore.Place, problem string) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorBytes || b[0] != cursorVersion {
		return at, "not a cursor of this relay"
	}
	if string(b[17:]) != string(q.digest()) {
		return at, "it came from a search with other filters or another order"
	}
	at.Time = time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC()
	at.Position = int64(binary.BigEndian.Uint64(b[9:]))
	if at.Position < 0 {
		return at, "not a cursor of this relay"
	}
	return at, ""
}

// digest returns a digest of everything that determines which records come in which order.
func (q *auditQuery) digest() []byte {
	h := sha256.New()
	for _, f := range auditstore.Filterable() {
		fmt.Fprintf(h, "%s=%q\n", f, q.Equal[f])
	}
	for _, f := range auditstore.Inside() {
		if value, ok := q.Contains[f]; ok { // so that older cursors without the field stay valid
			fmt.Fprintf(h, "%s=%q\n", f, value)
		}
	}
	if q.Namespace != "" {
		fmt.Fprintf(h, "namespace=%q\n", q.Namespace)
	}
	fmt.Fprintf(h, "%d %d %s %t", q.From.UnixMicro(), q.To.UnixMicro(), q.Sort, q.Ascending)
	return h.Sum(nil)[:8]
}
