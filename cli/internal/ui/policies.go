package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/diff"
)

type policiesView struct {
	InForce []api.PolicyInForce
	History []pastPolicy
}

// pastPolicy is one version of a policy and the digest of the previous version, which is empty
// if none is stored.
type pastPolicy struct {
	api.KeptText
	Before string
}

func (v *visit) policies() error {
	all, err := v.api.Policies(v.r.Context())
	if err != nil {
		return err
	}
	kept, err := v.api.PolicyHistory(v.r.Context())
	if err != nil {
		return err
	}
	out := policiesView{InForce: all}
	for i, k := range kept { // by name, newest first
		p := pastPolicy{KeptText: k}
		if i+1 < len(kept) && kept[i+1].Kind == k.Kind && kept[i+1].Name == k.Name {
			p.Before = kept[i+1].Digest
		}
		out.History = append(out.History, p)
	}
	if len(out.History) > listed {
		out.History = out.History[:listed]
	}
	return v.show("policies", "Policies", out)
}

type policyView struct {
	api.KeptText
	With  *api.KeptText // the version to compare with
	Lines []diffLine
}

func (v *visit) policy() error {
	text, err := v.api.Policy(v.r.Context(), v.r.PathValue("digest"))
	if err != nil {
		return err
	}
	out := policyView{KeptText: text}
	if digest := strings.TrimSpace(v.r.URL.Query().Get("with")); digest != "" {
		with, err := v.api.Policy(v.r.Context(), digest)
		if err != nil {
			return err
		}
		out.With, out.Lines = &with, marked(strings.Split(strings.TrimSuffix(with.Text, "\n"), "\n"), strings.Split(strings.TrimSuffix(text.Text, "\n"), "\n"))
	}
	return v.show("policy", "Policy", out)
}

// policyByDigest opens the policy text with a digest that the user typed.
func (v *visit) policyByDigest() error {
	return v.done("/ui/policies/"+url.PathEscape(strings.TrimSpace(v.r.URL.Query().Get("digest"))), "", -1)
}

// tryView is the form and, after it was submitted, its result.
type tryView struct {
	Callbacks []api.CallbackStatus
	Policies  []api.PolicyInForce // of native filters
	InForce   map[string]string   // their digests
	Guests    []api.Filter
	Modules   []api.Module // uploaded

	Guest, Module string

	Callback, Events, From, Limit, Filter, Policy string

	Tried   []triedView
	Change  *api.PolicyChange
	Asked   bool
	Refused *api.Error // why there is no result
}

// triedView is one trial with the difference between before and after.
type triedView struct {
	api.Tried
	Lines []diffLine
}

type diffLine struct{ Class, Text string }

// difference marks the lines that filters removed from a document or added to it.
func difference(before, after []byte) (lines []diffLine) {
	if after == nil || bytes.Equal(before, after) {
		for _, line := range diff.Lines(before) {
			lines = append(lines, diffLine{"", "    " + line})
		}
		return lines
	}
	return marked(diff.Lines(before), diff.Lines(after))
}

// marked marks the lines that were removed or added.
func marked(before, after []string) (lines []diffLine) {
	var out bytes.Buffer
	_ = diff.Write(&out, before, after, false) // a buffer: no error
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		class := ""
		switch {
		case strings.HasPrefix(line, "  - "):
			class = "removed"
		case strings.HasPrefix(line, "  + "):
			class = "added"
		}
		lines = append(lines, diffLine{class, line})
	}
	return lines
}

// tryForm shows the form, and try also shows the result.
func (v *visit) tryForm() error {
	out := tryView{Limit: cmp.Or(v.r.URL.Query().Get("limit"), "20"), Callback: v.r.URL.Query().Get("callback"), Filter: v.r.URL.Query().Get("filter"), From: v.r.URL.Query().Get("from")}
	return v.showTry(&out)
}

