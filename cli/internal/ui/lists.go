package ui

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

// listed is the number of items on one page of a list.
const listed = 200

func apiError(err error) *api.Error {
	refused, _ := errors.AsType[*api.Error](err)
	return refused
}

func notFound(what string) *api.Error {
	return &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: "no such " + what}
}

func badForm(field string) *api.Error {
	return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: field, Message: "the form's field is missing or malformed"}
}

// selection returns the numbers that were selected in a list.
func (v *visit) selection(field string) ([]uint64, error) {
	var all []uint64
	for _, text := range v.r.PostForm[field] {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return nil, badForm(field)
		}
		all = append(all, n)
	}
	return all, nil
}

type deadLettersView struct {
	Callback  string
	Callbacks []api.CallbackStatus
	Letters   []api.DeadLetter
	Next      uint64
	Causes    []causeCount
	Jobs      []api.DeadReplayJob // of this callback
}

type causeCount struct {
	Cause string
	Count uint64
}

// byCause sorts counts by size.
func byCause(all map[string]uint64) (out []causeCount) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, causeCount{name, all[name]})
	}
	slices.SortStableFunc(out, func(a, b causeCount) int { return cmp.Compare(b.Count, a.Count) })
	return out
}

func (v *visit) deadLetters() error {
	ctx := v.r.Context()
	all, err := v.api.Callbacks(ctx)
	if err != nil {
		return err
	}
	after, err := v.number("after")
	if err != nil {
		return err
	}
	out := deadLettersView{Callback: v.r.URL.Query().Get("callback")}
	for _, c := range all {
		if c.Replay == "" {
			out.Callbacks = append(out.Callbacks, c)
		}
	}
	if out.Callback == "" { // the first callback with dead letters
		for _, c := range out.Callbacks {
			if c.Account.DeadLettered > 0 {
				out.Callback = c.Name
				break
			}
		}
	}
	if out.Callback != "" {
		if out.Letters, err = v.api.DeadLetters(ctx, out.Callback, api.DeadLetterQuery{After: after, Limit: listed}); err != nil {
			return err
		}
		jobs, err := v.api.DeadReplays(ctx)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			if job.Callback == out.Callback {
				out.Jobs = append(out.Jobs, job)
			}
		}
		causes := map[string]uint64{}
		for _, l := range out.Letters {
			causes[string(l.Cause)]++
		}
		out.Causes = byCause(causes)
		if len(out.Letters) == listed {
			out.Next = out.Letters[listed-1].Sequence
		}
	}
	return v.show("dead-letters", "Dead letters", out)
}

func (v *visit) deadLetter() error {
	sequence, err := strconv.ParseUint(v.r.PathValue("sequence"), 10, 63)
	if err != nil {
		return notFound("dead letter")
	}
	one, err := v.api.DeadLetter(v.r.Context(), v.r.PathValue("name"), sequence)
	if err != nil {
		return err
	}
	return v.show("dead-letter", "Dead letter", one)
}

func (v *visit) changeDeadLetters() error {
	name := v.r.PostFormValue("callback")
	which := api.DeadLetters{All: v.r.PostFormValue("all") != ""}
	var err error
	if !which.All {
		if which.Sequences, err = v.selection("sequence"); err != nil {
			return err
		}
		if len(which.Sequences) == 0 {
			return &api.Error{Status: http.StatusBadRequest, Message: "nothing is selected", Hint: "tick some dead letters, or all of them"}
		}
	}
	var changed api.Changed
	notice := "replayed"
	switch v.r.PostFormValue("do") {
	case "replay":
		var replayed api.DeadLetterReplayed
		replayed, err = v.api.ReplayDeadLetters(v.r.Context(), name, api.DeadLetterReplay{Sequences: which.Sequences, All: which.All, Reason: v.why().Reason})
		changed.Changed = replayed.Changed
	case "discard":
		notice = "discarded"
		which.Reason = v.why().Reason
		changed, err = v.api.DiscardDeadLetters(v.r.Context(), name, which)
	default:
		return badForm("do")
	}
	if err != nil {
		return err
	}
	return v.done("/ui/dead-letters?callback="+url.QueryEscape(name), notice, changed.Changed)
}

