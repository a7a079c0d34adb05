package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// remembered is the number of payload keys in the state. The engine redelivers only the few
// payloads that it holds sealed.
const remembered = 4096

// maxStateBytes limits the size of a state file: twice the keys, with a margin.
const maxStateBytes = 64 << 20

const stateVersion = 1

// state records what was delivered: the position in the file up to which payloads are complete,
// and the last keys. Entries are appended to its file, one a line. The file is rewritten from
// time to time.
type state struct {
	path string
	end  int64
	born time.Time // time of the file's first record
	keys []string  // oldest first
	set  map[string]struct{}

	file    *os.File
	entries int // number of entries since the last rewrite
}

// entry is one line of the state file: the first is a snapshot, the others are puts.
type entry struct {
	Snapshot *snapshot `json:"snapshot,omitempty"`
	Put      string    `json:"put,omitempty"`
	End      int64     `json:"end,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

type snapshot struct {
	Version int       `json:"version"`
	End     int64     `json:"end"`
	Born    time.Time `json:"born,omitzero"`
	Keys    []string  `json:"keys"`
}

// readState reads a state file. An incomplete last entry was never acknowledged and is ignored.
// Damage before a complete entry is errState.
func readState(path string) (*state, error) {
	f, err := openOwn(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStateBytes+1))
	if err != nil {
		return nil, err
	}
	s := &state{path: path}
	damaged := func(line int) error {
		return fmt.Errorf("%w: %s, line %d; move both files away to start new ones", errState, path, line)
	}
	if len(data) > maxStateBytes {
		return nil, damaged(0)
	}
	n, torn := 0, 0
	for line := range bytes.Lines(data) {
		n++
		e, ok := parseEntry(line)
		switch {
		case !ok && n > 1:
			torn = n
			continue
		case !ok, torn != 0, (e.Snapshot != nil) != (n == 1):
			return nil, damaged(n)
		}
		if e.Snapshot != nil {
			if e.Snapshot.Version != stateVersion {
				return nil, fmt.Errorf("%w: %s has version %d, this program writes %d", errState, path, e.Snapshot.Version, stateVersion)
			}
			s.end, s.born = e.Snapshot.End, e.Snapshot.Born
			for _, key := range e.Snapshot.Keys {
				s.remember(key)
			}
		} else {
			s.apply(e)
		}
	}
	if n == 0 {
		return nil, damaged(0)
	}
	return s, nil
}

// parseEntry parses one line: a CRC-32C in hexadecimal, a space, and the entry in JSON.
func parseEntry(line []byte) (entry, bool) {
	var e entry
	const sum = 8
	if len(line) < sum+2 || line[sum] != ' ' || line[len(line)-1] != '\n' {
		return e, false
	}
	text := line[sum+1 : len(line)-1]
	if string(line[:sum]) != checksum(text) {
		return e, false
	}
	return e, json.Unmarshal(text, &e) == nil
}

func appendEntry(dst []byte, e entry) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return dst, err
	}
	return fmt.Appendf(dst, "%s %s\n", checksum(text), text), nil
}

func checksum(text []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)))
}

func (s *state) known(key string) bool {
	_, ok := s.set[key]
	return ok
}

// put records that the payload with this key is in the file, which now ends at end.
func (s *state) put(key string, end int64, now time.Time) error {
	e := entry{Put: key, End: end, At: now.UTC()}
	if err := s.write(e); err != nil {
		return err
	}
	s.apply(e)
	if s.entries >= remembered {
		return s.rewrite()
	}
	return nil
}

// begin records that the file is new.
func (s *state) begin() { s.end, s.born = 0, time.Time{} }

func (s *state) apply(e entry) {
	if s.end == 0 {
		s.born = e.At
	}
	s.end = e.End
	s.remember(e.Put)
}

func (s *state) remember(key string) {
	if s.set == nil {
		s.set = map[string]struct{}{}
	}
	if s.known(key) {
		return
	}
	s.set[key] = struct{}{}
	s.keys = append(s.keys, key)
	if len(s.keys) > remembered {
		delete(s.set, s.keys[0])
		s.keys = s.keys[1:]
	}
}

// write appends one entry durably.
func (s *state) write(e entry) error {
	line, err := appendEntry(nil, e)
	if err != nil {
		return err
	}
	if _, err := s.file.Write(line); err != nil {
		return err
	}
	s.entries++
	return s.file.Sync()
}

// rewrite replaces the state file by a snapshot, atomically.
func (s *state) rewrite() error {
	line, err := appendEntry(nil, entry{Snapshot: &snapshot{stateVersion, s.end, s.born, s.keys}})
	if err != nil {
		return err
	}
	next := s.path + ".new"
	f, err := openOwn(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Sync()); err == nil {
		err = os.Rename(next, s.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(s.path))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old := s.file
	s.file, s.entries = f, 0
	if old != nil {
		return old.Close()
	}
	return nil
}

func (s *state) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}
