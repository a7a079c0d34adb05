package ui

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

const dayFormat = "2006-01-02"

type reportView struct {
	api.Report
	Asked    bool
	FromDay  string
	LastDay  string // inclusive
	Counted  []reportCallback
	Checked  bool // no log has a fault
	OpenDays int
}

// reportCallback is a callback's counts, largest first.
type reportCallback struct {
	Callback                          string
	Outcomes, Causes, Edits, Versions []causeCount
}

// report shows a period on one page for printing.
func (v *visit) report() error {
	q := v.r.URL.Query()
	out := reportView{FromDay: q.Get("from"), LastDay: q.Get("to"), Checked: true}
	if out.FromDay == "" || out.LastDay == "" {
		last := v.now().UTC()
		out.FromDay, out.LastDay = last.AddDate(0, 0, -30).Format(dayFormat), last.Format(dayFormat)
		return v.show("report", "Report", out)
	}
	from, err := time.Parse(dayFormat, out.FromDay)
	if err != nil {
		return badForm("from")
	}
	last, err := time.Parse(dayFormat, out.LastDay)
	if err != nil {
		return badForm("to")
	}
	out.Asked = true
	select {
	case v.reports <- struct{}{}:
		defer func() { <-v.reports }()
	default:
		return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, Message: "other reports are being made", Hint: "try again in a moment"}
	}
	if out.Report, err = v.api.Report(v.r.Context(), from, last.AddDate(0, 0, 1)); err != nil {
		return err
	}
	for _, c := range out.Callbacks {
		outcomes := map[string]uint64{}
		for o, n := range c.Outcomes {
			outcomes[o.String()] = n
		}
		out.Counted = append(out.Counted, reportCallback{c.Callback, byCause(outcomes), byCause(c.Causes), byCause(c.Edits), byCause(c.Versions)})
	}
	for _, l := range out.Logs {
		out.Checked = out.Checked && l.Fault == ""
	}
	for _, d := range out.Days {
		if len(d.Open) > 0 {
			out.OpenDays++
		}
	}
	return v.show("report", "Report", out)
}

// Withheld returns how many events did not leave the relay.
func (r reportView) Withheld() (n uint64) {
	for _, c := range r.Callbacks {
		for _, o := range slices.Collect(maps.Keys(c.Outcomes)) {
			if o != auditrelay.Delivered {
				n += c.Outcomes[o]
			}
		}
	}
	return n
}
