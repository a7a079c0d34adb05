// Package file delivers records to a rotated file of newline-delimited JSON: one record a line,
// in journal order, synced before it counts as delivered.
//
// Delivery is at least once and idempotent, also across crashes. A small state file has the
// position up to which payloads are complete, and the keys of the last 4,096 payloads. A
// delivery appends its lines after that position and syncs; then it records key and position
// and syncs. Bytes after the position belong to a delivery that was never acknowledged; the
// next open cuts them off. A payload with a known key is not written again. So no line is torn.
// No line is repeated, unless 4,096 other payloads were delivered in between; the engine holds
// only a few.
//
// # On disk
//
//	audit.ndjson                            the records
//	audit-20260314T235959.000Z.ndjson[.gz]  rotated, by time of rotation (UTC)
//	audit.manifests.ndjson                  the manifests, in the same way
//	audit.proofs/                           the bundles of proofs, one file each
//	audit.ndjson.state                      the state, one entry a line
//	audit.ndjson.lock                       held while a sink has the file open
//
//	          complete payloads       torn
//	+---------+---------+---------+ - - - - +
//	| lines   | lines   | lines   |         |   audit.ndjson
//	+---------+---------+---------+ - - - - +
//	                              ^ end
//
//	+-----------------+-------+------------------------------------------------------+
//	| CRC-32C, hex (8)| space | {"snapshot": {"version", "end", "born", "keys"}}     |   first line
//	+-----------------+-------+------------------------------------------------------+
//	| CRC-32C, hex (8)| space | {"put": key, "end": position, "at": time}            |   each delivery
//	+-----------------+-------+------------------------------------------------------+
package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/internal/ndjson"
)

// Sink writes a file, its rotated files and its manifests. It is safe for concurrent use, but
// makes one delivery at a time. It deletes files only if Keep is set.
type Sink struct {
	path  string
	dir   string        // the folder of the proofs
	turn  chan struct{} // contains one token; its holder may use the fields below
	data  *log
	notes *log // the manifests
}

// Place implements auditrelay.Placed.
func (s *Sink) Place() string { return auditrelay.PlaceFile + s.path }

var (
	_ auditrelay.Placed     = (*Sink)(nil)
	_ auditrelay.Sink       = (*Sink)(nil)
	_ auditrelay.Manifester = (*Sink)(nil)
	_ auditrelay.Prober     = (*Sink)(nil)
	_ auditrelay.Prover     = (*Sink)(nil)
	_ auditrelay.Reader     = (*Sink)(nil)
	_ io.Closer             = (*Sink)(nil)
)

// The header that distinguishes a manifest's payload from data, and its values.
const (
	kind         = "Kind"
	kindManifest = "manifest"
	kindProof    = "proof"
)

// New returns a sink for o. It does no I/O: the first delivery opens and locks the file. The
// error joins an *auditrelay.OptionError for each invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	ext := filepath.Ext(o.Path)
	manifests := strings.TrimSuffix(o.Path, ext) + ".manifests" + ext
	s := &Sink{
		path:  o.Path,
		dir:   strings.TrimSuffix(o.Path, ext) + ".proofs",
		turn:  make(chan struct{}, 1),
		data:  &log{path: o.Path, options: o, now: time.Now},
		notes: &log{path: manifests, options: o, now: time.Now},
	}
	s.turn <- struct{}{}
	return s, nil
}

// Render returns one payload for the chunk.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if len(chunk.Records) == 0 {
		return nil, nil
	}
	if err := ndjson.Check(chunk.Records); err != nil {
		return nil, err
	}
	body, sequences := ndjson.Join(chunk.Records)
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	return []auditrelay.Payload{{
		Key: key(chunk.Callback, chunk.Journal, chunk.Replay,
			fmt.Sprintf("%d-%d", sequences[0], sequences[len(sequences)-1]+1), digest),
		Body:      body,
		Sequences: sequences,
		Digest:    digest,
		Sum:       sum,
	}}, nil
}

