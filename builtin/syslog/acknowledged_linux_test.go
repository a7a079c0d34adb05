package syslog

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// Data in this system's send buffer is not acknowledged while the receiver's buffer is full. Once
// the receiver reads, it is. A connection closed by the receiver acknowledges nothing.
func TestAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	receiver, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	open := func() bool { return false }
	if _, err := conn.Write([]byte("taken at once")); err != nil {
		t.Fatal(err)
	}
	if err := acknowledged(t.Context(), conn, open); err != nil {
		t.Errorf("a few bytes: %v", err)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	room := make([]byte, 1<<20)
	for err == nil {
		_, err = conn.Write(room)
	}
	full, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := acknowledged(full, conn, open); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a full buffer: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, receiver) }()
	if err := acknowledged(t.Context(), conn, open); err != nil {
		t.Errorf("once it is read: %v", err)
	}
	if err := acknowledged(t.Context(), conn, func() bool { return true }); !errors.Is(err, errClosed) {
		t.Errorf("a closed one: %v", err)
	}
}