func (v *visit) showTry(out *tryView) error {
	all, err := v.api.Callbacks(v.r.Context())
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Replay == "" {
			out.Callbacks = append(out.Callbacks, c)
		}
	}
	policies, err := v.api.Policies(v.r.Context())
	if err != nil {
		return err
	}
	out.InForce = map[string]string{}
	for _, p := range policies {
		if p.Kind == "policy" {
			out.Policies = append(out.Policies, p)
			out.InForce[p.Name] = p.Digest
		}
	}
	if out.Guests, err = v.api.Filters(v.r.Context()); err != nil {
		return err
	}
	if out.Modules, err = v.api.Modules(v.r.Context()); err != nil {
		return err
	}
	status := http.StatusOK
	if out.Refused != nil {
		status = max(out.Refused.Status, 400)
	}
	v.render(status, "try", "Try", *out)
	return nil
}

// try does what the form asks for. An error is shown together with the form, so that a draft is
// not lost.
func (v *visit) try() error {
	form := v.r.PostForm
	out := tryView{
		Callback: form.Get("callback"), Events: form.Get("events"), From: form.Get("from"), Limit: form.Get("limit"),
		Filter: form.Get("filter"), Policy: form.Get("policy"), Guest: form.Get("guest"), Module: form.Get("module"),
	}
	if form.Get("do") == "compare" || form.Get("do") == "try" || form.Get("do") == "" {
		out.Asked = true
		return v.tried(&out, v.trial(&out))
	}
	var err error
	switch form.Get("do") {
	case "shadow":
		err = v.runShadow(api.StartShadow{Filter: out.Filter, Callback: out.Callback, Policy: out.Policy, Reason: v.why().Reason})
	case "rollout":
		err = v.rollOut(api.StartRollout{Filter: out.Filter, Policy: out.Policy})
	case "use":
		var used api.PolicyUsed
		if used, err = v.api.UsePolicy(v.r.Context(), out.Filter, api.UsePolicy{Policy: out.Policy, Reason: v.why().Reason}); err == nil {
			err = v.policyUsed(used)
		}
	default:
		err = badForm("do")
	}
	if err == nil {
		return nil // another screen answered
	}
	return v.tried(&out, err)
}

// tried shows the form with its result, or with the reason why there is none.
func (v *visit) tried(out *tryView, err error) error {
	if refused := apiError(err); refused != nil && refused.Status != http.StatusUnauthorized && refused.Status < 500 {
		out.Refused, out.Asked, err = refused, false, nil
	}
	if err != nil {
		return err
	}
	return v.showTry(out)
}

// trial compares a draft policy with the one in force, or runs events through a callback's
// filters.
func (v *visit) trial(out *tryView) error {
	sample, err := out.sample()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	if v.r.PostForm.Get("do") == "compare" {
		change, err := v.api.PolicyDiff(ctx, api.PolicyDiff{Sample: sample, Filter: out.Filter, Policy: out.Policy})
		if err == nil {
			out.Change = &change
		}
		return err
	}
	want := api.Try{Sample: sample, Callback: out.Callback, Policy: out.Policy, Module: out.Module}
	switch {
	case out.Policy != "":
		want.Filter = out.Filter
	case out.Module != "":
		want.Filter = out.Guest
	}
	tried, err := v.api.Try(ctx, want)
	for _, one := range tried {
		out.Tried = append(out.Tried, triedView{one, difference(one.Before, one.After)})
	}
	return err
}

// sample returns the selected events: those in the form (a single one, an array, or one per
// line) or accepted events.
func (t *tryView) sample() (s api.Sample, err error) {
	if text := strings.TrimSpace(t.Events); text != "" {
		if strings.HasPrefix(text, "[") {
			if err := json.Unmarshal([]byte(text), &s.Events); err != nil {
				return s, badForm("events")
			}
			return s, nil
		}
		decoder := json.NewDecoder(strings.NewReader(text))
		for decoder.More() {
			var one json.RawMessage
			if err := decoder.Decode(&one); err != nil {
				return s, &api.Error{Status: http.StatusBadRequest, Field: "events", Message: "this is no JSON", Hint: "give one event, an array, or one event a line"}
			}
			s.Events = append(s.Events, one)
		}
		return s, nil
	}
	if text := strings.TrimSpace(t.From); text != "" {
		if s.From, err = strconv.ParseUint(text, 10, 63); err != nil {
			return s, badForm("from")
		}
	}
	if text := strings.TrimSpace(t.Limit); text != "" {
		if s.Limit, err = strconv.Atoi(text); err != nil {
			return s, badForm("limit")
		}
	}
	return s, nil
}
