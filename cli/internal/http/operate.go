package http

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// getHealth answers while the process can answer at all.
func (s *Server) getHealth(w http.ResponseWriter, r *http.Request, _ principal) {
	respond(w, http.StatusOK, []byte("{\"status\":\"ok\"}\n"))
}

func (s *Server) getVersion(w http.ResponseWriter, r *http.Request, _ principal) {
	respondJSON(w, s.version)
}

func (s *Server) getStats(w http.ResponseWriter, r *http.Request, _ principal) {
	respondJSON(w, s.rt.Stats())
}

func (s *Server) getCallbacks(w http.ResponseWriter, r *http.Request, _ principal) {
	statuses, err := s.rt.Callbacks()
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	if statuses == nil {
		statuses = []runtime.CallbackStatus{}
	}
	respondJSON(w, statuses)
}

func (s *Server) getCallback(w http.ResponseWriter, r *http.Request, _ principal) {
	status, err := s.rt.Callback(r.PathValue("name"))
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, status)
}

// change is a handler for one of the runtime's changes of a callback's state.
func (s *Server) change(do func(ctx context.Context, name, by string) error) func(http.ResponseWriter, *http.Request, principal) {
	return func(w http.ResponseWriter, r *http.Request, who principal) {
		if err := do(r.Context(), r.PathValue("name"), who.by()); err != nil {
			respondError(w, s.failure(r, err))
			return
		}
		s.getCallback(w, r, who)
	}
}

func (s *Server) getEvent(w http.ResponseWriter, r *http.Request, who principal) {
	query := r.URL.Query()
	withData, err := boolParam(query.Get("data"))
	if err != nil {
		respondError(w, badRequest("data: expected true or false", ""))
		return
	}
	if withData {
		if err := who.allow(roleComply); err != nil {
			respondError(w, err)
			return
		}
	}
	id := cmp.Or(r.PathValue("id"), query.Get("id"))
	if id == "" {
		respondError(w, badRequest("no event is named", "GET /v1/events/ID, or ?id=ID"))
		return
	}
	explanation, err := s.rt.Explain(r.Context(), query.Get("namespace"), id)
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	answer := api.Explained{Explanation: explanation}
	if withData {
		event, err := s.rt.Event(r.Context(), explanation.Sequence)
		if err != nil {
			respondError(w, s.failure(r, err))
			return
		}
		answer.Data = event.Data
		s.log.Info("event contents read", "sequence", explanation.Sequence, "by", who.by())
	}
	respondJSON(w, answer)
}

// deadLetterPage is how many dead letters are listed unless the client says.
const (
	deadLetterPage    = 100
	deadLetterPageMax = 1000
)

func (s *Server) getDeadLetters(w http.ResponseWriter, r *http.Request, _ principal) {
	query := r.URL.Query()
	after, err := uintParam(query.Get("after"), 0)
	if err != nil {
		respondError(w, badRequest("after: expected a sequence", ""))
		return
	}
	limit, err := uintParam(query.Get("limit"), deadLetterPage)
	if err != nil || limit < 1 || limit > deadLetterPageMax {
		respondError(w, badRequest("limit: expected a number from 1 to "+strconv.Itoa(deadLetterPageMax), ""))
		return
	}
	letters, err := s.rt.DeadLetters(r.Context(), r.PathValue("name"), after, int(limit))
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	if letters == nil {
		letters = []runtime.DeadLetter{}
	}
	respondJSON(w, letters)
}

func (s *Server) getDeadLetter(w http.ResponseWriter, r *http.Request, who principal) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil {
		respondError(w, badRequest("the last part of the path is not a sequence", ""))
		return
	}
	letter, err := s.rt.DeadLetter(r.Context(), r.PathValue("name"), sequence)
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	s.log.Info("event contents read", "sequence", sequence, "by", who.by())
	respondJSON(w, api.DeadLetter{DeadLetter: letter, Data: letter.Data})
}