// RenderManifest returns the manifest as one line.
func (s *Sink) RenderManifest(m auditrelay.Manifest) (auditrelay.Payload, error) {
	line, err := json.Marshal(m)
	if err != nil {
		return auditrelay.Payload{}, fmt.Errorf("render manifest %d of callback %s: %w", m.Number, m.Callback, err)
	}
	digest := hexSHA256(line)
	return auditrelay.Payload{
		Key:     key(m.Callback, m.Journal, m.Replay, fmt.Sprintf("manifest-%d", m.Number), digest),
		Body:    append(line, '\n'),
		Headers: map[string]string{kind: kindManifest},
		Digest:  digest,
	}, nil
}

func key(callback, journal, replay, what, digest string) string {
	if replay != "" {
		what = "replay=" + replay + "/" + what
	}
	return callback + "/" + journal + "/" + what + "-" + digest[:12]
}

// Deliver appends the payload's lines and returns when they are on disk.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return auditrelay.Receipt{}, s.failure(ctx.Err())
	}
	if err := ctx.Err(); err != nil {
		return auditrelay.Receipt{}, s.failure(err)
	}
	if p.Headers[kind] == kindProof {
		receipt, err := s.deliverProof(p)
		if err != nil {
			return auditrelay.Receipt{}, s.failure(err)
		}
		return receipt, nil
	}
	to := s.data
	if p.Headers[kind] == kindManifest {
		to = s.notes
	}
	offset, duplicate, err := to.append(ctx, p.Key, p.Body)
	if err != nil {
		return auditrelay.Receipt{}, s.failure(err)
	}
	if duplicate {
		return auditrelay.Receipt{Location: to.path, Duplicate: true}, nil
	}
	return auditrelay.Receipt{Location: fmt.Sprintf("%s@%d", to.path, offset)}, nil
}

// ReadBack implements auditrelay.Reader. It cannot read a payload that already existed before
// the delivery, since its position is unknown.
func (s *Sink) ReadBack(_ context.Context, p auditrelay.Payload, receipt auditrelay.Receipt) ([]byte, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read back from %s: %w", s.path, auditrelay.ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if receipt.Duplicate {
		return nil, fmt.Errorf("read back from %s: it was delivered, but its position is no longer known", s.path)
	}
	_, at, _ := strings.Cut(strings.TrimPrefix(receipt.Location, s.path), "@")
	offset, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read back from %s: the receipt has no position", s.path)
	}
	held := make([]byte, len(p.Body))
	n, err := f.ReadAt(held, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("read back from %s: %w", s.path, auditrelay.ErrMissing)
	}
	return held[:n], nil
}

// Probe creates and removes a file in the sink's folder.
func (s *Sink) Probe(context.Context) error {
	dir := filepath.Dir(s.path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the folder %s does not exist yet; the first delivery creates it", auditrelay.ErrNotChecked, dir)
	}
	f, err := os.CreateTemp(dir, ".auditrelay-probe-*")
	if err != nil {
		return s.failure(err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Close closes the files and releases their locks.
func (s *Sink) Close() error {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	return errors.Join(s.data.close(), s.notes.close())
}

// errInUse, errForeign, errState and errLink are errors that only an operator can fix.
var (
	errInUse   = errors.New("another sink or process is writing to it")
	errForeign = errors.New("another program wrote to it, truncated it or replaced it")
	errState   = errors.New("its state file is damaged")
	errLink    = errors.New("a symbolic link is in its place")
)

func (s *Sink) failure(err error) error {
	kind := auditrelay.Transient
	for _, mendable := range []error{errInUse, errForeign, errState, errLink, fs.ErrPermission, syscall.EROFS, syscall.ENOTDIR, syscall.EISDIR} {
		if errors.Is(err, mendable) {
			kind = auditrelay.Misconfigured
		}
	}
	return &auditrelay.DeliveryError{Kind: kind, Err: fmt.Errorf("write to %s: %w", s.path, err)}
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
