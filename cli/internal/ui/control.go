package ui

import (
	"net/http"
	"strconv"
	"time"

	"auditrelay/cli/internal/api"
)

// recentRecords is how many events before the newest the screen of control records begins.
const recentRecords = 5000

type controlView struct {
	From, Next uint64
	Records    []controlRecord
}

// controlRecord is one of the relay's own records as the screen shows it.
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
		// A record that cannot be read, for example one of a later version, is shown by its
		// sequence only.
		r := controlRecord{Sequence: e.Sequence, ID: e.ID, Received: e.Received}
		r.OwnRecord, _ = e.OwnRecord()
		out.Records = append(out.Records, r)
	}
	return v.show("control", "Control records", out)
}

// number returns a number from the query string, or 0 if it is missing.
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
