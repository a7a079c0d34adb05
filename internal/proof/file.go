package proof

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"
)

// MaxFileBytes limits the size of a proof file.
const MaxFileBytes = 4 << 20

const fileLine = "c2sp.org/tlog-proof@v1"

// File is a proof that an entry is in a log.
type File struct {
	Extra      []byte // not authenticated
	Index      uint64
	Hashes     []Hash
	Checkpoint []byte // signed
}

// Text returns the file's contents.
func (f *File) Text() []byte {
	var b strings.Builder
	b.WriteString(fileLine + "\n")
	if len(f.Extra) > 0 {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(f.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatUint(f.Index, 10) + "\n")
	for _, h := range f.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(f.Checkpoint)
	return []byte(b.String())
}

var errFile = errors.New("malformed proof file")

// ParseFile parses a proof file. Text of the result gives the input again.
func ParseFile(text []byte) (*File, error) {
	if len(text) > MaxFileBytes {
		return nil, errFile
	}
	head, checkpoint, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != fileLine || checkpoint == "" {
		return nil, errFile
	}
	f := &File{Checkpoint: []byte(checkpoint)}
	lines = lines[1:]
	if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
		raw, err := base64.StdEncoding.DecodeString(extra)
		if err != nil || len(raw) == 0 || len(lines) < 2 {
			return nil, errFile
		}
		f.Extra, lines = raw, lines[1:]
	}
	index, ok := strings.CutPrefix(lines[0], "index ")
	n, err := strconv.ParseUint(index, 10, 64)
	if !ok || err != nil || n > math.MaxInt64 || len(lines) > 65 {
		return nil, errFile
	}
	f.Index = n
	for _, line := range lines[1:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != len(Hash{}) {
			return nil, errFile
		}
		f.Hashes = append(f.Hashes, Hash(raw))
	}
	if string(f.Text()) != string(text) {
		return nil, errFile
	}
	return f, nil
}
