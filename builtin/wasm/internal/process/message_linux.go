package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/confine"
)

// Options are how a worker process is started.
type Options struct {
	// Command is the program and its first arguments. It must call Serve.
	Command []string
	// Lanes is how many requests may be under way at a time.
	Lanes int
	// In and Out are the bytes of a lane's shared memory for requests and for answers.
	// Only what is used takes memory.
	In, Out int
	// Setup is sent before anything else.
	Setup []byte
	// Timeout bounds the time until the worker is ready.
	Timeout time.Duration
	// Groups makes a control group for the worker, whose memory it limits to Memory and to
	// what its lanes share. Nil: it stays in the relay's.
	Groups *confine.Groups
	Memory auditrelay.ByteSize
}

// Message is what is said on a lane: that Length bytes at Offset of the sender's memory
// are for the other, or what is short, in Inline.
type Message struct {
	Kind   uint32
	Offset uint32
	Length uint32
	Inline []byte
}

// ErrDead says that the worker has ended.
var ErrDead = errors.New("the worker has ended")

// ErrNotReady says that the worker ended before it was ready, without a word.
var ErrNotReady = errors.New("it ended before it was ready")

// ErrTime says that nothing came in time.
var ErrTime = errors.New("no answer yet")

const (
	messageHead = 12
	maxInline   = 512
	// head is what the answers' memory begins with: the number of the event that is being
	// worked on.
	head = 64
	// maxReady bounds what a worker says when it is ready, or why it is not.
	maxReady = 64 << 10
)

func (m *Message) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.Kind)
	dst = binary.LittleEndian.AppendUint32(dst, m.Offset)
	dst = binary.LittleEndian.AppendUint32(dst, m.Length)
	return append(dst, m.Inline...)
}

// parse reads a message; Inline is b's.
func parse(b []byte) (Message, error) {
	if len(b) < messageHead || len(b) > messageHead+maxInline {
		return Message{}, fmt.Errorf("a message of %d bytes", len(b))
	}
	return Message{Kind: binary.LittleEndian.Uint32(b), Offset: binary.LittleEndian.Uint32(b[4:]), Length: binary.LittleEndian.Uint32(b[8:]), Inline: b[messageHead:]}, nil
}
