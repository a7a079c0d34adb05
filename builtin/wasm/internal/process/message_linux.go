package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/confine"
)

// Options configure a worker process.
type Options struct {
	// Command is the program and its first arguments. The program must call Join.
	Command []string
	// Lanes is the maximum number of concurrent requests.
	Lanes int
	// In and Out are the sizes of a lane's shared memory for requests and for answers, in
	// bytes. Unused parts take no memory.
	In, Out int
	// Setup is sent before any request.
	Setup []byte
	// Timeout limits the time until the worker is ready.
	Timeout time.Duration
	// Groups creates a control group for the worker. It limits the worker's memory to Memory
	// and the shared memory of its lanes. Nil: the worker stays in the relay's group.
	Groups *confine.Groups
	Memory auditrelay.ByteSize
}

// Message is a message on a lane. The content is Length bytes at Offset of the sender's memory
// or, if it is short, Inline.
type Message struct {
	Kind   uint32
	Offset uint32
	Length uint32
	Inline []byte
}

// ErrDead: the worker has ended.
var ErrDead = errors.New("the worker has ended")

// ErrNotReady: the worker ended before it was ready, without a message.
var ErrNotReady = errors.New("it ended before it was ready")

// ErrTime: there was no message in time.
var ErrTime = errors.New("no answer yet")

const (
	messageHead = 12
	maxInline   = 512
	// head is the size of the header of the answers' memory. It contains the number of the
	// current event.
	head = 64
	// maxReady limits a worker's message that it is ready, or why it is not.
	maxReady = 64 << 10
)

func (m *Message) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.Kind)
	dst = binary.LittleEndian.AppendUint32(dst, m.Offset)
	dst = binary.LittleEndian.AppendUint32(dst, m.Length)
	return append(dst, m.Inline...)
}

// parse parses a message. Inline is a part of b.
func parse(b []byte) (Message, error) {
	if len(b) < messageHead || len(b) > messageHead+maxInline {
		return Message{}, fmt.Errorf("a message has %d bytes", len(b))
	}
	return Message{Kind: binary.LittleEndian.Uint32(b), Offset: binary.LittleEndian.Uint32(b[4:]), Length: binary.LittleEndian.Uint32(b[8:]), Inline: b[messageHead:]}, nil
}
