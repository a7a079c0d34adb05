package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/document"
)

func (s *Server) postLookUp(w http.ResponseWriter, r *http.Request, who principal) {
	want, refused := readLookUp(r)
	if refused == nil && s.control == nil {
		refused = notSupported()
	}
	if refused != nil {
		respondError(w, refused)
		return
	}
	found, err := s.control.LookUp(r.Context(), want, who.as(r, ""))
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, found)
}

// readLookUp reads a request for a value's pseudonyms. Its errors never quote the body, because
// the body contains the value.
func readLookUp(r *http.Request) (want api.LookUp, refused *api.Error) {
	body, err := io.ReadAll(r.Body)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return want, tooLarge(smallBody)
	}
	if err != nil {
		return want, badRequest("the body was incomplete", "")
	}
	const hint = `expected {"value": "...", "callback": "...", "key": "..."}, the last two where wanted`
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	// Decoding replaces invalid text such as half of a surrogate pair. The pseudonym would then
	// belong to a different value, so such text is refused.
	if document.Check(body, document.Limits{}) != nil || d.Decode(&want) != nil {
		return want, badRequest("the body is not the JSON that this path takes, in UTF-8", hint)
	}
	if want.Value == "" {
		return want, badRequest("value: it is required; the empty value has no pseudonym", hint)
	}
	return want, nil
}
