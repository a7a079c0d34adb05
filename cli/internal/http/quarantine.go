package http

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// quarantinePage is how many items are listed unless the client says, and how many
// one request may change.
const (
	quarantinePage    = 100
	quarantinePageMax = 1000
)

func (s *Server) getQuarantine(w http.ResponseWriter, r *http.Request, _ principal) {
	query := r.URL.Query()
	after, err := uintParam(query.Get("after"), 0)
	if err != nil {
		respondError(w, badRequest("after: expected a number", ""))
		return
	}
	limit, err := uintParam(query.Get("limit"), quarantinePage)
	if err != nil || limit < 1 || limit > quarantinePageMax {
		respondError(w, badRequest("limit: expected a number from 1 to "+strconv.Itoa(quarantinePageMax), ""))
		return
	}
	items, err := s.rt.QuarantineItems(r.Context(), runtime.QuarantineQuery{
		After: after, Limit: int(limit), Reason: query.Get("reason"), Source: query.Get("source"),
	})
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	respondJSON(w, items)
}

func (s *Server) getQuarantineItem(w http.ResponseWriter, r *http.Request, who principal) {
	number, refused := itemNumber(r)
	if refused != nil {
		respondError(w, refused)
		return
	}
	item, err := s.rt.QuarantineItem(r.Context(), number)
	if err != nil {
		respondError(w, s.failure(r, err))
		return
	}
	s.log.Info("quarantine contents read", "number", number, "by", who.by())
	respondJSON(w, api.QuarantineItem{QuarantineItem: item, Data: item.Data})
}

func itemNumber(r *http.Request) (uint64, *api.Error) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		return 0, badRequest("the path does not name an item by its number", "GET /v1/quarantine lists them")
	}
	return number, nil
}

// itemChange changes one item, and says how many events came of it.
type itemChange func(ctx context.Context, by string, number uint64) (events int, err error)

func (s *Server) replayItem(ctx context.Context, by string, number uint64) (int, error) {
	results, err := s.rt.ReplayQuarantineItem(ctx, by, number, nil)
	return len(results), err
}

func (s *Server) deleteItem(ctx context.Context, by string, number uint64) (int, error) {
	return 0, s.rt.DeleteQuarantineItem(ctx, by, number)
}

// quarantine is a handler for a change of items that are named, or of all that a query
// matches. Of these it changes a bounded number, and says where to go on.
func (s *Server) quarantine(do itemChange) func(http.ResponseWriter, *http.Request, principal) {
	return func(w http.ResponseWriter, r *http.Request, who principal) {
		var request api.QuarantineChange
		if err := decode(r, &request); err != nil {
			respondError(w, err)
			return
		}
		if request.All == (len(request.Numbers) > 0) {
			respondError(w, badRequest("name numbers, or say all: true, not both and not neither", ""))
			return
		}
		if len(request.Numbers) > quarantinePageMax || !request.All && request.Reason+request.Source != "" {
			respondError(w, badRequest("at most "+strconv.Itoa(quarantinePageMax)+" numbers; reason and source go with all: true", ""))
			return
		}
		numbers, next := request.Numbers, uint64(0)
		if request.All {
			items, err := s.rt.QuarantineItems(r.Context(), runtime.QuarantineQuery{
				After: request.After, Limit: quarantinePageMax, Reason: request.Reason, Source: request.Source,
			})
			if err != nil {
				respondError(w, s.failure(r, err))
				return
			}
			for i := range items {
				numbers = append(numbers, items[i].Number)
			}
			if len(items) == quarantinePageMax {
				next = items[len(items)-1].Number
			}
		}
		answer := api.QuarantineChanged{Next: next}
		for _, number := range numbers {
			events, err := do(r.Context(), who.by(), number)
			if err == nil {
				answer.Changed++
				answer.Events += events
				continue
			}
			failed := s.itemFailure(r, err)
			if failed.Status >= statusClientGone || // nor would the next one be changed
				failed.Status == http.StatusNotFound && len(numbers) == 1 {
				respondError(w, failed)
				return
			}
			answer.Failed = append(answer.Failed, api.QuarantineFailed{Number: number, Error: failed})
		}
		respondJSON(w, answer)
	}
}

// postReplacement has an item taken with the request's body in the place of what had
// come in. Whoever does so writes events, so that it takes the role for that as well.
func (s *Server) postReplacement(w http.ResponseWriter, r *http.Request, who principal) {
	number, refused := itemNumber(r)
	if refused == nil {
		refused = who.allow(roleIngest)
	}
	if refused == nil && r.ContentLength > int64(s.limits.BodyBytes) {
		refused = tooLarge(int64(s.limits.BodyBytes))
	}
	if refused != nil {
		respondError(w, refused)
		return
	}
	release, refused := s.takeMemory(r, true)
	if refused != nil {
		respondError(w, refused)
		return
	}
	defer release()
	body, err := io.ReadAll(io.LimitReader(newPacedReader(w, r, s.patience.body), int64(s.limits.BodyBytes)+1))
	switch {
	case err != nil:
		respondError(w, badRequest("the body did not come whole", ""))
		return
	case int64(len(body)) > int64(s.limits.BodyBytes):
		respondError(w, tooLarge(int64(s.limits.BodyBytes)))
		return
	}
	// As with events: once it has begun it is finished.
	results, err := s.rt.ReplayQuarantineItem(context.WithoutCancel(r.Context()), who.by(), number, body)
	if err != nil {
		respondError(w, s.itemFailure(r, err))
		return
	}
	respondJSON(w, api.QuarantineChanged{Changed: 1, Events: len(results)})
}

// itemFailure is why an item was not changed.
func (s *Server) itemFailure(r *http.Request, err error) *api.Error {
	const hint = "auditrelay quarantine show NUMBER --raw prints what came; replay it with --edit FILE once it is mended"
	refused := func(reason, field string) *api.Error {
		return &api.Error{Status: http.StatusUnprocessableEntity, Reason: reason, Field: field, Message: err.Error(), Hint: hint}
	}
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		return refused(string(fault.Reason), fault.Field)
	}
	switch {
	case errors.Is(err, runtime.ErrConflict):
		return refused(api.ReasonConflict, "id")
	case errors.Is(err, runtime.ErrIngestFilter):
		return refused(api.ReasonFilter, "")
	}
	return s.failure(r, err)
}
