package http

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/internal/jsonfault"
	"auditrelay/runtime"
)

// getHealth answers 200 as long as the process can answer.
func (s *Server) getHealth(w http.ResponseWriter, r *http.Request, _ principal) {
	respond(w, http.StatusOK, []byte("{\"status\":\"ok\"}\n"))
}

func (s *Server) getVersion(*http.Request, principal, api.None) (api.Version, error) {
	return s.version, nil
}

func (s *Server) getStats(*http.Request, principal, api.None) (api.Stats, error) {
	now := s.rt.Stats()
	return stats(&now), nil
}

func (s *Server) getSources(*http.Request, principal, api.None) ([]api.Source, error) {
	return s.sources.List(), nil
}

func (s *Server) getCallbacks(*http.Request, principal, api.None) ([]api.CallbackStatus, error) {
	statuses, err := s.rt.Callbacks()
	return s.where(each(statuses, callbackStatus)...), err
}

func (s *Server) getCallback(r *http.Request, who principal, _ api.None) (api.CallbackStatus, error) {
	status, err := s.rt.Callback(r.PathValue("name"))
	out := s.where(callbackStatus(&status))[0]
	if who.allow(roleComply) != nil {
		hideTexts(out.Recent)
	}
	return out, err
}

// change returns a handler that changes a callback's state with do.
func (s *Server) change(reasoned bool, do func(ctx context.Context, name string, by runtime.By) error) func(*http.Request, principal, api.Why) (api.CallbackStatus, error) {
	return func(r *http.Request, who principal, why api.Why) (api.CallbackStatus, error) {
		if refused := reasonOf(why.Reason, reasoned); refused != nil {
			return api.CallbackStatus{}, refused
		}
		if err := do(r.Context(), r.PathValue("name"), who.as(r, why.Reason)); err != nil {
			return api.CallbackStatus{}, err
		}
		return s.getCallback(r, who, api.None{})
	}
}

func (s *Server) getEvent(r *http.Request, who principal, in api.EventQuery) (api.Explained, error) {
	if in.Data {
		if refused := who.allow(roleComply); refused != nil {
			return api.Explained{}, refused
		}
	}
	id := cmp.Or(r.PathValue("id"), in.ID)
	if id == "" {
		return api.Explained{}, badRequest("no event is named", "GET /v1/events/ID, or ?id=ID")
	}
	namespace, err := who.scope(in.Namespace)
	if err != nil {
		return api.Explained{}, err
	}
	explanation, err := s.rt.Explain(r.Context(), namespace, id)
	if err != nil {
		return api.Explained{}, err
	}
	out := who.explained(explained(&explanation))
	if who.allow(roleComply) != nil {
		for i := range out.Callbacks {
			hideTexts(out.Callbacks[i].History)
		}
	}
	if in.Data {
		if _, refused := s.record(r, who, "event", strconv.FormatUint(explanation.Sequence, 10)); refused != nil {
			return api.Explained{}, refused
		}
		event, err := s.rt.Event(r.Context(), explanation.Sequence)
		if err != nil {
			return api.Explained{}, err
		}
		out.Data = event.Data
	}
	return out, nil
}

// getProofs answers with an event's proofs. Whoever has the proofs can use them to test guesses
// about the event's contents.
func (s *Server) getProofs(r *http.Request, who principal, in api.ProofQuery) ([]api.EventProof, error) {
	if in.ID == "" {
		return nil, badRequest("no event is named", "GET /v1/proofs?id=ID")
	}
	namespace, err := who.scope(in.Namespace)
	if err != nil {
		return nil, err
	}
	proofs, err := s.rt.Prove(r.Context(), namespace, in.ID, in.Callback)
	if errors.Is(err, runtime.ErrUnsigned) {
		return nil, &api.Error{Status: http.StatusConflict, Reason: api.ReasonConflict, Message: err.Error(), Hint: "remove proofs.unsigned from the configuration"}
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("event proved", "by", who.by(), "proofs", len(proofs))
	return each(proofs, func(p *runtime.EventProof) api.EventProof {
		return api.EventProof{Callback: p.Callback, Replay: p.Replay, Sequence: p.Sequence, File: string(p.File)}
	}), nil
}

// Default and maximum number of entries in one page of a list.
const (
	page    = 100
	pageMax = 1000
)

// pageOf returns the page size for the size that a client asked for. 0 means the default.
func pageOf(asked int) (int, error) {
	if asked > pageMax {
		return 0, badRequest("limit: expected a number from 1 to "+strconv.Itoa(pageMax), "")
	}
	return cmp.Or(asked, page), nil
}

func (s *Server) getDeadLetters(r *http.Request, who principal, in api.DeadLetterQuery) ([]api.DeadLetter, error) {
	limit, err := pageOf(in.Limit)
	if err != nil {
		return nil, err
	}
	letters, err := s.rt.DeadLetters(r.Context(), r.PathValue("name"), in.After, limit)
	return who.deadLetters(each(letters, deadLetter)), err
}

func (s *Server) getDeadLetter(r *http.Request, who principal, _ api.None) (api.DeadLetter, error) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil {
		return api.DeadLetter{}, badRequest("the last part of the path is not a sequence", "")
	}
	letter, err := s.rt.DeadLetter(r.Context(), r.PathValue("name"), sequence)
	if err != nil {
		return api.DeadLetter{}, err
	}
	if _, refused := s.record(r, who, "dead_letter", r.PathValue("name")+"/"+strconv.FormatUint(sequence, 10)); refused != nil {
		return api.DeadLetter{}, refused
	}
	return deadLetter(&letter), nil
}

