package file

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	"auditrelay"
)

// Options configure the file sink. Only the path has no default.
type Options struct {
	// Path is the file to write, such as /var/lib/audit/audit.ndjson. The same folder contains
	// its rotated files, the manifests (audit.manifests.ndjson), and a .state and a .lock file
	// for each. No other program may write to them. A missing folder is created (0700).
	// Required.
	Path string `yaml:"path"`

	// Rotate limits a file; a new file begins at the first limit. Files rotate at a delivery,
	// so a payload is never split between files.
	Rotate Rotate `yaml:"rotate"`

	// Gzip compresses rotated files. Default: false, so that every tool can read
	// them.
	Gzip bool `yaml:"gzip"`

	// Keep limits the rotated files; the others are deleted. Default: none, since they cannot
	// be recovered.
	Keep Keep `yaml:"keep"`
}

// Rotate limits one file.
type Rotate struct {
	// Bytes is the size before compression. Default: 256MiB.
	Bytes auditrelay.ByteSize `yaml:"bytes"`
	// Age is the time since the file's first record was delivered. Default: no limit.
	Age time.Duration `yaml:"age"`
}

// Keep limits the rotated files. The newest is always kept.
type Keep struct {
	// Files is the number of files. Default: no limit.
	Files int `yaml:"files"`
	// Age is the time since the rotation. Default: no limit.
	Age time.Duration `yaml:"age"`
}

const defaultRotateBytes = 256 << 20

func (o Options) withDefaults() Options {
	if o.Rotate.Bytes == 0 {
		o.Rotate.Bytes = defaultRotateBytes
	}
	return o
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
	if o.Rotate.Bytes < 0 {
		bad("rotate.bytes", "it is negative")
	}
	if o.Rotate.Age < 0 {
		bad("rotate.age", "it is negative")
	}
	if o.Keep.Files < 0 {
		bad("keep.files", "it is negative")
	}
	if o.Keep.Age < 0 {
		bad("keep.age", "it is negative")
	}
	return errors.Join(problems...)
}
