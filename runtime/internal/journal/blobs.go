package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Large values that are soon deleted, mostly rendered payloads, are stored in blob files
// outside the storage engine. Each transaction has one file, which is durable before the
// transaction is. The engine stores only references. Otherwise each value would be written to
// the log, to a table, and again by each compaction until it is deleted.
//
// A file is removed when none of its values is live and the engine's log no longer contains the
// deletion. Recover may cut the log, and must then find the values as they were before.
type blobs struct {
	fs     vfs.FS
	dir    string // created with the first file
	noSync bool
	least  int // minimum bytes of a transaction for a file

	maxDeadBytes int64
	maxDeadFiles int

	writing sync.Mutex // one file at a time, since the disk also has the log that new events wait for
	made    bool       // dir exists durably; guarded by writing
	buffer  []byte     // guarded by writing
	// removing is held while files are removed, and by a backup while it links them.
	removing sync.Mutex

	mu        sync.Mutex
	last      uint64               // number of the newest file
	live      map[string]uint64    // file by key
	files     map[uint64]*blobFile // durable files
	bytes     int64                // size of all files
	dead      []uint64             // files without live values
	deadBytes int64
	sweeping  bool
	swept     sync.WaitGroup
	stop      chan struct{}
}

type blobFile struct {
	size int64
	live int // number of live values
}

const (
	blobsName = "blobs"
	// defaultBlob is the minimum size: below it, creating, syncing and removing a file costs
	// more than the engine does.
	defaultBlob = 16 << 10
	// aloneBlob is the factor for statements whose bodies are below the minimum. They need this
	// multiple of the minimum, since most of them are deleted before the engine writes a table.
	aloneBlob  = 16
	blobBuffer = 256 << 10
	// The limits of dead files that wait for the engine to release its log.
	maxDeadBytes = 32 << 20
	maxDeadFiles = 256
)

func newBlobs(o Options, dir string) *blobs {
	b := &blobs{fs: o.FS, dir: o.FS.PathJoin(dir, blobsName), noSync: o.UnsafeNoSync, least: o.Blob, maxDeadBytes: maxDeadBytes,
		maxDeadFiles: maxDeadFiles, live: map[string]uint64{}, files: map[uint64]*blobFile{}, stop: make(chan struct{})}
	if b.least == 0 {
		b.least = defaultBlob
	}
	return b
}

// separable reports whether values of k may be stored in a blob file.
func separable(k Key) bool {
	kind := Kind(k[0])
	return kind == KindBody || kind == KindStatement
}

// The engine stores a reference to a value in a blob file as
//
//	mark(4) blob(1) crc(4) file(8) offset(8) size(8) crc(4)
//
// The first crc covers all bytes after it and the key. The second covers the value and the key.
// The file contains the value as the engine would store it.
type blobRef struct {
	file, offset, size uint64
	sum                uint32
}

const (
	valueBlob = 2
	refBytes  = valuePrefix + 3*8 + 4
)

func (r *blobRef) record(key []byte) []byte {
	b := append(make([]byte, 0, refBytes), valueMark[:]...)
	b = append(b, valueBlob, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, r.file)
	b = binary.BigEndian.AppendUint64(b, r.offset)
	b = binary.BigEndian.AppendUint64(b, r.size)
	b = binary.BigEndian.AppendUint32(b, r.sum)
	binary.BigEndian.PutUint32(b[valuePrefix-4:], recordSum(key, b[valuePrefix:]))
	return b
}

// refOf returns the reference to a value. ok is false if the engine itself stores the value.
func refOf(key, stored []byte) (r blobRef, ok bool, err error) {
	if len(stored) <= len(valueMark) || [4]byte(stored) != valueMark || stored[len(valueMark)] != valueBlob {
		return r, false, nil
	}
	if len(stored) != refBytes || binary.BigEndian.Uint32(stored[valuePrefix-4:]) != recordSum(key, stored[valuePrefix:]) {
		return r, true, errDamaged
	}
	b := stored[valuePrefix:]
	return blobRef{file: binary.BigEndian.Uint64(b), offset: binary.BigEndian.Uint64(b[8:]),
		size: binary.BigEndian.Uint64(b[16:]), sum: binary.BigEndian.Uint32(b[24:])}, true, nil
}

func (b *blobs) path(file uint64) string {
	return b.fs.PathJoin(b.dir, fmt.Sprintf("%016x.blob", file))
}

