package runtime

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/internal/gate"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// TableCanary is the table_name of canaries: of the events with fake secrets, and of the own records with
// their results.
const TableCanary = "auditrelay_canary"

var canaryKey = journal.MetaKey("canary")

// Canary is a test event with fake secrets. It passes conditions, filters, gate and sinks like any other
// event. The relay then searches the acknowledged payloads for it.
type Canary struct {
	ID       string                  `json:"id"` // the event's ID
	Sequence uint64                  `json:"sequence"`
	Sent     time.Time               `json:"sent"`
	Secrets  []string                `json:"secrets"`             // fake secrets; none may reach a destination
	ReadBack []string                `json:"read_back,omitempty"` // callbacks whose destination is read back
	Ended    bool                    `json:"ended"`               // an own record has the Results, by callback
	Results  map[string]CanaryResult `json:"results,omitempty"`

	mu     sync.Mutex
	sights map[string]Sight
}

// Sight says which parts of a canary were in the payloads that a callback's destination acknowledged.
type Sight struct {
	Arrived    bool // the canary's id was found
	Exposed    bool // one of its secrets was found
	Unreadable bool // the payload is not text, so it was not searched

	// Back is the result of reading the destination: CanaryMasked, CanaryExposed, CanaryMissing,
	// CanaryUnread or CanaryUnreadable. It is empty if the destination was not read. If several payloads
	// contain the canary, it is the worst result.
	Back CanaryResult
}

// Sights returns the results so far, by callback. Results from before a restart are unknown.
func (c *Canary) Sights() map[string]Sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.sights)
}

// SendCanary accepts a new canary as an event of LiteLLM's schema, and watches for it instead of the
// previous one. For the callbacks in readBack it reads the destination after the acknowledgement; their
// sinks must be an auditrelay.Reader. Errors are those of Submit.
func (r *Runtime) SendCanary(ctx context.Context, readBack ...string) (*Canary, error) {
	c := newCanary(time.Now())
	c.ReadBack = readBack
	data, err := c.event()
	if err != nil {
		return nil, err
	}
	results, err := r.submit(ctx, []Submission{{Data: data, Reserved: true, Provenance: auditrelay.Provenance{Source: "canary"}}}, true, func(tx *journal.Tx, _ []auditrelay.Event) error {
		state, err := json.Marshal(c)
		tx.Set(canaryKey, state)
		r.canary.Store(c) // set before the submission, since the canary may be delivered before Submit returns
		return err
	})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		r.canary.CompareAndSwap(c, nil)
		return nil, err
	}
	c.mu.Lock()
	c.Sequence = results[0].Sequence
	c.mu.Unlock()
	return c, nil
}

// LastCanary returns the last canary that was sent, or nil if there was none. If no own record has its
// result yet, LastCanary starts watching for it again.
func (r *Runtime) LastCanary() (*Canary, error) {
	if c := r.canary.Load(); c != nil {
		return c, nil
	}
	state, _, err := r.journal.Get(canaryKey)
	if err != nil || state == nil {
		return nil, err
	}
	c := new(Canary)
	if err := json.Unmarshal(state, c); err != nil {
		return nil, fmt.Errorf("decode the last canary: %w", err)
	}
	if c.Ended {
		return c, nil
	}
	if c.Sequence, _, err = r.lookup("", c.ID); err != nil && !errors.Is(err, ErrNotSeen) {
		return nil, err
	}
	r.canary.Store(c)
	return c, nil
}

// EndCanary records the results of a canary once: one write contains the record and the end of the canary.
// Errors are those of Record.
func (r *Runtime) EndCanary(_ context.Context, c *Canary, results map[string]CanaryResult, change Change) error {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	change.Table, change.Object = TableCanary, c.ID
	tx := new(journal.Tx)
	if err := change.append(tx); err != nil {
		return err
	}
	ended := Canary{ID: c.ID, Sequence: c.Sequence, Sent: c.Sent, Ended: true, Results: results}
	state, err := json.Marshal(&ended)
	if err != nil {
		return err
	}
	tx.Set(canaryKey, state)
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(err)
	}
	c.Ended, c.Results = true, results
	r.canary.CompareAndSwap(c, nil)
	return nil
}

