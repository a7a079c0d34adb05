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
	// bufferBytes are what a connection reads into. A longer line needs memory of the
	// producer's share.
	bufferBytes = 64 << 10
)

// connection is one producer's stream of lines.
type connection struct {
	door    *door
	conn    net.Conn
	address string
	longest int // of a line with its end

	buf     []byte
	end     int // of what was read
	scanned int // how much of that has no line feed
	release func()

	skipped hash.Hash // of a line that is too long; nil: none is
	skips   int64     // its bytes so far
	closed  time.Time // when the end was noticed
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

// run reads lines until the producer or the door closes the connection, or the relay gives
// up. It reads on only when all lines before are durable, as events or in quarantine.
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

// read is the connection's; while the door closes, it ends when nothing comes.
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

// pace waits while the producer is beyond its rate.
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

// take makes the lines durable that are whole. It reports false if the relay gave up.
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

// keep leaves what is behind start, in a small buffer if it fits.
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

// shrink gives the memory of a long line back.
func (c *connection) shrink() {
	if c.release != nil {
		c.release()
		c.release = nil
	}
}

// grow makes room for a line that is longer than the buffer, or begins to skip one that is
// longer than any event. It reports false if the relay gave up.
func (c *connection) grow() bool {
	if len(c.buf) >= c.longest {
		c.skipped = sha256.New()
		c.keep(0)
		return true
	}
	one := c.door.settings.Load()
	granted := c.until(func() (err error) { // the line, and its copy on the way into the journal
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

// tooLong sets the digest of a skipped line aside.
func (c *connection) tooLong() bool {
	item := c.intake().Digest(c.skips, c.skipped.Sum(nil))
	c.skipped, c.skips = nil, 0
	return c.aside(item)
}

// half sets aside what came before the connection ended: it is no event.
func (c *connection) half() {
	if c.skipped != nil {
		c.tooLong()
		return
	}
	if rest := bytes.TrimSpace(c.buf[:c.end]); len(rest) > 0 {
		c.aside(c.intake().Item(rest, string(ingest.Truncated), "the connection ended before the line did"))
	}
}
