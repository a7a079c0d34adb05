package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"auditrelay"
)

// Options configure the store in SQLite. All are optional in a relay's configuration.
type Options struct {
	// Path is the database file, on a local disk, for one callback only. SQLite keeps
	// its -wal and -shm files beside it. A missing folder is created (0700). Default:
	// store/CALLBACK.db in the data directory; programs that embed the sink must set it.
	Path string `yaml:"path"`

	// Keep limits the records that stay. Default: all. The relay deletes the others once an
	// hour and records the number in an audit event. The sink itself deletes nothing.
	Keep Keep `yaml:"keep"`
}

// Keep limits a store.
type Keep struct {
	// Age is the time since the event was received. Default: no limit.
	Age time.Duration `yaml:"age"`
	// Rows is the number of records; the oldest received go first. Default: no limit.
	Rows int64 `yaml:"rows"`
}

// check returns an error for each invalid option, joined.
func (o Options) check() error {
	var problems []error
	bad := func(path, text string) {
		problems = append(problems, &auditrelay.OptionError{Path: path, Err: errors.New(text)})
	}
	switch {
	case o.Path == "":
		bad("path", "it is required")
	case strings.ContainsRune(o.Path, 0), strings.HasSuffix(o.Path, "/"), filepath.Base(o.Path) == "..", filepath.Base(o.Path) == ".":
		bad("path", "it does not name a file")
	}
	if o.Keep.Age < 0 {
		bad("keep.age", "it is negative")
	}
	if o.Keep.Rows < 0 {
		bad("keep.rows", "it is negative")
	}
	return errors.Join(problems...)
}
