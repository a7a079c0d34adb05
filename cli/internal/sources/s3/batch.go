package s3

import (
	"bytes"
	"net/http"

	"github.com/tidwall/gjson"
)

// A team that is called audit_logs has its request logs in the folder of the audit events,
// and LiteLLM makes one batch of all that belongs into a folder.

// splitBatch divides the lines of a batch into audit events, with whatever else is there,
// and request logs. A part without lines is nil; an empty batch is all events. Where both
// are there, the events take the place of the batch in memory.
func splitBatch(batch []byte) (events, logs []byte) {
	newline := []byte("\n")
	size, others := 0, false
	for line := range bytes.SplitAfterSeq(batch, newline) {
		if isRequestLog(line) {
			size += len(line)
		} else {
			others = others || len(bytes.TrimSpace(line)) > 0
		}
	}
	switch {
	case size == 0:
		return batch, nil
	case !others:
		return nil, batch
	}
	events, logs = batch[:0], make([]byte, 0, size)
	for line := range bytes.SplitAfterSeq(batch, newline) {
		if isRequestLog(line) {
			logs = append(logs, line...)
		} else {
			events = append(events, line...)
		}
	}
	return events, logs
}

// isRequestLog reports whether a line is a request log and not an audit event. Python may
// have written NaN into either.
func isRequestLog(line []byte) bool {
	object := gjson.ParseBytes(line)
	if !object.IsObject() {
		return false
	}
	log := false
	object.ForEach(func(key, _ gjson.Result) bool {
		switch key.Str {
		case "action", "table_name":
			log = false
			return false
		case "call_type", "messages", "response":
			log = true
		}
		return true
	})
	return log
}

// putLogs passes on, discards or rejects the request logs of a batch. Its events are durable.
func (h *Handler) putLogs(w http.ResponseWriter, r *request, p *payload, logs []byte) *Error {
	mixed := p.data != nil
	p.data, r.operation = logs, opForward
	if h.forward == nil {
		return h.other(w, p)
	}
	if mixed { // the sums are of the whole batch
		dropChecksums(r.Header)
	}
	return h.forward.put(w, r, p)
}