// deadLetters is a handler for one of the runtime's changes of dead letters.
func (s *Server) deadLetters(do func(ctx context.Context, callback, by string, seqs ...uint64) (int, error)) func(http.ResponseWriter, *http.Request, principal) {
	return func(w http.ResponseWriter, r *http.Request, who principal) {
		var request api.DeadLetters
		if err := decode(r, &request); err != nil {
			respondError(w, err)
			return
		}
		if request.All == (len(request.Sequences) > 0) {
			respondError(w, badRequest("name sequences, or say all: true, not both and not neither", ""))
			return
		}
		n, err := do(r.Context(), r.PathValue("name"), who.by(), request.Sequences...)
		if err != nil {
			respondError(w, s.failure(r, err))
			return
		}
		respondJSON(w, api.Changed{Changed: n})
	}
}

func (s *Server) postReplay(w http.ResponseWriter, r *http.Request, who principal) {
	var request api.Replay
	if err := decode(r, &request); err != nil {
		respondError(w, err)
		return
	}
	started, err := s.rt.Replay(r.Context(), runtime.ReplayRequest{
		Callback: r.PathValue("name"),
		From:     request.From, To: request.To,
		FromTime: request.FromTime, ToTime: request.ToTime,
		DryRun: request.DryRun, Emit: request.Emit,
		By: who.by(),
	})
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, started)
}

func (s *Server) postBackup(w http.ResponseWriter, r *http.Request, who principal) {
	if s.control == nil {
		respondError(w, notSupported("backups"))
		return
	}
	done, err := s.control.Backup(r.Context(), who.by())
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, done)
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request, who principal) {
	if s.control == nil {
		respondError(w, notSupported("reloading"))
		return
	}
	done, err := s.control.Reload(r.Context(), who.by())
	if err != nil {
		// What is wrong with the configuration is for whoever may change it.
		respondError(w, &api.Error{
			Status: http.StatusUnprocessableEntity, Reason: api.ReasonConfig,
			Message: err.Error(), Hint: "the old configuration stays in force",
		})
		return
	}
	respondJSON(w, done)
}

func notSupported(what string) *api.Error {
	return &api.Error{
		Status: http.StatusNotImplemented, Reason: api.ReasonBadRequest,
		Message: what + " are not set up in this process",
	}
}

// decode reads a small JSON body; an empty one is the zero request.
func decode(r *http.Request, into any) *api.Error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		_, err = d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("more than one value")
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(smallBody)
	}
	return badRequest("the body is not the JSON that this path takes: "+err.Error(), "see docs/reference/http.md")
}

func uintParam(s string, otherwise uint64) (uint64, error) {
	if s == "" {
		return otherwise, nil
	}
	return strconv.ParseUint(s, 10, 63)
}

func boolParam(s string) (bool, error) {
	if s == "" {
		return false, nil
	}
	return strconv.ParseBool(s)
}

const (
	storedPage    = 100
	storedPageMax = 1000
)

// getStored returns accepted events, contents included, from a sequence on.
func (s *Server) getStored(w http.ResponseWriter, r *http.Request, who principal) {
	query := r.URL.Query()
	from, err := uintParam(query.Get("from"), 0)
	if err != nil {
		respondError(w, badRequest("from: expected a sequence", ""))
		return
	}
	limit, err := uintParam(query.Get("limit"), storedPage)
	if err != nil || limit < 1 || limit > storedPageMax {
		respondError(w, badRequest("limit: expected a number from 1 to "+strconv.Itoa(storedPageMax), ""))
		return
	}
	events, next, err := s.rt.Stored(from, int(limit))
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	answer := api.Stored{Next: next, Events: []api.StoredEvent{}}
	for i := range events {
		e := &events[i]
		answer.Events = append(answer.Events, api.StoredEvent{Sequence: e.Sequence, Namespace: e.Namespace, ID: e.ID, Received: e.Received, Data: e.Data})
	}
	s.log.Info("event contents read", "from", from, "events", len(events), "by", who.by())
	respondJSON(w, answer)
}

func (s *Server) getSources(w http.ResponseWriter, r *http.Request, _ principal) {
	respondJSON(w, s.sources.List())
}
