package hostfuncs_test

import (
	"context"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// An instance's shared values come from the context of its start. They are not available
// during or after an event, while the end of that context always ends the instance.
func TestContextOfTheStart(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "shared"))
	s := hostfuncs.NewState(ctx, &hostfuncs.Policy{})
	if got := s.Value(key{}); got != "shared" {
		t.Errorf("at the start: got %v", got)
	}
	s.Begin(&filter.Call{Event: new(auditrelay.Event), Document: new(document.Document)})
	if got := s.Value(key{}); got != nil {
		t.Errorf("in an event: got %v", got)
	}
	s.End()
	if got := s.Value(key{}); got != nil {
		t.Errorf("behind it: got %v", got)
	}
	cancel()
	if s.Err() == nil {
		t.Error("the end of the context is not the state's")
	}
}
