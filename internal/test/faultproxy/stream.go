package faultproxy

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// Cut is the point at which a connection breaks.
type Cut int

const (
	// CutRequest drops the client's data and the connection.
	CutRequest Cut = iota + 1
	// CutHalf passes half of the client's data and then nothing more: the server waits for the
	// rest.
	CutHalf
	// CutAnswer passes the client's data, waits for the server's answer, and drops it together
	// with the connection. The server has acted, but the client cannot know.
	CutAnswer
	// HangAnswer is like CutAnswer, but the connection stays open and silent.
	HangAnswer
)

// Stream is a proxy that breaks connections as a test specifies, for protocols other than HTTP.
type Stream struct {
	Addr string // its listening address, on 127.0.0.1

	network, target string
	mu              sync.Mutex
	cuts            []Cut
	marker          []byte
	made            int
	conns           map[net.Conn]bool
	frozen          chan struct{} // closed by Thaw; nil: all data passes
	wg              sync.WaitGroup
}

// StartStream starts a proxy in front of target, on the network tcp or unix. It ends with the
// test.
func StartStream(t testing.TB, network, target string) *Stream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Stream{Addr: l.Addr().String(), network: network, target: target, conns: map[net.Conn]bool{}}
	s.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.Thaw()
		s.CloseAll()
		s.wg.Wait()
	})
	return s
}

// Script breaks the next connections on which a client sends marker, each at most once per cut,
// in this order.
func (s *Stream) Script(marker string, cuts ...Cut) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marker, s.cuts = []byte(marker), cuts
}

// Made returns the number of cuts made.
func (s *Stream) Made() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// CloseAll breaks all connections.
func (s *Stream) CloseAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Freeze simulates an interrupted network: no data passes either way, and no connection breaks.
// Data sent meanwhile arrives after Thaw.
func (s *Stream) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		s.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze.
func (s *Stream) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != nil {
		close(s.frozen)
		s.frozen = nil
	}
}

// pass waits while the network is frozen.
func (s *Stream) pass() {
	s.mu.Lock()
	frozen := s.frozen
	s.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

func (s *Stream) track(c net.Conn, add bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if add {
		s.conns[c] = true
	} else {
		delete(s.conns, c)
	}
}

// next returns the cut for data sent by a client, or 0 if there is none.
func (s *Stream) next(sent []byte) Cut {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cuts) == 0 || !bytes.Contains(sent, s.marker) {
		return 0
	}
	cut := s.cuts[0]
	s.cuts = s.cuts[1:]
	s.made++
	return cut
}

func (s *Stream) serve(in net.Conn) {
	out, err := net.Dial(s.network, s.target)
	if err != nil {
		in.Close()
		return
	}
	s.track(in, true)
	s.track(out, true)
	defer s.track(in, false)
	defer s.track(out, false)
	var mu sync.Mutex
	swallow := Cut(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer out.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := in.Read(b)
			if n > 0 {
				switch cut := s.next(b[:n]); cut {
				case CutRequest:
					in.Close()
					return
				case CutHalf:
					_, _ = out.Write(b[:n/2])
					in.Close()
					time.Sleep(200 * time.Millisecond) // the server waits for the rest
					return
				case 0:
				default:
					mu.Lock()
					swallow = cut
					mu.Unlock()
				}
				s.pass()
				if _, err := out.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	b := make([]byte, 64<<10)
	for {
		n, err := out.Read(b)
		mu.Lock()
		cut := swallow
		mu.Unlock()
		if err != nil || cut == CutAnswer {
			break
		}
		if cut == HangAnswer {
			continue
		}
		s.pass()
		if _, err := in.Write(b[:n]); err != nil {
			break
		}
	}
	in.Close()
	out.Close()
	wg.Wait()
}
