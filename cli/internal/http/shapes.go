package http

import (
	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// This file converts the runtime's types to those of the API. A test checks that no field is
// forgotten.

// each converts a list. The result is never nil, so JSON shows an empty list.
func each[A, B any](list []A, to func(*A) B) []B {
	out := make([]B, 0, len(list))
	for i := range list {
		out = append(out, to(&list[i]))
	}
	return out
}

// some is like each, for a list that JSON omits if it is empty.
func some[A, B any](list []A, to func(*A) B) []B {
	if len(list) == 0 {
		return nil
	}
	return each(list, to)
}

func callbackStatus(s *runtime.CallbackStatus) api.CallbackStatus {
	var retain *api.Retain
	if s.Retain.Age > 0 || s.Retain.Bytes > 0 {
		retain = &api.Retain{Age: s.Retain.Age, Bytes: int64(s.Retain.Bytes), Held: s.Held, Then: s.Retain.Then}
	}
	return api.CallbackStatus{
		Retain: retain,
		Name:   s.Name, Replay: s.Replay, State: string(s.State), Reason: s.Reason, Since: s.Since, LastError: s.LastError,
		Account: api.Account(s.Account), Causes: s.Causes,
		Cursor: s.Cursor, Head: s.Head, Oldest: s.Oldest, Lag: s.Lag, InFlight: s.InFlight,
		Attempts: s.Attempts, Failures: s.Failures, Payloads: s.Payloads, Done: s.Done,
		Filters: s.Filters, Sink: s.Sink, NextTry: s.NextTry, Duplicates: s.Duplicates, Unverified: s.Unverified,
		Leaked: s.Leaked, MaxAge: s.MaxAge, Expiring: s.Expiring, Recent: some(s.Recent, attempt), Version: s.Version,
	}
}

func deadLetter(l *runtime.DeadLetter) api.DeadLetter {
	return api.DeadLetter{
		Callback: l.Callback, Sequence: l.Sequence, Namespace: l.Namespace, ID: l.ID, Received: l.Received, Action: l.Action,
		At: l.At, Cause: l.Cause, Filter: l.Filter, Error: l.Error, Attempts: l.Attempts, Replaying: l.Replaying, Data: l.Data,
	}
}

func provenance(p *auditrelay.Provenance) api.Provenance { return api.Provenance(*p) }

func explained(e *runtime.Explanation) api.Explained {
	return api.Explained{
		Namespace: e.Namespace, ID: e.ID, Sequence: e.Sequence, Received: e.Received, Time: e.Time, TimeFrom: e.TimeFrom, Action: e.Action,
		Provenance: provenance(&e.Provenance), AlsoFrom: some(e.AlsoFrom, provenance), Emission: (*api.Emission)(e.Emission),
		Callbacks: each(e.Callbacks, ending), Namesakes: some(e.Namesakes, namesake),
	}
}

func namesake(n *runtime.Namesake) api.Namesake {
	return api.Namesake{Sequence: n.Sequence, Namespace: n.Namespace, Received: n.Received, Provenance: provenance(&n.Provenance), Same: n.Same}
}

func ending(e *runtime.Ending) api.Ending {
	return api.Ending{
		Callback: e.Callback, Replay: e.Replay, Assigned: e.Assigned, Outcome: e.Outcome, Cause: e.Cause, Filter: e.Filter, Reason: e.Reason,
		Error: e.Error, Payload: e.Payload, Key: e.Key, Location: e.Location, Version: e.Version, Attempts: e.Attempts, At: e.At,
		Tombstone: e.Tombstone, Duplicate: e.Duplicate, Unverified: e.Unverified, Receipts: some(e.Receipts, receipt),
		History: some(e.History, attempt),
	}
}

func receipt(r *runtime.Receipt) api.Receipt {
	return api.Receipt{
		Callback: r.Callback, Replay: r.Replay, Sequence: r.Sequence, Namespace: r.Namespace, ID: r.ID, At: r.At, Again: r.Again,
		Outcome: r.Outcome, Now: r.Now, Cause: r.Cause, Filter: r.Filter, Reason: r.Reason, Refused: r.Refused, Emitted: r.Emitted,
		Filters: some(r.Filters, visit), Input: r.Input, Output: r.Output, Config: r.Config,
	}
}

func visit(f *runtime.ReceiptFilter) api.Visit {
	touch := func(t *runtime.ReceiptTouch) api.Touch { return api.Touch(*t) }
	return api.Visit{Name: f.Name, Kind: f.Kind, Digest: f.Digest, Version: f.Version, Touched: some(f.Touched, touch)}
}

func storedEvent(e *auditrelay.Event) api.StoredEvent {
	return api.StoredEvent{Sequence: e.Sequence, Namespace: e.Namespace, ID: e.ID, Received: e.Received, Mapping: (*api.Mapping)(e.Mapping), Data: e.Data}
}

func stats(s *runtime.Stats) api.Stats {
	q := &s.Quarantine
	return api.Stats{
		Journal: s.Journal, Head: s.Head, Oldest: s.Oldest, OldestAt: s.OldestAt, DiskBytes: s.DiskBytes, FreeBytes: s.FreeBytes, Quota: s.Quota, Reserve: s.Reserve,
		Accepted: s.Accepted, Duplicates: s.Duplicates, Conflicts: s.Conflicts, Rejected: s.Rejected, UnknownActions: s.UnknownActions,
		IngestFiltered: s.IngestFiltered, IngestFailed: s.IngestFailed, NotAccepting: s.NotAccepting,
		Quarantine: api.QuarantineStats{Items: q.Items, Bytes: q.Bytes, MostItems: q.MostItems, MostBytes: q.MostBytes, Full: q.Full},
	}
}

func quarantineItem(i *runtime.QuarantineItem) api.QuarantineItem {
	return api.QuarantineItem{
		Number: i.Number, First: i.First, Last: i.Last, Times: i.Times, Provenance: provenance(&i.Provenance),
		Namespace: i.Namespace, Reason: i.Reason, Detail: i.Detail, Bytes: i.Bytes, Digest: i.Digest, Bare: i.Bare,
	}
}

func period(p *runtime.Period) api.Period {
	return api.Period{Number: p.Number, State: string(p.State), From: p.From, To: p.To, Began: p.Began, Until: p.Until, Destroyed: p.Destroyed}
}

func replayStarted(r *runtime.ReplayStarted) api.ReplayStarted { return api.ReplayStarted(*r) }

func attempt(a *runtime.Attempt) api.Attempt {
	return api.Attempt{
		Payload: a.Payload, Number: a.Number, At: a.At, Took: a.Took, Bytes: a.Bytes, Status: a.Status, Result: string(a.Result),
		Kind: a.Kind, Reason: a.Reason, NextTry: a.NextTry, Error: a.Error, Answer: a.Answer,
	}
}

func delivery(d *runtime.Delivery) api.Delivery {
	return api.Delivery{
		Callback: d.Callback, Replay: d.Replay, Payload: d.Payload, State: string(d.State), Manifest: d.Manifest, DeadLetters: d.DeadLetters,
		Key: d.Key, First: d.First, Last: d.Last, Attempts: d.Attempts, Records: d.Records, Tombstones: d.Tombstones, Bytes: d.Bytes,
		Oldest: d.Oldest, NextTry: d.NextTry, At: d.At, Location: d.Location, Version: d.Version, Duplicate: d.Duplicate,
		Unverified: d.Unverified, Error: d.Error, Cause: d.Cause, By: d.By, History: some(d.History, attempt),
	}
}

func sinkTest(t *runtime.SinkTest) api.SinkTest { return api.SinkTest(*t) }
