package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// sourceName is the source in the provenance, and the name of the position.
const sourceName = "postgres"

// The reasons of quarantine of this source; all others are an event's.
const (
	reasonConflict   = "conflict"
	reasonTooLarge   = "too_large"
	reasonUnreadable = "unreadable"
)

// intake submits rows to the relay.
type intake struct {
	relay      Relay
	provenance auditrelay.Provenance
	namespace  string
}

// take submits rows. When it returns nil, every row is accepted, known, or in quarantine.
// After an error some may be; submitting them again is harmless.
func (in *intake) take(ctx context.Context, rows []row) (done api.Taken, err error) {
	done.Read = uint64(len(rows))
	var aside []runtime.Quarantined
	set := func(r *row, reason, detail string) {
		aside = append(aside, runtime.Quarantined{Data: r.data, Provenance: in.provenance, Namespace: in.namespace, Reason: reason, Detail: detail})
	}
	ids := make([]string, 0, len(rows))
	for i := range rows {
		id := rows[i].id
		if rows[i].fault != nil {
			id = "" // not a text
		}
		ids = append(ids, id)
	}
	earlier, err := in.relay.FindEarlier(ctx, in.namespace, ids)
	if err != nil {
		return done, err
	}
	var events []runtime.Submission
	var which []*row
	for i := range rows {
		r := &rows[i]
		switch {
		case r.fault != nil:
			done.Unreadable++
			set(r, reasonUnreadable, fmt.Sprintf("the server cannot give this row as UTF-8, or at all (SQLSTATE %s): what is kept here is what it does give, the row is in the table at %v", r.fault.Code, r.tid))
		case r.bytes > maxRow:
			set(r, reasonTooLarge, fmt.Sprintf("the row has %d bytes, and at most %d are read; its id alone is kept here, the row is in the table", r.bytes, maxRow))
		case earlier[i] > 0:
			same, err := in.relay.Same(ctx, earlier[i], r.data)
			if err != nil {
				return done, err
			}
			if same {
				done.Duplicates++
			} else {
				set(r, reasonConflict, fmt.Sprintf("another event with this id was accepted before, as sequence %d", earlier[i]))
			}
		default:
			events = append(events, runtime.Submission{Data: r.data, Provenance: in.provenance, Namespace: in.namespace})
			which = append(which, r)
		}
	}
	if len(events) > 0 {
		results, err := in.relay.Submit(ctx, events...)
		if err != nil {
			return done, err
		}
		for i := range results {
			event, isEvent := errors.AsType[*runtime.EventError](results[i].Err)
			switch err := results[i].Err; {
			case err == nil && results[i].Duplicate:
				done.Duplicates++
			case err == nil:
				done.Accepted++
			case errors.Is(err, runtime.ErrConflict):
				set(which[i], reasonConflict, "another event with this id was accepted before")
			case errors.Is(err, runtime.ErrIngestFilter):
				done.Refused++
			case isEvent:
				set(which[i], string(event.Reason), event.Message)
			default:
				return done, fmt.Errorf("a row is refused for what this source does not know: %w", err)
			}
		}
	}
	done.Quarantined = uint64(len(aside))
	return done, in.setAside(ctx, aside)
}

// setAside quarantines rows, one by one if they do not fit together.
func (in *intake) setAside(ctx context.Context, items []runtime.Quarantined) error {
	if len(items) == 0 {
		return nil
	}
	err := in.relay.Quarantine(ctx, items...)
	if !errors.Is(err, runtime.ErrQuarantineItem) {
		return kept(err)
	}
	for i := range items {
		err := in.relay.Quarantine(ctx, items[i])
		if errors.Is(err, runtime.ErrQuarantineItem) {
			items[i].Detail += fmt.Sprintf("; the row has %d bytes, too many for quarantine: its id alone is kept here, the row is in the table", len(items[i].Data))
			items[i].Data = idOf(items[i].Data)
			err = in.relay.Quarantine(ctx, items[i])
		}
		if kept(err) != nil {
			return err
		}
	}
	return nil
}

// kept returns err, or nil if it only says that a digest was stored, as with filters
// before the journal.
func kept(err error) error {
	if errors.Is(err, runtime.ErrNotKept) {
		return nil
	}
	return err
}

// idOf returns the data of a row with only its id.
func idOf(data []byte) []byte {
	var r struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(data, &r) // without an id nothing remains
	if len(r.ID) > maxID {
		r.ID = r.ID[:maxID]
	}
	b, _ := json.Marshal(r) // a string always encodes
	return b
}
