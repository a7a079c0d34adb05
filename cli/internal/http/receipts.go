package http

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// getReceipts streams receipts, one JSON object per line. They are metadata: ids, outcomes,
// filters and keyed digests, without event contents. After a failure midway the last line is an
// error and the connection is cut, so that the client does not take the part for the whole.
func (s *Server) getReceipts(w http.ResponseWriter, r *http.Request, who principal) {
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
	err := s.rt.Receipts(r.Context(), q, func(one runtime.Receipt) error {
		begun = true
		return encoder.Encode(who.receipt(receipt(&one)))
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

// patientWriter extends the client's write deadline on every write.
type patientWriter struct {
	w        http.ResponseWriter
	patience time.Duration
}

func (p patientWriter) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Now().Add(p.patience))
	return p.w.Write(b)
}

func receiptQuery(query url.Values) (q runtime.ReceiptQuery, refused *api.Error) {
	var in api.ReceiptQuery
	if refused := api.ReadQuery(query, &in); refused != nil {
		return q, refused
	}
	q = runtime.ReceiptQuery{Callback: in.Callback, Namespace: in.Namespace, ID: in.ID}
	for _, bound := range []struct {
		name, text string
		sequence   *uint64
		time       *time.Time
	}{{"from", in.From, &q.From, &q.FromTime}, {"to", in.To, &q.To, &q.ToTime}} {
		if bound.text == "" {
			continue
		}
		var err error
		if *bound.sequence, err = strconv.ParseUint(bound.text, 10, 63); err == nil {
			continue
		}
		if *bound.time, err = time.Parse(time.RFC3339, bound.text); err != nil {
			return q, badRequest(bound.name+": expected a sequence, or a time as in 2026-01-31T00:00:00Z", "")
		}
	}
	return q, nil
}
