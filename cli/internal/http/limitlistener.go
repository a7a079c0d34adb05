package http

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// limitConnections makes Accept wait while n connections are open. One address may have at most
// half of them, so a client without a token cannot lock out the others. A new connection above
// a limit closes the connection that was idle the longest. If none is idle, a new connection
// above the limit of its address is closed, and one above the total waits to be accepted.
func limitConnections(l net.Listener, n int) *limitListener {
	return &limitListener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{}), most: max(n/2, 1), by: map[string]int{}}
}

type limitListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once

	most int // maximum per address

	mu      sync.Mutex
	by      map[string]int // open connections by address
	waiting list.List      // idle *limitConn, longest idle first
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		select {
		case l.slots <- struct{}{}:
		default:
			l.end("")
			select {
			case l.slots <- struct{}{}:
			case <-l.closed:
				return nil, net.ErrClosed
			}
		}
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.slots
			select {
			case <-l.closed:
				return nil, net.ErrClosed // the server would wait after another error
			default:
				return nil, err
			}
		}
		conn := &limitConn{Conn: c, l: l, from: connectionFrom(c)}
		if l.enter(conn) {
			return conn, nil
		}
		_ = c.Close() // the address is at its limit and none of its connections is idle
		<-l.slots
	}
}

// connectionFrom returns the network that a connection counts for.
func connectionFrom(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return network(host)
}

// enter counts a connection. If its address is at its limit, enter first closes an idle
// connection of that address.
func (l *limitListener) enter(c *limitConn) bool {
	l.mu.Lock()
	full := l.by[c.from] >= l.most
	l.mu.Unlock()
	if full && !l.end(c.from) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[c.from]++
	c.place = l.waiting.PushBack(c)
	return true
}

// end closes the connection that was idle the longest. A non-empty from selects only
// connections from that address. It reports whether there was one.
func (l *limitListener) end(from string) bool {
	l.mu.Lock()
	var longest *limitConn
	for e := l.waiting.Front(); e != nil && longest == nil; e = e.Next() {
		if c := e.Value.(*limitConn); from == "" || c.from == from {
			longest = c
		}
	}
	l.mu.Unlock()
	if longest == nil {
		return false
	}
	_ = longest.Close()
	return true
}

// state is the server's ConnState callback. It tracks which connections are idle.
func (l *limitListener) state(c net.Conn, s http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	conn, ok := c.(*limitConn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if conn.place != nil {
		l.waiting.Remove(conn.place)
		conn.place = nil
	}
	if (s == http.StateNew || s == http.StateIdle) && !conn.gone {
		conn.place = l.waiting.PushBack(conn)
	}
}

// settle waits until no connection is idle, for at most the duration most. The caller has
// closed the listener.
func (l *limitListener) settle(most time.Duration) {
	end := time.After(most)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		l.mu.Lock()
		waiting := l.waiting.Len()
		l.mu.Unlock()
		if waiting == 0 {
			return
		}
		select {
		case <-look.C:
		case <-end:
			return
		}
	}
}

// Close makes Accept return an error.
func (l *limitListener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
	})
	return err
}

type limitConn struct {
	net.Conn
	l    *limitListener
	from string
	once sync.Once

	place *list.Element // position in the idle list while idle; guarded by l.mu
	gone  bool
}

func (c *limitConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		l := c.l
		l.mu.Lock()
		if c.place != nil {
			l.waiting.Remove(c.place)
			c.place = nil
		}
		c.gone = true
		if l.by[c.from]--; l.by[c.from] == 0 {
			delete(l.by, c.from)
		}
		l.mu.Unlock()
		<-l.slots
	})
	return err
}
