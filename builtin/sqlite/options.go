package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"auditrelay"
)

// Options configure the store in SQLite. None is required in a relay's configuration.
type Options struct {
	// Path of the database's file. Beside it stand SQLite's own -wal and -shm. One
	// callback has a file of its own, on a local disk. A folder that does not exist is
	// made (0700). Default: store/CALLBACK.db in the data directory; a program that
	// embeds the sink names one.
	Path string `yaml:"path"`

	// Keep says which records stay. Default: all do. The relay deletes the others, once
	// an hour, and tells in an audit event how many; the sink by itself deletes none.
	Keep Keep `yaml:"keep"`
}

// Keep bounds what a store holds.
type Keep struct {
	// Age since the event was received. Default: no bound.
	Age time.Duration `yaml:"age"`
	// Rows is how many records; those received longest ago go first. Default: no bound.
	Rows int64 `yaml:"rows"`
}

// check returns every bad option, joined.
func (o Options) check() error {
	var problems []error
	bad := func(path, text string) {
		problems = append(problems, &auditrelay.OptionError{Path: path, Err: errors.New(text)})
	}
	switch {
	case o.Path == "":
		bad("path", "it is required")
	case strings.ContainsRune(o.Path, 0), strings.HasSuffix(o.Path, "/"), filepath.Base(o.Path) == "..", filepath.Base(o.Path) == ".":
		bad("path", "it names no file")
	}
	if o.Keep.Age < 0 {
		bad("keep.age", "it is negative")
	}
	if o.Keep.Rows < 0 {
		bad("keep.rows", "it is negative")
	}
	return errors.Join(problems...)
}
