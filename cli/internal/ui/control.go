package ui

import (
	"net/http"
	"strconv"
	"time"

	"auditrelay/cli/internal/api"
)

// recentRecords is how far back, in events, the screen of control records begins.
const recentRecords = 5000

type controlView struct {
	From, Next uint64
	Records    []controlRecord
}

// controlRecord is what the screen shows of an own record of the relay.
type controlRecord struct {
	Sequence uint64
	ID       string
	Received time.Time
	api.OwnRecord
}

func (v *visit) control() error {
	ctx := v.r.Context()
	from, err := v.number("from")
	if err != nil {
		return err
	}
	out := controlView{From: from}
	if out.From == 0 {
		stats, err := v.api.Stats(ctx)
		if err != nil {
			return err
		}
		out.From = max(stats.Oldest, stats.Head-min(stats.Head, recentRecords))
	}
	found, err := v.api.Control(ctx, api.ControlQuery{From: out.From, Limit: listed})
	if err != nil {
		return err
	}
	out.Next = found.Next
	for _, e := range found.Records {
		// What cannot be read, of a later version perhaps, is shown by its sequence alone.
		r := controlRecord{Sequence: e.Sequence, ID: e.ID, Received: e.Received}
		r.OwnRecord, _ = e.OwnRecord()
		out.Records = append(out.Records, r)
	}
	return v.show("control", "Control records", out)
}

// number reads a parameter of the address, 0 where there is none.
func (v *visit) number(name string) (uint64, error) {
	text := v.r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: name, Message: "expected a number in the address"}
	}
	return n, nil
}
