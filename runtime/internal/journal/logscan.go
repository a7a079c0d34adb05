package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// scannedLog is the content of one log of the storage engine, and the place of its damage.
//
// The journal commits one batch after the other, and each is on disk before the next is
// written. So a valid chunk that starts a record proves that everything before it was once
// intact. Unreadable data before it is damage, not the torn end of a write that a crash
// interrupted. A later chunk that only continues a record proves nothing, since the pages of
// one write reach the disk in any order. The last record is damaged, not torn, if flipping one
// bit makes it valid.
type scannedLog struct {
	number uint32
	path   string
	size   int64
	whole  int64  // number of readable bytes from the start
	closed bool   // has an end mark
	first  *state // the states of the first and last commit in it; nil if there are none
	last   *state
	damage string // a description of the damage; empty if there is none
	after  []int64
	newest *state // the newest commit after the damage; nil if none can be read
}

// liveLogs scans in order the logs below dir that the engine will replay: those from the number
// first on.
func liveLogs(fsys vfs.FS, dir string) (first uint64, logs []*scannedLog, err error) {
	db := fsys.PathJoin(dir, databaseName)
	names, err := fsys.List(db)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	if first, err = firstLive(fsys, db); err != nil {
		return 0, nil, err
	}
	for _, name := range names {
		number, ok := logNumber(name)
		if !ok || number < first {
			continue
		}
		log, err := scanLog(fsys, fsys.PathJoin(db, name), uint32(number))
		if err != nil {
			return 0, nil, fmt.Errorf("scan %s: %w", name, err)
		}
		logs = append(logs, log)
	}
	slices.SortFunc(logs, func(a, b *scannedLog) int { return int(int64(a.number) - int64(b.number)) })
	inRow(logs)
	return first, logs, nil
}

// inRow marks the first damage that no single log shows. All logs but the last must be closed,
// and commits are numbered without gaps.
func inRow(logs []*scannedLog) {
	var last *state
	for i, log := range logs {
		switch {
		case log.damage != "":
			return // the next logs are after the damage
		case i < len(logs)-1 && !log.closed:
			log.damage = "it ends before its end"
			return
		case last != nil && log.first != nil && log.first.commits != last.commits+1:
			log.damage, log.newest = "the log before it is missing", log.last
			log.whole, log.first, log.last = 0, nil, nil
			return
		}
		if log.last != nil {
			last = log.last
		}
	}
}

func logNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 32)
	return number, err == nil
}

func logName(number uint32) string { return fmt.Sprintf("%06d.log", number) }

// firstLive reads from the engine's manifest the number below which logs are obsolete. The
// engine itself checks the manifest with a checksum. If the end of the manifest is missing,
// more logs are required.
func firstLive(fsys vfs.FS, db string) (uint64, error) {
	found, err := pebble.Peek(db, fsys)
	if err != nil || !found.Exists {
		return 0, err
	}
	f, err := fsys.Open(found.ManifestFilename)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	c := &chunks{file: f, size: info.Size()}
	var live uint64
	var record []byte
	for pos := int64(0); ; {
		edit, end, s := c.record(record[:0], pos)
		if s != seenChunk {
			return live, c.err
		}
		live = max(live, editedLog(edit))
		record, pos = edit, end
	}
}

// editedLog returns the first log that a version edit leaves live, or 0 if the edit does not
// say. This field comes first in an edit, except for the comparer's name.
func editedLog(edit []byte) uint64 {
	const comparer, minUnflushedLog = 1, 2
	r := reader{b: edit}
	tag := r.uvarint()
	if tag == comparer {
		r.bytes()
		tag = r.uvarint()
	}
	if number := r.uvarint(); tag == minUnflushedLog && r.err == nil {
		return number
	}
	return 0
}

func scanLog(fsys vfs.FS, path string, number uint32) (*scannedLog, error) {
	f, err := fsys.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	log := &scannedLog{number: number, path: path, size: info.Size()}
	c := &chunks{file: f, size: info.Size(), number: number, numbered: true}
	log.scan(c)
	return log, c.err
}

func (l *scannedLog) scan(c *chunks) {
	var engine uint64 // the engine's own sequence of the next operation
	var begin, before, end []byte
	for {
		begin, before, end = begin[:0], before[:0], end[:0]
		next, s, bad := c.walk(l.whole, func(payload []byte) {
			if n := batchHeader - len(begin); n > 0 { // a chunk at the end of a block may be short
				begin = append(begin, payload[:min(len(payload), n)]...)
			}
			before, end = end, append(before[:0], payload...)
		})
		if s != seenChunk {
			l.closed = s == seenTrailer
			l.stop(c, engine, bad)
			return
		}
		if len(begin) < batchHeader {
			l.damage = "a record has a valid checksum and no content"
			return
		}
		engine = binary.LittleEndian.Uint64(begin) + uint64(binary.LittleEndian.Uint32(begin[8:]))
		if head := lastHead(append(before, end...)); head != nil {
			if l.first == nil {
				l.first = head
			}
			l.last = head
		}
		l.whole = next
	}
}

// stop decides why the record at l.whole cannot be read. bad is the position of the chunk at
// which it breaks off.
func (l *scannedLog) stop(c *chunks, engine uint64, bad int64) {
	var record []byte
	for pos := l.whole + 1; ; {
		k, ok := c.find(pos)
		if !ok {
			break
		}
		if pos = k.end; !k.part.begins() {
			continue
		}
		r, end, s := c.record(record[:0], k.at)
		record = r
		if len(r) < batchHeader || binary.LittleEndian.Uint64(r) < engine {
			continue
		}
		if l.damage == "" {
			l.damage = "a record cannot be read, and later ones can"
		}
		if s != seenChunk {
			continue
		}
		if b, err := decodeBatch(r); err == nil {
			pos = end
			l.after = append(l.after, k.at)
			if b.head != nil {
				l.newest = b.head
			}
		}
	}
	if l.damage != "" || l.closed || !c.mend(bad) {
		return
	}
	r, _, s := c.record(record[:0], l.whole)
	if s != seenChunk {
		return
	}
	if b, err := decodeBatch(r); err == nil && b.sequence >= engine && b.head != nil {
		l.damage, l.newest = "the last record has a flipped bit", b.head
	}
}
