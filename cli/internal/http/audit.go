package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/auditstore"
	"auditrelay/runtime"
)

// The audit API reads the store in the form of LiteLLM's own API.

// auditTime limits one search of the store.
const auditTime = 5 * time.Second

// countedExactly is the maximum up to which the total of a search is counted, unless the client
// requests an exact count.
const countedExactly = 10_000

// auditSlots limit the number of concurrent searches and exports.
type auditSlots struct{ searches, exports chan struct{} }

func newAuditSlots() auditSlots {
	return auditSlots{searches: make(chan struct{}, 8), exports: make(chan struct{}, 2)}
}

// auditHandler responds from an open store. If it returns an error before any response was
// sent, the error is the response. Otherwise the response breaks off.
type auditHandler func(w *auditWriter, r *http.Request, who principal, rec recorder, from *auditstore.Store) error

// audited calls a handler with its store and a slot, unless a follower reads the store itself.
func (s *Server) audited(slots chan struct{}, handle auditHandler) func(http.ResponseWriter, *http.Request, principal) {
	return func(w http.ResponseWriter, r *http.Request, who principal) {
		l, err := s.serving()
		if err != nil {
			respondAuditError(w, noStore())
			return
		}
		rec := journalRecorder{s, r, who, l.Callback()}
		if s.asksGrant(r, l) {
			s.grant(w, r, who, rec)
			return
		}
		s.search(w, r, slots, l, func(out *auditWriter, from *auditstore.Store) error { return handle(out, r, who, rec, from) })
	}
}

// search calls a handler with the open store and a slot, and responds.
func (s *Server) search(w http.ResponseWriter, r *http.Request, slots chan struct{}, l Store, handle func(out *auditWriter, from *auditstore.Store) error) {
	timer := time.NewTimer(auditTime)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-timer.C:
		respondAuditError(w, &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, Message: "too many searches of the store are running", RetryAfter: retrySoon})
		return
	case <-r.Context().Done():
		respondAuditError(w, s.auditFailure(r, r.Context().Err()))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), auditTime)
	from, err := l.Read(ctx)
	err = timedOut(ctx, err)
	cancel()
	w.Header().Set("Content-Type", "application/json") // an export sets its own
	out := &auditWriter{w: w, out: bufio.NewWriterSize(patientWriter{w, s.patience.write}, 64<<10)}
	if err == nil {
		err = handle(out, from)
	}
	if err == nil {
		err = out.out.Flush()
	}
	if err == nil {
		return
	}
	if out.begun() {
		panic(http.ErrAbortHandler) // so that the client sees that the response is incomplete
	}
	respondAuditError(w, s.auditFailure(r, err))
}

// respondAuditError also writes an error in LiteLLM's form, for its dashboard.
func respondAuditError(w http.ResponseWriter, e *api.Error) {
	var detail any = map[string]string{"message": e.Message}
	if e.Invalid != nil {
		detail = e.Invalid
	}
	respondFailure(w, e, struct {
		api.Failure
		Detail any `json:"detail"`
	}{api.Failure{Error: e}, detail})
}

func (s *Server) serving() (Store, error) {
	if s.stores == nil {
		return nil, ErrNoStore
	}
	return s.stores.Serving()
}

// auditWriter is a response in progress. Nothing is sent until its buffer is full.
type auditWriter struct {
	w   http.ResponseWriter
	out *bufio.Writer
}

func (a *auditWriter) begun() bool {
	rec, ok := a.w.(*statusRecorder)
	return !ok || rec.status != 0
}

func noStore() *api.Error {
	return &api.Error{
		Status: http.StatusNotImplemented, Reason: api.ReasonBadRequest,
		Message: "no callback of the configuration is a store", Hint: "add one: {name: store, sink: {sqlite: {}}}; see docs/operators/store.md",
	}
}

func (s *Server) auditFailure(r *http.Request, err error) *api.Error {
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return refused
	}
	switch {
	case errors.Is(context.Cause(r.Context()), errLeaderGone):
		return away("the relay that leads the fleet does not answer")
	case errors.Is(err, ErrNoStore):
		return noStore()
	case errors.Is(err, auditstore.ErrEarlier):
		return &api.Error{Status: http.StatusNotImplemented, Reason: api.ReasonBadRequest, Message: err.Error(), Hint: "without object_team_id, object_team and object_key_hash the search works"}
	case filling(err):
		return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, Message: err.Error(), Hint: "retry in a few seconds, or search without object_team_id, object_team and object_key_hash", RetryAfter: 5 * time.Second}
	case errors.Is(err, auditstore.ErrGone):
		return badRequest("cursor: its record has been deleted", "start again without it")
	case errors.Is(err, context.DeadlineExceeded):
		return &api.Error{
			Status: http.StatusServiceUnavailable, Reason: api.ReasonTooSlow, RetryAfter: retrySoon,
			Message: "the search took longer than " + auditTime.String() + " and was given up", Hint: "narrow it with start_date, end_date or another filter",
		}
	case r.Context().Err() != nil:
		return s.failure(r, r.Context().Err())
	}
	s.log.Error("the store could not be read", "route", r.Pattern, "error", err)
	return &api.Error{
		Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, RetryAfter: 5 * time.Second,
		Message: "the store cannot be read at the moment", Hint: "the relay's log says why",
	}
}

func filling(err error) bool {
	_, ok := errors.AsType[*auditstore.FillingError](err)
	return ok
}

