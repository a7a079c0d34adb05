package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

// maxDiscarded limits how many dead letters one request discards by cause.
const maxDiscarded = 10_000

// maxUndelivered limits how many payloads are examined for their reasons.
const maxUndelivered = 1000

type undeliveredView struct {
	Callbacks []callbackRow // with undelivered events or dead letters
	Pending   uint64
	Dead      uint64
	Reasons   []undeliveredReason
	More      bool // there are more payloads than were examined
}

// undeliveredReason is a reason why payloads of a callback are not delivered yet.
type undeliveredReason struct {
	Callback, State, Reason, Error string
	Payloads, Records              uint64
	Bytes                          int64
	Oldest, NextTry                time.Time
}

// undelivered shows undelivered events by callback and cause.
func (v *visit) undelivered() error {
	ctx := v.r.Context()
	all, err := v.api.Callbacks(ctx)
	if err != nil {
		return err
	}
	out := undeliveredView{}
	for _, c := range all {
		out.Pending += c.Account.Pending
		out.Dead += c.Account.DeadLettered
		if c.Account.Pending+c.Account.DeadLettered > 0 {
			out.Callbacks = append(out.Callbacks, callbackRow{CallbackStatus: c})
		}
	}
	found, err := v.api.Deliveries(ctx, api.DeliveryQuery{State: "undelivered", Limit: maxUndelivered})
	if err != nil {
		return err
	}
	out.More = found.Next != "" && len(found.Deliveries) == maxUndelivered
	for i := range found.Deliveries {
		out.add(&found.Deliveries[i])
	}
	slices.SortStableFunc(out.Reasons, func(a, b undeliveredReason) int { return cmp.Compare(b.Records, a.Records) })
	return v.show("undelivered", "Undelivered", out)
}

// add counts a payload under its reason.
func (u *undeliveredView) add(d *api.Delivery) {
	r := undeliveredReason{Callback: d.Callback, State: d.State, Reason: "not tried yet"}
	if d.Attempts > 0 {
		r.Reason = "its attempts are no longer kept"
	}
	if n := len(d.History); n > 0 {
		a := &d.History[n-1]
		r.Reason, r.Error = string(a.Reason), a.Error
		if r.Reason == "" {
			r.Reason = a.Kind
		}
		if a.Status > 0 {
			r.Reason += fmt.Sprintf(" (status %d)", a.Status)
		}
	}
	at := slices.IndexFunc(u.Reasons, func(o undeliveredReason) bool {
		return o.Callback == r.Callback && o.State == r.State && o.Reason == r.Reason
	})
	if at < 0 {
		at = len(u.Reasons)
		u.Reasons = append(u.Reasons, r)
	}
	o := &u.Reasons[at]
	o.Payloads++
	o.Records += d.Records
	o.Bytes += d.Bytes
	if o.Oldest.IsZero() || !d.Oldest.IsZero() && d.Oldest.Before(o.Oldest) {
		o.Oldest = d.Oldest
	}
	if o.NextTry.IsZero() || !d.NextTry.IsZero() && d.NextTry.Before(o.NextTry) {
		o.NextTry = d.NextTry
	}
}

// changeByCause replays or discards the dead letters of a callback with the selected causes.
func (v *visit) changeByCause() error {
	ctx, form := v.r.Context(), v.r.PostForm
	name := form.Get("callback")
	var causes []auditrelay.Cause
	for _, c := range form["cause"] {
		causes = append(causes, auditrelay.Cause(c))
	}
	if len(causes) == 0 {
		return &api.Error{Status: http.StatusBadRequest, Message: "nothing is selected", Hint: "tick some causes"}
	}
	to := "/ui/dead-letters?callback=" + url.QueryEscape(name)
	switch form.Get("do") {
	case "replay":
		replayed, err := v.api.ReplayDeadLetters(ctx, name, api.DeadLetterReplay{Causes: causes, Reason: v.why().Reason})
		if err != nil {
			return err
		}
		n := replayed.Changed
		if replayed.Job != nil {
			n = int(replayed.Job.Matched)
		}
		return v.done(to, "replayed", n)
	case "discard":
		which := api.DeadLetters{Reason: v.why().Reason}
		for after := uint64(0); len(which.Sequences) < maxDiscarded; {
			page, err := v.api.DeadLetters(ctx, name, api.DeadLetterQuery{After: after, Limit: 1000})
			if err != nil {
				return err
			}
			for i := range page {
				after = page[i].Sequence
				if slices.Contains(causes, page[i].Cause) && len(which.Sequences) < maxDiscarded {
					which.Sequences = append(which.Sequences, after)
				}
			}
			if len(page) < 1000 {
				break
			}
		}
		if len(which.Sequences) == 0 {
			return v.done(to, "discarded", 0)
		}
		changed, err := v.api.DiscardDeadLetters(ctx, name, which)
		if err != nil {
			return err
		}
		return v.done(to, "discarded", changed.Changed)
	}
	return badForm("do")
}