// replayDeadLetters starts a replay of the dead letters that a form selects, or only counts
// them.
func (v *visit) replayDeadLetters() error {
	form := v.r.PostForm
	name := form.Get("callback")
	want := api.DeadLetterReplay{DryRun: form.Get("dry_run") != "", Reason: v.why().Reason}
	if cause := form.Get("cause"); cause != "" {
		want.Causes = []auditrelay.Cause{auditrelay.Cause(cause)}
	}
	for field, into := range map[string]*[]string{"action": &want.Actions, "table": &want.Tables, "filter": &want.Filters} {
		if text := strings.TrimSpace(form.Get(field)); text != "" {
			*into = []string{text}
		}
	}
	for field, into := range map[string]*time.Time{"from": &want.From, "to": &want.To} {
		if text := form.Get(field); text != "" {
			at, err := time.ParseInLocation("2006-01-02T15:04", text, time.UTC)
			if err != nil {
				return badForm(field)
			}
			*into = at
		}
	}
	if text := strings.TrimSpace(form.Get("rate")); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate <= 0 {
			return badForm("rate")
		}
		want.Rate = rate
	}
	if want.Causes == nil && want.Actions == nil && want.Tables == nil && want.Filters == nil && want.From.IsZero() && want.To.IsZero() {
		want.All = true
	}
	replayed, err := v.api.ReplayDeadLetters(v.r.Context(), name, want)
	if err != nil {
		return err
	}
	notice, n := "replayed", replayed.Changed
	if replayed.Job != nil {
		n = int(replayed.Job.Matched)
	}
	if want.DryRun {
		notice = "dry"
	}
	return v.done("/ui/dead-letters?callback="+url.QueryEscape(name), notice, n)
}

func (v *visit) cancelReplay() error {
	job, err := v.api.CancelDeadReplay(v.r.Context(), v.r.PathValue("id"), v.why())
	if err != nil {
		return err
	}
	return v.done("/ui/dead-letters?callback="+url.QueryEscape(job.Callback), "cancelled", -1)
}

type quarantineView struct {
	Items []api.QuarantineItem
	Stats api.QuarantineStats
	Next  uint64
}

func (v *visit) quarantine() error {
	ctx := v.r.Context()
	after, err := v.number("after")
	if err != nil {
		return err
	}
	items, err := v.api.Quarantine(ctx, api.QuarantineQuery{After: after, Limit: listed})
	if err != nil {
		return err
	}
	stats, err := v.api.Stats(ctx)
	if err != nil {
		return err
	}
	out := quarantineView{Items: items, Stats: stats.Quarantine}
	if len(items) == listed {
		out.Next = items[listed-1].Number
	}
	return v.show("quarantine", "Quarantine", out)
}

func (v *visit) quarantined() error {
	number, err := strconv.ParseUint(v.r.PathValue("number"), 10, 63)
	if err != nil {
		return notFound("item")
	}
	item, err := v.api.QuarantineItem(v.r.Context(), number)
	if err != nil {
		return err
	}
	return v.show("quarantined", "Quarantined input", item)
}

func (v *visit) changeQuarantine() error {
	numbers, err := v.selection("number")
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return &api.Error{Status: http.StatusBadRequest, Message: "nothing is selected", Hint: "tick some items"}
	}
	which := api.QuarantineChange{Numbers: numbers, Reason: v.why().Reason}
	var changed api.QuarantineChanged
	notice := "quarantined"
	switch v.r.PostFormValue("do") {
	case "replay":
		changed, err = v.api.ReplayQuarantine(v.r.Context(), which)
	case "delete":
		notice = "deleted"
		changed, err = v.api.DeleteQuarantine(v.r.Context(), which)
	default:
		return badForm("do")
	}
	if err != nil {
		return err
	}
	if len(changed.Failed) > 0 {
		return stayed(changed)
	}
	return v.done("/ui/quarantine", notice, changed.Changed)
}

// stayed returns an error that lists the items that were not changed and why the first was not.
func stayed(c api.QuarantineChanged) *api.Error {
	first := c.Failed[0]
	return &api.Error{
		Status: http.StatusUnprocessableEntity, Field: first.Error.Field, Hint: first.Error.Hint,
		Message: fmt.Sprintf("%d of %d items stay in quarantine; item %d: %s", len(c.Failed), c.Changed+len(c.Failed), first.Number, first.Error.Message),
	}
}

// mend replays an item with the contents of the form instead of its own.
func (v *visit) mend() error {
	number, err := strconv.ParseUint(v.r.PathValue("number"), 10, 63)
	if err != nil {
		return notFound("item")
	}
	// A form sends line breaks as CR LF. JSON treats both alike.
	contents := strings.ReplaceAll(v.r.PostFormValue("contents"), "\r\n", "\n")
	changed, err := v.api.ReplaceQuarantined(v.r.Context(), number, []byte(contents), v.why())
	if err != nil {
		return err
	}
	if len(changed.Failed) > 0 {
		return stayed(changed)
	}
	return v.done("/ui/quarantine", "quarantined", changed.Changed)
}
