package auditrelay_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"auditrelay"
)

// The range tags say to a configuration what Check says to a program.
func TestRangeTagsAreTheBounds(t *testing.T) {
	most := func(field string) string {
		f, _ := reflect.TypeFor[auditrelay.Chunking]().FieldByName(field)
		_, most, _ := strings.Cut(f.Tag.Get("range"), "..")
		return most
	}
	if got := most("Events"); got != "65536" || auditrelay.MaxChunkEvents != 65_536 {
		t.Errorf("chunk.events: the tag says %s, the engine %d", got, auditrelay.MaxChunkEvents)
	}
	var size auditrelay.ByteSize
	if err := size.UnmarshalText([]byte(most("Bytes"))); err != nil || size != auditrelay.MaxChunkBytes {
		t.Errorf("chunk.bytes: the tag says %v, the engine %v", size, auditrelay.MaxChunkBytes)
	}
	greatest := auditrelay.Chunking{Events: auditrelay.MaxChunkEvents, Bytes: auditrelay.MaxChunkBytes}
	if err := greatest.Check(); err != nil {
		t.Error(err)
	}
	err := auditrelay.Chunking{Events: auditrelay.MaxChunkEvents + 1}.Check()
	if option, ok := errors.AsType[*auditrelay.OptionError](err); !ok || option.Path != "chunk.events" || !strings.Contains(err.Error(), "at most 65536") {
		t.Errorf("one event more: %v", err)
	}
}

// A word of the configuration stands for the value at its place, and is its name.
func TestWordsAreTheValuesNames(t *testing.T) {
	for _, tt := range []struct {
		value interface{ Words() []string }
		got   []string
	}{
		{auditrelay.Receives(0), []string{auditrelay.ReceivesEvents.String(), auditrelay.ReceivesEmitted.String(), auditrelay.ReceivesBoth.String()}},
		{auditrelay.OnError(0), []string{auditrelay.OnErrorDeadLetter.String(), auditrelay.OnErrorDiscard.String()}},
		{auditrelay.Role(0), []string{auditrelay.RoleJudge.String(), auditrelay.RoleObserve.String()}},
		{auditrelay.Isolation(0), []string{auditrelay.IsolationInstance.String(), auditrelay.IsolationEvent.String()}},
		{auditrelay.RetainThen(0), []string{auditrelay.RetainBlock.String(), auditrelay.RetainDeadLetter.String(), auditrelay.RetainDetach.String()}},
	} {
		if want := tt.value.Words(); !reflect.DeepEqual(tt.got, want) {
			t.Errorf("%T: %v, want %v", tt.value, tt.got, want)
		}
	}
	if got := auditrelay.Role(9).String(); got != "auditrelay.Role(9)" {
		t.Errorf("an unknown role: %s", got)
	}
}
