package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The anchor is a file outside the database that records a minimum of the journal's progress. A
// database with less was damaged: a crash may tear the end of its log, but never removes
// acknowledged data. The anchor is written in the background, in place, into the older of two
// slots, so that a torn write leaves the other slot intact. It does not cover data that was
// acknowledged after its last write, which is at most one interval ago.
const (
	anchorName         = "ANCHOR"
	slotBytes          = 4096
	defaultAnchorEvery = 250 * time.Millisecond
	maxAnchoredLogs    = 64
)

// anchor is the anchor's content.
type anchor struct {
	turn     uint64 // number of writes; the slot with the larger number is valid
	next     uint64
	commits  uint64
	received int64    // time of the newest event, in Unix ns
	logs     []uint32 // the engine's logs that exist
}

const anchorFormat = "auditrelay anchor 1\njournal %s\nturn %d\nnext %d\ncommits %d\nreceived %d\n"

// slot returns the content of one slot of the file.
func (a *anchor) slot(id Identity) []byte {
	b := fmt.Appendf(make([]byte, 0, slotBytes), anchorFormat, id, a.turn, a.next, a.commits, a.received)
	b = append(b, "logs"...)
	for _, number := range a.logs {
		b = fmt.Appendf(b, " %d", number)
	}
	b = summed(append(b, '\n'))
	return append(b, make([]byte, slotBytes-len(b))...)
}

// file returns a whole file with two equal slots.
func (a *anchor) file(id Identity) []byte { return slices.Concat(a.slot(id), a.slot(id)) }

// parseSlot accepts exactly the output of slot.
func parseSlot(b []byte, id Identity) (*anchor, error) {
	text := strings.TrimRight(string(b), "\x00")
	if !markSumHolds([]byte(text)) {
		return nil, errDamaged
	}
	a := &anchor{}
	var journal string
	if _, err := fmt.Sscanf(text, anchorFormat, &journal, &a.turn, &a.next, &a.commits, &a.received); err != nil {
		return nil, errDamaged
	}
	if journal != id.String() {
		return nil, fmt.Errorf("it belongs to journal %s, %s to %s", journal, markerName, id)
	}
	_, list, _ := strings.Cut(text, "\nlogs")
	list, _, _ = strings.Cut(list, "\n")
	for _, field := range strings.Fields(list) {
		var number uint32
		if _, err := fmt.Sscan(field, &number); err != nil {
			return nil, errDamaged
		}
		a.logs = append(a.logs, number)
	}
	if string(a.slot(id)) != string(b) {
		return nil, errDamaged
	}
	return a, nil
}

// readAnchor returns the newer of the intact slots.
func readAnchor(fsys vfs.FS, dir string, id Identity) (*anchor, error) {
	b, err := readSmall(fsys, fsys.PathJoin(dir, anchorName), 2*slotBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{Err: fmt.Errorf("%s is missing", anchorName), recoverable: true}
	}
	if err != nil {
		return nil, err
	}
	var newest *anchor
	why := errDamaged
	for i := range 2 {
		if len(b) < (i+1)*slotBytes {
			break
		}
		a, err := parseSlot(b[i*slotBytes:(i+1)*slotBytes], id)
		if err != nil {
			why = err
		} else if newest == nil || a.turn > newest.turn {
			newest = a
		}
	}
	if newest == nil {
		return nil, &CorruptError{Err: fmt.Errorf("%s: %w", anchorName, why), recoverable: true}
	}
	return newest, nil
}

// anchoring writes the anchor of an open journal.
type anchoring struct {
	mu   sync.Mutex // held during the write
	file vfs.File
	last anchor
	bad  bool // the last write failed

	logMu sync.Mutex
	logs  []uint32

	begun chan struct{} // signals that the engine started a log
	stop  chan struct{}
	done  sync.WaitGroup
}

func newAnchoring() *anchoring { return &anchoring{begun: make(chan struct{}, 1)} }

// listen tracks the engine's logs for the anchor.
func (g *anchoring) listen(l *pebble.EventListener) {
	l.WALCreated = func(i pebble.WALCreateInfo) {
		if i.Err != nil {
			return
		}
		g.logMu.Lock()
		g.logs = slices.DeleteFunc(append(g.logs, uint32(i.FileNum)), func(n uint32) bool { return n == uint32(i.RecycledFileNum) })
		g.logs = g.logs[max(0, len(g.logs)-maxAnchoredLogs):]
		g.logMu.Unlock()
		select {
		case g.begun <- struct{}{}:
		default:
		}
	}
	l.WALDeleted = func(i pebble.WALDeleteInfo) {
		g.logMu.Lock()
		g.logs = slices.DeleteFunc(g.logs, func(n uint32) bool { return n == uint32(i.FileNum) })
		g.logMu.Unlock()
	}
}

// startAnchor opens the anchor's file and writes it for the first time.
func (j *Journal) startAnchor(last *anchor) (err error) {
	g := j.anchor
	path := j.options.FS.PathJoin(j.dir, anchorName)
	if g.file, err = j.options.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return fmt.Errorf("open %s: %w", anchorName, err)
	}
	g.last = *last
	if err := j.writeAnchor(true); err != nil {
		return err
	}
	if j.options.AnchorEvery < 0 {
		return nil
	}
	g.stop = make(chan struct{})
	g.done.Go(func() {
		tick := time.NewTicker(j.options.AnchorEvery)
		defer tick.Stop()
		for {
			select {
			case <-g.stop:
				return
			case <-tick.C:
			case <-g.begun:
			}
			_ = j.writeAnchor(false) // logged; the next write tries again
		}
	})
	return nil
}

// stopAnchor stops the background writes. With final it writes both slots.
func (j *Journal) stopAnchor(final bool) (err error) {
	g := j.anchor
	if g.stop != nil {
		close(g.stop)
		g.done.Wait()
	}
	if g.file == nil {
		return nil
	}
	if final {
		err = errors.Join(j.writeAnchor(true), j.writeAnchor(true))
	}
	return errors.Join(err, g.file.Close())
}

// writeAnchor writes the durable progress if it exceeds the stored one.
func (j *Journal) writeAnchor(force bool) error {
	g := j.anchor
	g.mu.Lock()
	defer g.mu.Unlock()
	g.logMu.Lock()
	logs := slices.Clone(g.logs)
	g.logMu.Unlock()
	s := j.state.Load()
	if !force && (s.commits == g.last.commits && slices.Equal(logs, g.last.logs) || j.fault.get() != nil) {
		return nil
	}
	a := anchor{turn: g.last.turn + 1, next: s.next, commits: s.commits, received: s.received, logs: logs}
	_, err := g.file.WriteAt(a.slot(j.id.Identity), int64(a.turn%2)*slotBytes)
	if err == nil {
		err = g.file.SyncData()
	}
	if err != nil {
		err = fmt.Errorf("write %s: %w", anchorName, err)
		if !g.bad {
			// The events are still durable. Only later damage could go unnoticed.
			j.options.Logger.Warn("journal: the anchor cannot be written: damage to the log could go unseen", "error", err.Error())
		}
		g.bad = true
		return err
	}
	if g.bad {
		j.options.Logger.Info("journal: the anchor is written again")
	}
	g.last, g.bad = a, false
	return nil
}

// private makes a file readable only by its owner.
func private(f vfs.File) error {
	if fd := f.Fd(); fd != vfs.InvalidFd {
		return syscall.Fchmod(int(fd), 0o600)
	}
	return nil
}
