package ui

import (
	"encoding/json"
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
	Sequence uint64    `json:"-"`
	ID       string    `json:"-"`
	Received time.Time `json:"-"`

	By      string          `json:"changed_by"`
	Action  string          `json:"action"`
	Table   string          `json:"table_name"`
	Object  string          `json:"object_id"`
	Before  json.RawMessage `json:"before_value"`
	After   json.RawMessage `json:"updated_values"`
	Control struct {
		Act     string `json:"act"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
		Address string `json:"address"`
		With    string `json:"with"`
	} `json:"control"`
}

func (v *visit) control() error {
	ctx := v.r.Context()
	out := controlView{From: v.number("from")}
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
		r := controlRecord{Sequence: e.Sequence, ID: e.ID, Received: e.Received}
		// A record that a later version wrote may be shaped otherwise: what can be read is shown.
		_ = json.Unmarshal(e.Data, &r)
		if r.Control.Act == "" {
			r.Control.Act = r.Action
		}
		out.Records = append(out.Records, r)
	}
	return v.show("control", "Control records", out)
}

// number reads a parameter of the address, 0 where there is none.
func (v *visit) number(name string) uint64 {
	n, _ := strconv.ParseUint(v.r.URL.Query().Get(name), 10, 63)
	return n
}
