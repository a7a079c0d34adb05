package ui

import (
	"cmp"
	"strconv"

	"auditrelay/cli/internal/api"
)

type completenessView struct {
	api.Completeness
	Asked int
	Days  []dayView
	Sound bool // no sequence is open and no log has a fault
}

type dayView struct{ api.CompleteDay }

// Last returns the last sequence of the day.
func (d dayView) Last() uint64 { return d.Next - 1 }

func (v *visit) completeness() error {
	text := v.r.URL.Query().Get("days")
	days, err := strconv.Atoi(cmp.Or(text, "14"))
	if err != nil {
		return badForm("days")
	}
	got, err := v.api.Completeness(v.r.Context(), days)
	if err != nil {
		return err
	}
	out := completenessView{Completeness: got, Asked: days, Sound: true}
	for _, d := range got.Days {
		out.Days = append(out.Days, dayView{d})
		out.Sound = out.Sound && len(d.Open) == 0
	}
	for _, l := range got.Logs {
		out.Sound = out.Sound && l.Fault == ""
	}
	return v.show("completeness", "Completeness", out)
}
