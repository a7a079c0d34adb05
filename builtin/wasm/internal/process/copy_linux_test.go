package process

import "testing"

// TestAnswersAreCopiedOut: what the worker writes behind its message does not change what
// the relay reads, and no message names memory outside the answers.
func TestAnswersAreCopiedOut(t *testing.T) {
	l := &Lane{out: make([]byte, head+100)}
	copy(l.out[head:], "an answer")
	got, err := l.Copy(nil, Message{Offset: head, Length: 9})
	copy(l.out[head:], "a forgery")
	if err != nil || string(got) != "an answer" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, m := range []Message{{Offset: 0, Length: 9}, {Offset: head, Length: 101}, {Offset: head + 101}, {Offset: 1<<32 - 1, Length: 1<<32 - 1}, {Offset: head - 1, Length: 1}} {
		if got, err := l.Copy(nil, m); err == nil {
			t.Errorf("%+v: got %d bytes", m, len(got))
		}
	}
}
