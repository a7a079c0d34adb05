package http

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// getReceipts streams receipts, one JSON object a line. They are metadata: ids,
// outcomes, filters and keyed digests, nothing of an event's contents. Where it
// fails on the way, the last line is an error and the connection is cut, so that
// nobody takes the part for the whole.
func (s *Server) getReceipts(w http.ResponseWriter, r *http.Request, _ principal) {
	q, refused := receiptQuery(r.URL.Query())
	if refused != nil {
		respondError(w, refused)
		return
	}
	out := bufio.NewWriterSize(patientWriter{w, s.patience.write}, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	w.Header().Set("Content-Type", "application/x-ndjson")
	begun := false
	err := s.rt.Receipts(r.Context(), q, func(receipt runtime.Receipt) error {
		begun = true
		return encoder.Encode(receipt)
	})
	switch {
	case err == nil:
		if out.Flush() == nil && !begun {
			w.WriteHeader(http.StatusOK)
		}
	case !begun:
		respondError(w, s.failure(r, err))
	default:
		_ = encoder.Encode(api.Failure{Error: s.failure(r, err)})
		_ = out.Flush()
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// patientWriter gives the client its time anew with every write.
type patientWriter struct {
	w        http.ResponseWriter
	patience time.Duration
}

func (p patientWriter) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Now().Add(p.patience))
	return p.w.Write(b)
}

func receiptQuery(query url.Values) (q runtime.ReceiptQuery, refused *api.Error) {
	q = runtime.ReceiptQuery{Callback: query.Get("callback"), Namespace: query.Get("namespace"), ID: query.Get("id")}
	for _, bound := range []struct {
		name     string
		sequence *uint64
		time     *time.Time
	}{{"from", &q.From, &q.FromTime}, {"to", &q.To, &q.ToTime}} {
		text := query.Get(bound.name)
		var err error
		if *bound.sequence, err = uintParam(text, 0); err == nil {
			continue
		}
		if *bound.time, err = time.Parse(time.RFC3339, text); err != nil {
			return q, badRequest(bound.name+": expected a sequence, or a time as in 2026-01-31T00:00:00Z", "")
		}
	}
	return q, nil
}