// newCanary creates three kinds of fake secrets: one that only its name identifies, one with a detectable
// form, and one inside a string of JSON.
func newCanary(now time.Time) *Canary {
	drawn := func() string {
		b := make([]byte, 12)
		rand.Read(b)
		return hex.EncodeToString(b)
	}
	return &Canary{ID: "canary-" + drawn(), Sent: now.UTC(), Secrets: []string{"Cn7-" + drawn(), "sk-Cn7" + drawn() + "Xz", "Cn9-" + drawn()}, sights: map[string]Sight{}}
}

// event returns the canary as an audit event.
func (c *Canary) event() ([]byte, error) {
	inner, err := json.Marshal(map[string]any{"api_key": c.Secrets[2]})
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"id": c.ID, "updated_at": c.Sent.Format(time.RFC3339Nano), "changed_by": "auditrelay", "changed_by_api_key": "", "action": "created",
		"table_name": TableCanary, "object_id": c.ID, "before_value": nil,
		"updated_values": map[string]any{
			"about":    "A test by auditrelay. The secrets in it are false, and must be masked where you read this.",
			"password": c.Secrets[0], "note": "The key " + c.Secrets[1] + " is false.", "settings": string(inner),
		},
	})
}

// sight searches an acknowledged payload and, if requested, the data that the destination stores now.
func (r *Runtime) sight(ctx context.Context, callback *Callback, replay string, p *auditrelay.Payload, receipt auditrelay.Receipt) {
	c := r.canary.Load()
	if c == nil || replay != "" {
		return
	}
	c.mu.Lock()
	sequence := c.Sequence
	c.mu.Unlock()
	holds := slices.Contains(p.Sequences, sequence)
	if sequence != 0 && !holds {
		return
	}
	var seen Sight
	named, exposed, readable := c.search(p)
	if sequence == 0 && !named { // SendCanary has not returned yet, or the payload does not contain the id
		sequence, _, err := r.lookup("", c.ID)
		holds = err == nil && slices.Contains(p.Sequences, sequence)
	}
	seen.Arrived, seen.Exposed, seen.Unreadable = named || holds && readable, exposed, holds && !readable
	if seen.Arrived && slices.Contains(c.ReadBack, callback.Name) {
		seen.Back = r.readBack(ctx, c, callback, *p, receipt, named)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sights == nil {
		c.sights = map[string]Sight{}
	}
	was := c.sights[callback.Name]
	c.sights[callback.Name] = Sight{was.Arrived || seen.Arrived, was.Exposed || seen.Exposed, was.Unreadable || seen.Unreadable, worse(was.Back, seen.Back)}
}

// worse returns the worse of two payloads' results at a destination.
func worse(a, b CanaryResult) CanaryResult {
	order := []CanaryResult{"", CanaryMasked, CanaryUnread, CanaryMissing, CanaryUnreadable, CanaryExposed}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// search looks for the canary's id and its secrets in a payload. A policy may have hidden the id. An
// unreadable payload is not searched.
func (c *Canary) search(p *auditrelay.Payload) (named, exposed, readable bool) {
	content, err := gate.Content(p)
	named = err == nil && bytes.Contains(content, []byte(c.ID))
	for _, secret := range c.Secrets {
		exposed = exposed || err == nil && bytes.Contains(content, []byte(secret)) || bytes.Contains([]byte(p.Key), []byte(secret))
		for _, value := range p.Headers {
			exposed = exposed || bytes.Contains([]byte(value), []byte(secret))
		}
	}
	return named, exposed, err == nil
}

// readBack returns the state of the canary at the destination. named says that the payload contained its
// id, so the destination must have it.
func (r *Runtime) readBack(ctx context.Context, c *Canary, callback *Callback, p auditrelay.Payload, receipt auditrelay.Receipt, named bool) (result CanaryResult) {
	reader, ok := callback.Sink.(auditrelay.Reader)
	if !ok {
		return CanaryUnread
	}
	ctx, cancel := context.WithTimeout(ctx, callback.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("a canary could not be read back", "callback", callback.Name, "error", fmt.Sprintf("the sink's ReadBack panicked with a %T", v))
			result = CanaryUnread
		}
	}()
	held, err := reader.ReadBack(ctx, p, receipt)
	if errors.Is(err, auditrelay.ErrMissing) {
		return CanaryMissing
	}
	if err != nil {
		r.log.Error("a canary could not be read back", "callback", callback.Name, "error", err)
		return CanaryUnread
	}
	switch there, exposed, readable := c.search(&auditrelay.Payload{Body: held}); {
	case exposed:
		return CanaryExposed
	case !readable:
		return CanaryUnreadable
	case named && !there, len(held) == 0:
		return CanaryMissing
	}
	return CanaryMasked
}

// CanaryResult is a canary's result on one callback.
type CanaryResult string

// The results of a canary.
const (
	CanaryMasked     CanaryResult = "masked"     // delivered without its secrets
	CanaryExposed    CanaryResult = "exposed"    // delivered with at least one secret
	CanaryUnreadable CanaryResult = "unreadable" // delivered in a payload that cannot be searched
	CanaryUnseen     CanaryResult = "unseen"     // delivered before a restart, and not searched
	CanaryMissing    CanaryResult = "missing"    // acknowledged, but missing when the destination was read
	CanaryUnread     CanaryResult = "unread"     // acknowledged, but the destination could not be read
	CanaryPending    CanaryResult = "pending"    // not delivered yet
	CanaryLater      CanaryResult = "later"      // the callback started after the canary was sent, so it never gets the canary
	// All other results are an outcome with its cause, such as filtered: when or dead_lettered: leak.
)

// CanaryResults returns a canary's results so far, by callback. It covers the callbacks that were assigned
// the canary, and those that started later.
func (r *Runtime) CanaryResults(ctx context.Context, c *Canary) (map[string]CanaryResult, error) {
	sights := c.Sights()
	e, err := r.Explain(ctx, "", c.ID)
	if err != nil && !errors.Is(err, ErrNotSeen) {
		return nil, err
	}
	results := map[string]CanaryResult{}
	late, err := r.startedAfter(e.Sequence)
	if err != nil {
		return nil, err
	}
	for _, name := range late {
		results[name] = CanaryLater
	}
	for i := range e.Callbacks {
		end := &e.Callbacks[i]
		if end.Replay != "" || !end.Assigned {
			continue
		}
		seen := sights[end.Callback]
		result := CanaryPending
		switch {
		case seen.Exposed:
			result = CanaryExposed
		case end.Outcome != auditrelay.Pending && end.Outcome != auditrelay.Delivered:
			result = CanaryResult(fmt.Sprintf("%s: %s", end.Outcome, end.Cause)) // the destination may have a tombstone
		case seen.Arrived && seen.Back != "":
			result = seen.Back
		case seen.Arrived:
			result = CanaryMasked
		case seen.Unreadable:
			result = CanaryUnreadable
		case end.Outcome == auditrelay.Delivered:
			result = CanaryUnseen
		}
		results[end.Callback] = result
	}
	return results, nil
}

// startedAfter lists the callbacks that were added after an event and so never get it.
func (r *Runtime) startedAfter(sequence uint64) (names []string, err error) {
	states, err := delivery.States(r.journal)
	for _, s := range states {
		if sequence != 0 && s.Replay == nil && s.Start > sequence {
			names = append(names, s.Callback)
		}
	}
	return names, err
}
