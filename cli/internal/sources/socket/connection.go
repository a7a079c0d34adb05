package socket

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"net"
	"time"

	"auditrelay/cli/internal/sources/intake"
	"auditrelay/cli/internal/unixsocket"
	"auditrelay/internal/ingest"
)

const (
	// bufferBytes is the size of a connection's buffer. A longer line needs memory of the
	// producer's share.
	bufferBytes = 64 << 10
)

// connection is one producer's stream of lines.
type connection struct {
	door    *door
	conn    net.Conn
	address string
	longest int // maximum size of a line, including its end

	buf     []byte
	end     int // end of the read bytes in the buffer
	scanned int // number of these bytes that are known to have no line feed
	release func()

	skipped hash.Hash // hash of a line that is too long; nil if there is none
	skips   int64     // size of that line so far
	closed  time.Time // when the end was detected
}

func newConnection(d *door, conn net.Conn) *connection {
	c := &connection{door: d, conn: conn, buf: make([]byte, bufferBytes), longest: int(d.source.host.Limits.EventBytes) + len("\r\n")}
	if u, ok := conn.(*net.UnixConn); ok {
		c.address = unixsocket.Peer(u)
	} else if host, _, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		c.address = host
	}
	return c
}

// run reads lines until the producer or the door closes the connection, or the relay gives up.
// It reads more only when all earlier lines are durable, as events or in quarantine.
func (c *connection) run() {
	defer func() { c.shrink() }()
	for {
		if c.end == len(c.buf) && !c.grow() {
			return
		}
		c.pace()
		n, err := c.read(c.buf[c.end:])
		c.end += n
		if !c.take() {
			return
		}
		if err != nil {
			c.half()
			return
		}
	}
}

// read reads from the connection. While the door closes, it ends when no data comes.
func (c *connection) read(into []byte) (int, error) {
	if c.door.closing.Err() != nil && !shuts(c.conn) {
		now := time.Now()
		if c.closed.IsZero() {
			c.closed = now
		}
		if now.Sub(c.closed) < drain {
			_ = c.conn.SetReadDeadline(now.Add(idle))
		}
	}
	return c.conn.Read(into)
}

// pace waits while the producer is above its rate.
func (c *connection) pace() {
	for {
		wait := c.door.settings.Load().rates.Over()
		if wait == 0 {
			return
		}
		select {
		case <-time.After(wait):
		case <-c.door.closing.Done():
			return
		}
	}
}

// take makes the complete lines durable. It returns false if the relay gave up.
func (c *connection) take() bool {
	var lines [][]byte
	start := 0
	for {
		i := bytes.IndexByte(c.buf[max(start, c.scanned):c.end], '\n')
		if i < 0 {
			break
		}
		at := max(start, c.scanned) + i
		line := c.buf[start:at]
		start = at + 1
		if c.skipped != nil {
			c.skip(line)
			if !c.tooLong() {
				return false
			}
			continue
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
		if len(lines) == intake.Batch {
			if !c.submit(lines) {
				return false
			}
			lines = lines[:0]
		}
	}
	if len(lines) > 0 && !c.submit(lines) {
		return false
	}
	c.keep(start)
	return true
}

// keep keeps the bytes from start on, in a small buffer if they fit.
func (c *connection) keep(start int) {
	rest := c.buf[start:c.end]
	if c.skipped != nil {
		c.skip(rest)
		rest = nil
	}
	if len(c.buf) > bufferBytes && len(rest) < bufferBytes {
		c.buf = append(make([]byte, 0, bufferBytes), rest...)[:bufferBytes]
		c.shrink()
	} else {
		copy(c.buf, rest)
	}
	c.end, c.scanned = len(rest), len(rest)
}

// shrink releases the memory of a long line.
func (c *connection) shrink() {
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// grow makes room for a line that is longer than the buffer, or starts skipping one that is
// longer than any event. It returns false if the relay gave up.
func (c *connection) grow() bool {
	if len(c.buf) >= c.longest {
		c.skipped = sha256.New()
		c.keep(0)
		return true
	}
	one := c.door.settings.Load()
	granted := c.until(func() (err error) { // for the line, and its copy for the journal
		c.release, err = c.door.source.host.Door.Reserve(c.door.source.patience, one.sender, 2*int64(c.longest))
		return err
	})
	if !granted {
		c.lose(1)
		return false
	}
	c.buf = append(make([]byte, 0, c.longest), c.buf[:c.end]...)[:c.longest]
	return true
}

func (c *connection) skip(data []byte) {
	c.skipped.Write(data)
	c.skips += int64(len(data))
}

// tooLong puts the digest of a skipped line into quarantine.
func (c *connection) tooLong() bool {
	item := c.intake().Digest(c.skips, c.skipped.Sum(nil))
	c.skipped, c.skips = nil, 0
	return c.aside(item)
}

// half puts the incomplete last line into quarantine.
func (c *connection) half() {
	if c.skipped != nil {
		c.tooLong()
		return
	}
	if rest := bytes.TrimSpace(c.buf[:c.end]); len(rest) > 0 {
		c.aside(c.intake().Item(rest, string(ingest.Truncated), "the connection ended before the line did"))
	}
}
