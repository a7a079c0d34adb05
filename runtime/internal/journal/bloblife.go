package journal

import (
	"errors"
	"io/fs"
	"maps"
	"strconv"
	"strings"
)

// settle updates the accounts of blob files after the commit of tx, whose values are in file,
// or after its failure.
func (j *Journal) settle(tx *Tx, file uint64, err error) {
	b := j.blobs
	if errors.Is(err, ErrFailed) {
		return // the outcome is unknown until the next Open
	}
	b.mu.Lock()
	if err == nil {
		for i := range tx.ops {
			b.note(&tx.ops[i])
		}
	}
	f := b.files[file]
	if err != nil && f != nil {
		_ = b.fs.Remove(b.path(file)) // nothing refers to it; otherwise the next Open removes it
		delete(b.files, file)
		b.bytes -= f.size
	}
	b.mu.Unlock()
	j.sweep(false)
}

// note accounts for one committed operation.
func (b *blobs) note(o *op) {
	if o.kind == opDeleteRange {
		for k := range b.live {
			if k >= string(o.key) && k < string(o.arg) {
				b.release(k)
			}
		}
		return
	}
	if !separable(o.key) {
		return
	}
	b.release(string(o.key))
	if r, ok, _ := refOf(o.key, o.arg); ok && o.kind == opSet {
		if f := b.files[r.file]; f != nil {
			b.live[string(o.key)] = r.file
			f.live++
		}
	}
}

// release records that the value of a key is gone, if it is in a file.
func (b *blobs) release(key string) {
	file, ok := b.live[key]
	if !ok {
		return
	}
	delete(b.live, key)
	if f := b.files[file]; f != nil {
		if f.live--; f.live == 0 {
			b.bury(file, f)
		}
	}
}

func (b *blobs) bury(file uint64, f *blobFile) {
	b.dead = append(b.dead, file)
	b.deadBytes += f.size
}

// sweep removes dead files if there are many, or if must is set, and reports whether it does.
// It makes the engine flush its memory, which releases the log. It does not wait for that.
func (j *Journal) sweep(must bool) bool {
	done, err := j.reading()
	if err != nil {
		return false
	}
	defer done()
	b := j.blobs
	b.mu.Lock()
	due := len(b.dead) > 0 && !b.sweeping && (must || b.deadBytes >= b.maxDeadBytes || len(b.dead) >= b.maxDeadFiles)
	if !due {
		b.mu.Unlock()
		return false
	}
	dead := b.dead
	b.dead, b.deadBytes, b.sweeping = nil, 0, true
	b.mu.Unlock()
	var flushed <-chan struct{}
	if err = j.fault.get(); err == nil {
		flushed, err = j.db.AsyncFlush()
	}
	b.swept.Go(func() {
		if err == nil {
			select {
			case <-flushed:
				err = j.fault.get()
			case <-b.stop:
				err = ErrClosed
			}
		}
		if err == nil {
			b.removing.Lock()
			defer b.removing.Unlock()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sweeping = false
		for _, file := range dead {
			f := b.files[file]
			if err == nil {
				if gone := b.fs.Remove(b.path(file)); gone == nil || errors.Is(gone, fs.ErrNotExist) {
					delete(b.files, file)
					b.bytes -= f.size
					continue
				}
			}
			b.bury(file, f)
		}
	})
	return true
}

// disk returns the total size of the files.
func (b *blobs) disk() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// openBlobs finds the blob files. It removes those without live values: their transactions
// never became durable, or their values were deleted.
func (j *Journal) openBlobs() error {
	b := j.blobs
	names, err := b.fs.List(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		names, err = nil, nil
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[uint64]string{}
	for _, name := range names {
		path := b.fs.PathJoin(b.dir, name)
		file, err := strconv.ParseUint(strings.TrimSuffix(name, ".blob"), 16, 64)
		info, statErr := b.fs.Stat(path)
		if err != nil || statErr != nil || !strings.HasSuffix(name, ".blob") {
			continue // not a blob file
		}
		found[file] = path
		b.files[file] = &blobFile{size: info.Size()}
		b.bytes += info.Size()
		b.last = max(b.last, file)
	}
	missing := map[uint64]bool{}
	for _, kind := range []Kind{KindBody, KindStatement} {
		from, to := All(kind)
		err := j.scan(from, to, func(k, stored []byte) error {
			r, ok, err := refOf(k, stored)
			if err != nil || !ok {
				return j.damaged(0, 0, err)
			}
			f := b.files[r.file]
			if f == nil {
				missing[r.file] = true
				b.last = max(b.last, r.file)
				return nil
			}
			b.live[string(k)] = r.file
			f.live++
			return nil
		})
		if err != nil {
			return err
		}
	}
	for file := range missing {
		j.options.Logger.Error("journal: a file of sealed payloads is missing; they cannot be delivered until it is back", "file", b.path(file))
	}
	for file, f := range maps.Clone(b.files) {
		if f.live > 0 {
			continue
		}
		if err := b.fs.Remove(found[file]); err != nil {
			return err
		}
		delete(b.files, file)
		b.bytes -= f.size
	}
	return nil
}

// close stops a running sweep.
func (b *blobs) close() {
	close(b.stop)
	b.swept.Wait()
}
