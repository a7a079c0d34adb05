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
	// Path of the file that is written to, such as /var/lib/audit/audit.ndjson.
	// Beside it stand its rotated files, the manifests (audit.manifests.ndjson)
	// and for each a .state and a .lock file. Nothing else may write to any of
	// them. A folder that does not exist is made (0700). Required.
	Path string `yaml:"path"`

	// Rotate says when the file is closed and another begun. It is judged at a
	// delivery; a payload is never divided between files.
	Rotate Rotate `yaml:"rotate"`

	// Gzip compresses files once they are rotated. Default: false, so that every
	// tool reads them.
	Gzip bool `yaml:"gzip"`

	// Keep says which rotated files are deleted. Default: none is, since what is
	// deleted here is gone.
	Keep Keep `yaml:"keep"`
}

// Rotate bounds one file.
type Rotate struct {
	// Bytes before compression. Default: 256MiB.
	Bytes auditrelay.ByteSize `yaml:"bytes"`
	// Age since the file's first record was delivered. Default: no bound.
	Age time.Duration `yaml:"age"`
}

// Keep bounds what is kept of rotated files; the newest is always kept.
type Keep struct {
	// Files is how many. Default: no bound.
	Files int `yaml:"files"`
	// Age since the rotation. Default: no bound.
	Age time.Duration `yaml:"age"`
}

const defaultRotateBytes = 256 << 20

func (o Options) withDefaults() Options {
	if o.Rotate.Bytes == 0 {
		o.Rotate.Bytes = defaultRotateBytes
	}
	return o
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
