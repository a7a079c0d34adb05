package http

import (
	"encoding/json"
	"slices"
	"strconv"

	"auditrelay/cli/internal/api"
)

// appendSubmitted is json.Marshal for api.Submitted, the one response that is written for every
// event.
func appendSubmitted(dst []byte, a *api.Submitted) []byte {
	dst = slices.Grow(dst, 64+80*len(a.Results))
	dst = append(dst, `{"accepted":`...)
	dst = strconv.AppendInt(dst, int64(a.Accepted), 10)
	if a.Duplicates > 0 {
		dst = append(dst, `,"duplicates":`...)
		dst = strconv.AppendInt(dst, int64(a.Duplicates), 10)
	}
	if a.Refused > 0 {
		dst = append(dst, `,"refused":`...)
		dst = strconv.AppendInt(dst, int64(a.Refused), 10)
	}
	if a.Quarantined > 0 {
		dst = append(dst, `,"quarantined":`...)
		dst = strconv.AppendInt(dst, int64(a.Quarantined), 10)
	}
	dst = append(dst, `,"results":[`...)
	for i := range a.Results {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendResult(dst, &a.Results[i])
	}
	dst = append(dst, ']')
	if a.Error != nil {
		dst = append(dst, `,"error":`...)
		dst = appendMarshalled(dst, a.Error)
	}
	return append(dst, '}', '\n')
}

func appendResult(dst []byte, r *api.Result) []byte {
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(r.Index), 10)
	if r.ID != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, r.ID)
	}
	if r.Sequence != 0 {
		dst = append(dst, `,"sequence":`...)
		dst = strconv.AppendUint(dst, r.Sequence, 10)
	}
	if r.Duplicate {
		dst = append(dst, `,"duplicate":true`...)
	}
	if r.UnknownAction {
		dst = append(dst, `,"unknown_action":true`...)
	}
	if r.Filtered {
		dst = append(dst, `,"filtered":true`...)
	}
	if r.Empty {
		dst = append(dst, `,"empty":true`...)
	}
	if r.Error != nil {
		dst = append(dst, `,"error":`...)
		dst = appendMarshalled(dst, r.Error)
	}
	return append(dst, '}')
}

// appendString quotes s. Most ids are plain ASCII.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendMarshalled(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendMarshalled(dst []byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // cannot fail: strings and numbers
		return append(dst, "null"...)
	}
	return append(dst, b...)
}

// sortResults sorts an atomic request's results, which two passes produce, into the order of
// the body.
func sortResults(results []api.Result) {
	slices.SortFunc(results, func(a, b api.Result) int { return a.Index - b.Index })
}