// read returns the value in newly allocated memory.
func (b *blobs) read(key []byte, r blobRef) ([]byte, error) {
	f, err := b.fs.Open(b.path(r.file))
	if err != nil {
		return nil, fmt.Errorf("blob file %016x: %w", r.file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := uint64(info.Size()); r.offset > size || r.size > size-r.offset {
		return nil, fmt.Errorf("blob file %016x is cut short: %w", r.file, errDamaged)
	}
	value := make([]byte, r.size)
	if _, err := f.ReadAt(value, int64(r.offset)); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("blob file %016x: %w", r.file, err)
	}
	if recordSum(key, value) != r.sum {
		return nil, fmt.Errorf("blob file %016x: %w", r.file, errDamaged)
	}
	return value, nil
}

// separate writes the large values of tx into a blob file and puts references into tx. It
// returns the file's number, or 0 if there is none. After an error tx is unchanged.
func (j *Journal) separate(tx *Tx) (file uint64, err error) {
	size, bodies := 0, 0
	for i := range tx.ops {
		if o := &tx.ops[i]; o.kind == opSet && separable(o.key) {
			if size += len(o.arg); Kind(o.key[0]) == KindBody {
				bodies += len(o.arg)
			}
		}
	}
	if least := j.blobs.least; size == 0 || least < 0 || bodies < least && size < aloneBlob*least {
		return 0, nil
	}
	done, err := j.reading()
	if err != nil {
		return 0, err
	}
	defer done()
	if j.fault.get() != nil {
		return 0, j.failed()
	}
	tx.apart = size
	tx.bytes -= size
	defer func() {
		if tx.apart = 0; err != nil {
			tx.bytes += size
		}
	}()
	if err := j.space.admit(tx, 0); err != nil {
		j.reclaim()
		return 0, err
	}
	values := make([][]byte, 0, len(tx.ops))
	for i := range tx.ops {
		if o := &tx.ops[i]; o.kind == opSet && separable(o.key) {
			values = append(values, o.arg)
		}
	}
	if file, err = j.blobs.write(&j.queue, values, int64(size)); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = &FullError{Reserve: max(j.space.reserve, 1), Needed: int64(size)}
		}
		return 0, fmt.Errorf("journal: write a blob file: %w", err)
	}
	j.space.wroteApart(size)
	offset := uint64(0)
	for i := range tx.ops {
		o := &tx.ops[i]
		if o.kind != opSet || !separable(o.key) {
			continue
		}
		r := blobRef{file: file, offset: offset, size: uint64(len(o.arg)), sum: recordSum(o.key, o.arg)}
		offset += r.size
		tx.bulk -= len(o.arg) - refBytes
		tx.bytes += refBytes
		o.arg = r.record(o.key)
	}
	return file, nil
}

// write creates a durable file of values.
func (b *blobs) write(q *queue, values [][]byte, size int64) (file uint64, err error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	q.turn()
	begun := time.Now()
	defer func() { q.wrote(true, begun, time.Now()) }()
	b.mu.Lock()
	b.last++
	file = b.last
	b.mu.Unlock()
	if !b.made {
		if err := b.fs.MkdirAll(b.dir, 0o700); err != nil {
			return 0, err
		}
		if err := b.synced(b.fs.PathDir(b.dir)); err != nil {
			return 0, err
		}
		b.made = true
	}
	path := b.path(file)
	defer func() {
		if err != nil {
			_ = b.fs.Remove(path) // otherwise the next Open removes it
		}
	}()
	f, err := b.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	if n := int(min(size, blobBuffer)); cap(b.buffer) < n {
		b.buffer = make([]byte, 0, n)
	}
	for _, v := range values {
		for len(v) > 0 && err == nil { // written as a copy, since a file system may change its argument
			n := min(len(v), cap(b.buffer))
			_, err = f.Write(append(b.buffer[:0], v[:n]...))
			v = v[n:]
		}
	}
	if err == nil && !b.noSync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	if err := b.synced(b.dir); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files[file] = &blobFile{size: size}
	b.bytes += size
	return file, nil
}

func (b *blobs) synced(dir string) error {
	if b.noSync {
		return nil
	}
	return syncDir(b.fs, dir)
}

// blob resolves a reference: it returns the stored value itself.
func (j *Journal) blob(key, stored []byte) (value []byte, own bool, err error) {
	r, ok, err := refOf(key, stored)
	if err != nil || !ok {
		return stored, false, err
	}
	value, err = j.blobs.read(key, r)
	return value, true, err
}

// copyBlobs links the blob files at src to dst, or copies them if files are not linked. Opening
// the copy removes files without live values.
func copyBlobs(fsys vfs.FS, src, dst string, link bool) error {
	from, to := fsys.PathJoin(src, blobsName), fsys.PathJoin(dst, blobsName)
	names, err := fsys.List(from)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := fsys.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		a, b := fsys.PathJoin(from, name), fsys.PathJoin(to, name)
		if link && fsys.Link(a, b) == nil {
			continue
		}
		if err := copyFile(fsys, a, b); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.Join(syncDir(fsys, to), syncDir(fsys, dst))
}