// deadLetters returns a handler that changes dead letters with do.
func (s *Server) deadLetters(reasoned bool, do func(ctx context.Context, callback string, by runtime.By, seqs ...uint64) (int, error)) func(*http.Request, principal, api.DeadLetters) (api.Changed, error) {
	return func(r *http.Request, who principal, in api.DeadLetters) (api.Changed, error) {
		if in.All == (len(in.Sequences) > 0) {
			return api.Changed{}, badRequest("name sequences, or say all: true, not both and not neither", "")
		}
		if refused := reasonOf(in.Reason, reasoned); refused != nil {
			return api.Changed{}, refused
		}
		n, err := do(r.Context(), r.PathValue("name"), who.as(r, in.Reason), in.Sequences...)
		return api.Changed{Changed: n}, err
	}
}

func (s *Server) postReplay(r *http.Request, who principal, in api.Replay) (api.ReplayStarted, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.ReplayStarted{}, refused
	}
	started, err := s.rt.Replay(r.Context(), runtime.ReplayRequest{
		Callback: r.PathValue("name"),
		From:     in.From, To: in.To,
		FromTime: in.FromTime, ToTime: in.ToTime,
		DryRun: in.DryRun, Emit: in.Emit,
		By: who.as(r, in.Reason),
	})
	return api.ReplayStarted(started), err
}

// cancelReplay ends a replay of events.
func (s *Server) cancelReplay(r *http.Request, who principal, why api.Why) (api.CallbackStatus, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.CallbackStatus{}, refused
	}
	status, err := s.rt.CancelReplay(r.Context(), r.PathValue("name"), r.PathValue("id"), who.as(r, why.Reason))
	return s.where(callbackStatus(&status))[0], err
}

func (s *Server) getPolicy(r *http.Request, _ principal, _ api.None) (api.KeptText, error) {
	return s.control.PolicyText(r.PathValue("digest"))
}

func (s *Server) getConfigText(r *http.Request, _ principal, _ api.None) (api.KeptText, error) {
	return s.control.ConfigText(r.PathValue("digest"))
}

func (s *Server) postBackup(r *http.Request, who principal, why api.Why) (api.BackedUp, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.BackedUp{}, refused
	}
	done, err := s.control.Backup(r.Context(), who.as(r, why.Reason))
	if errors.Is(err, runtime.ErrOnPostgres) {
		return done, &api.Error{Status: http.StatusConflict, Reason: api.ReasonConfig, Message: runtime.ErrOnPostgres.Error()}
	}
	return done, err
}

func (s *Server) postReload(r *http.Request, who principal, why api.Why) (api.Reloaded, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.Reloaded{}, refused
	}
	done, err := s.control.Reload(r.Context(), who.as(r, why.Reason))
	if errors.Is(err, runtime.ErrChanged) {
		return done, err
	}
	if err != nil {
		// Details of a configuration error are only for callers that may change the
		// configuration.
		return done, &api.Error{
			Status: http.StatusUnprocessableEntity, Reason: api.ReasonConfig,
			Message: err.Error(), Hint: "the old configuration stays in force",
		}
	}
	return done, nil
}

func notSupported() *api.Error {
	return &api.Error{
		Status: http.StatusNotImplemented, Reason: api.ReasonBadRequest,
		Message: "this server has no process around it to ask",
	}
}

// decode reads a small JSON body. An empty body is the zero request.
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
	return badRequest("the body is not the JSON that this path takes: "+jsonfault.Explain(err).Error(), "see docs/reference/http.md")
}

func boolParam(s string) (bool, error) {
	if s == "" {
		return false, nil
	}
	return strconv.ParseBool(s)
}

// getStored returns accepted events with their contents, from a given sequence on.
func (s *Server) getStored(r *http.Request, who principal, in api.StoredQuery) (api.Stored, error) {
	limit, err := pageOf(in.Limit)
	if err != nil {
		return api.Stored{}, err
	}
	told, refused := s.record(r, who, "stored", "")
	if refused != nil {
		return api.Stored{}, refused
	}
	events, next, err := s.rt.Stored(in.From, limit)
	if err != nil {
		return api.Stored{}, err
	}
	if who.namespace != "" {
		events = slices.DeleteFunc(events, func(e auditrelay.Event) bool { return e.Namespace != who.namespace })
	}
	told(len(events))
	return api.Stored{Next: next, Events: each(events, storedEvent)}, nil
}

// getControl returns the relay's own records. They contain no event contents, so reading them
// is not recorded.
func (s *Server) getControl(r *http.Request, _ principal, in api.ControlQuery) (api.ControlRecords, error) {
	limit, err := pageOf(in.Limit)
	if err != nil {
		return api.ControlRecords{}, err
	}
	events, next, err := s.rt.OwnRecords(r.Context(), in.From, limit)
	return api.ControlRecords{Next: next, Records: each(events, storedEvent)}, err
}
