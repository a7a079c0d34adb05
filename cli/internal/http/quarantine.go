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

func (s *Server) getQuarantine(r *http.Request, who principal, in api.QuarantineQuery) ([]api.QuarantineItem, error) {
	limit, err := pageOf(in.Limit)
	if err != nil {
		return nil, err
	}
	items, err := s.rt.QuarantineItems(r.Context(), runtime.QuarantineQuery{After: in.After, Limit: limit, Reason: in.Reason, Source: in.Source})
	return who.quarantined(each(items, quarantineItem)), err
}

func (s *Server) getQuarantineItem(r *http.Request, who principal, _ api.None) (api.QuarantineContents, error) {
	number, refused := itemNumber(r)
	if refused != nil {
		return api.QuarantineContents{}, refused
	}
	item, err := s.rt.QuarantineItem(r.Context(), number)
	if err != nil {
		return api.QuarantineContents{}, err
	}
	if _, refused := s.record(r, who, "quarantine", strconv.FormatUint(number, 10)); refused != nil {
		return api.QuarantineContents{}, refused
	}
	return api.QuarantineContents{QuarantineItem: quarantineItem(&item), Data: item.Data}, nil
}

func itemNumber(r *http.Request) (uint64, *api.Error) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		return 0, badRequest("the path does not name an item by its number", "GET /v1/quarantine lists them")
	}
	return number, nil
}

// itemChange changes one item and returns how many events that produced.
type itemChange func(ctx context.Context, by runtime.By, number uint64) (events int, err error)

func (s *Server) replayItem(ctx context.Context, by runtime.By, number uint64) (int, error) {
	results, err := s.rt.ReplayQuarantineItem(ctx, by, number, nil)
	return len(results), err
}

func (s *Server) deleteItem(ctx context.Context, by runtime.By, number uint64) (int, error) {
	return 0, s.rt.DeleteQuarantineItem(ctx, by, number)
}

// quarantine returns a handler that changes the named items, or all items that match a query.
// In the second case one request changes a limited number of items and returns where to
// continue.
func (s *Server) quarantine(reasoned bool, do itemChange) func(*http.Request, principal, api.QuarantineChange) (api.QuarantineChanged, error) {
	return func(r *http.Request, who principal, in api.QuarantineChange) (done api.QuarantineChanged, err error) {
		if refused := reasonOf(in.Reason, reasoned); refused != nil {
			return done, refused
		}
		if refused := checkItems(in); refused != nil {
			return done, refused
		}
		if in.All == (len(in.Numbers) > 0) {
			return done, badRequest("name numbers, or say all: true, not both and not neither", "")
		}
		if len(in.Numbers) > pageMax || !in.All && in.Cause+in.Source != "" {
			return done, badRequest("at most "+strconv.Itoa(pageMax)+" numbers; cause and source go with all: true", "")
		}
		numbers := in.Numbers
		if in.All {
			items, err := s.rt.QuarantineItems(r.Context(), runtime.QuarantineQuery{
				After: in.After, Limit: pageMax, Reason: in.Cause, Source: in.Source,
			})
			if err != nil {
				return done, err
			}
			for i := range items {
				numbers = append(numbers, items[i].Number)
			}
			if len(items) == pageMax {
				done.Next = items[len(items)-1].Number
			}
		}
		if reasoned { // items are discarded: one call discards all of them
			if err := s.rt.AskQuarantineDelete(who.as(r, in.Reason), numbers...); err != nil {
				return done, err
			}
		}
		for _, number := range numbers {
			events, err := do(r.Context(), who.as(r, in.Reason), number)
			if err == nil {
				done.Changed++
				done.Events += events
				continue
			}
			failed := s.itemFailure(r, err)
			if failed.Status >= statusClientGone || // the next item would fail as well
				failed.Status == http.StatusNotFound && len(numbers) == 1 {
				return done, failed
			}
			done.Failed = append(done.Failed, api.QuarantineFailed{Number: number, Error: failed})
		}
		return done, nil
	}
}

// postReplacement replays an item with the request's body instead of its own contents. Since
// the caller writes events by this, it also needs the role ingest.
func (s *Server) postReplacement(w http.ResponseWriter, r *http.Request, who principal) {
	var why api.Why
	number, refused := itemNumber(r)
	if refused == nil {
		refused = who.allow(roleIngest)
	}
	if refused == nil {
		refused = api.ReadQuery(r.URL.Query(), &why)
	}
	if refused == nil {
		refused = reasonOf(why.Reason, false)
	}
	if refused == nil && r.ContentLength > int64(s.limits.BodyBytes) {
		refused = s.bodyTooLarge()
	}
	if refused != nil {
		respondError(w, refused)
		return
	}
	release, err := s.Reserve(r.Context(), who.by(), s.memoryOf(r, true, true))
	if err != nil {
		respondError(w, busy())
		return
	}
	defer release()
	body, err := io.ReadAll(io.LimitReader(newPacedReader(w, r, s.patience.body), int64(s.limits.BodyBytes)+1))
	switch {
	case err != nil:
		respondError(w, badRequest("the body was incomplete", ""))
		return
	case int64(len(body)) > int64(s.limits.BodyBytes):
		respondError(w, s.bodyTooLarge())
		return
	}
	// As with events: once begun, the operation completes even if the client disconnects.
	results, err := s.rt.ReplayQuarantineItem(context.WithoutCancel(r.Context()), who.as(r, why.Reason), number, body)
	if err != nil {
		respondError(w, s.itemFailure(r, err))
		return
	}
	respondJSON(w, api.QuarantineChanged{Changed: 1, Events: len(results)})
}

// itemFailure returns the answer for an item that could not be changed.
func (s *Server) itemFailure(r *http.Request, err error) *api.Error {
	const hint = "auditrelay quarantine show NUMBER --raw prints the input; correct it and replay with --edit FILE"
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