// readRow reads one record, and logs damage.
func (s *Server) readRow(ctx context.Context, from *auditstore.Store, position int64) (row auditstore.Row, ok bool, err error) {
	// A server that hangs ends the response.
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	row, ok, err = from.Row(ctx, position)
	if err == nil && ok {
		s.tellDamage(&row)
	}
	return row, ok, timedOut(ctx, err)
}

func (s *Server) tellDamage(row *auditstore.Row) {
	if row.Integrity == auditstore.Damaged {
		s.log.Error("a record of the store is damaged; auditrelay store rebuild replaces it, as far back as the journal reaches", "journal", row.Journal, "sequence", row.Sequence, "position", row.Position)
	}
}

// getAudit lists a page of stored records.
func (s *Server) getAudit(w *auditWriter, r *http.Request, who principal, rec recorder, from *auditstore.Store) error {
	q, refused := readAuditQuery(r.URL.RawQuery, listParams, who.namespace)
	if refused != nil {
		return refused
	}
	page, total, exact, err := searchPage(r.Context(), from, &q)
	if err != nil {
		return err
	}
	told, refused := rec.reading("")
	if refused != nil {
		return refused
	}
	next := ""
	if page.More {
		next = q.cursor(page.Places[len(page.Places)-1])
	}
	writeAuditHead(w.out, &q, total, exact, next)
	rows := 0
	for _, at := range page.Places {
		// One at a time, since a page of the largest events would take much memory.
		row, ok, err := s.readRow(r.Context(), from, at.Position)
		if err != nil {
			return err
		}
		if !ok {
			continue // deleted meanwhile
		}
		if rows > 0 {
			_ = w.out.WriteByte(',')
		}
		rows++
		if _, err := w.out.Write(auditLog(&row)); err != nil {
			return err
		}
	}
	told(rows)
	_, err = w.out.WriteString("]}\n")
	return err
}

// searchPage finds the page's places, and the total if pages are counted.
func searchPage(ctx context.Context, from *auditstore.Store, q *auditQuery) (page auditstore.Page, total int64, exact bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	if q.after != nil {
		page, err = from.After(ctx, q.Query, *q.after, q.pageSize)
		return page, 0, false, timedOut(ctx, err)
	}
	if page, err = from.Skip(ctx, q.Query, (q.page-1)*q.pageSize, q.pageSize); err == nil {
		most := int64(countedExactly)
		if q.exactTotal {
			most = 0
		}
		total, exact, err = from.Count(ctx, q.Query, most)
	}
	return page, total, exact, timedOut(ctx, err)
}

// timedOut reports that a search was too slow, since the driver only reports an interruption.
func timedOut(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func writeAuditHead(out *bufio.Writer, q *auditQuery, total int64, exact bool, next string) {
	head := []byte("{")
	if q.after == nil {
		size := int64(q.pageSize)
		head = append(head, `"total":`...)
		head = strconv.AppendInt(head, total, 10)
		head = append(head, `,"total_exact":`...)
		head = strconv.AppendBool(head, exact)
		head = append(head, `,"page":`...)
		head = strconv.AppendInt(head, int64(q.page), 10)
		head = append(head, `,"total_pages":`...)
		head = strconv.AppendInt(head, (total+size-1)/size, 10)
		head = append(head, ',')
	}
	head = append(head, `"page_size":`...)
	head = strconv.AppendInt(head, int64(q.pageSize), 10)
	head = append(head, `,"next_cursor":`...)
	if next == "" {
		head = append(head, "null"...)
	} else {
		head = appendString(head, next)
	}
	_, _ = out.Write(append(head, `,"audit_logs":[`...))
}

// getAuditLog returns one stored event by its id.
func (s *Server) getAuditLog(w *auditWriter, r *http.Request, who principal, rec recorder, from *auditstore.Store) error {
	id := r.PathValue("id")
	if len(id) > maxAuditValue {
		return badRequest("the id is too long", "")
	}
	ctx, cancel := context.WithTimeout(r.Context(), auditTime)
	defer cancel()
	found, ok, err := from.Find(ctx, who.namespace, id)
	row := &found.Row
	if err != nil {
		return timedOut(ctx, err)
	}
	if !ok {
		return &api.Error{
			Status: http.StatusNotFound, Reason: api.ReasonNotFound,
			Message: "Audit log with ID " + brief(id) + " not found", Hint: "GET /v1/events/ID shows the event's outcomes",
		}
	}
	s.tellDamage(row)
	if _, refused := rec.reading(fmt.Sprintf("%s/%d", row.Journal, row.Sequence)); refused != nil {
		return refused
	}
	if _, err := w.out.Write(auditLog(row, otherRecords(found.Others)...)); err != nil {
		return err
	}
	return w.out.WriteByte('\n')
}

// brief returns enough of a client's text to identify it.
func brief(text string) string {
	const most = 128
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}

// postRebuild fills the store from the journal as far as the journal goes back: a replay of the
// store's callback, with its current filters.
func (s *Server) postRebuild(r *http.Request, who principal, in api.Rebuild) (api.Rebuilt, error) {
	l, err := s.serving()
	if err != nil {
		return api.Rebuilt{}, noStore()
	}
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.Rebuilt{}, refused
	}
	started, err := s.rt.Replay(r.Context(), runtime.ReplayRequest{Callback: l.Callback(), DryRun: in.DryRun, By: who.as(r, in.Reason)})
	return api.Rebuilt{Callback: l.Callback(), ReplayStarted: api.ReplayStarted(started)}, err
}
