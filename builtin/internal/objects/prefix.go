package objects

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"auditrelay"
)

// maxPrefixBytes leaves room for the rest of a key of at most 1024 bytes.
const maxPrefixBytes = 256

// CheckPrefix returns an error if prefix is no valid prefix of keys.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxPrefixBytes {
		return fmt.Errorf("%d bytes, at most %d", len(prefix), maxPrefixBytes)
	}
	if strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") || strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`#[]*?\`, r) }) {
		return errors.New(`it must not begin with a slash, hold two in a row, any of #[]*?\ or control characters`)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		if part == "." || part == ".." {
			return errors.New("a part between slashes is . or .., which is not allowed")
		}
	}
	return nil
}

// Limits are the options that the sinks for object stores share, in addition to the prefix.
// Each sink documents them.
type Limits struct {
	MaxObjectBytes             auditrelay.ByteSize
	MaxEventAge, MaxEventAhead time.Duration
}

// WithDefaults returns l with defaults for zero fields.
func (l Limits) WithDefaults() Limits {
	l.MaxObjectBytes = cmp.Or(l.MaxObjectBytes, 64<<20)
	l.MaxEventAge = cmp.Or(l.MaxEventAge, 30*24*time.Hour)
	l.MaxEventAhead = cmp.Or(l.MaxEventAhead, 24*time.Hour)
	return l
}

// Check calls bad for each invalid limit, with its option.
func (l Limits) Check(bad func(path, format string, args ...any)) {
	if l.MaxObjectBytes < 64<<10 || l.MaxObjectBytes > maxObjectBytes {
		bad("max_object_bytes", "expected 64KiB to 1GiB")
	}
	if l.MaxEventAge < time.Hour {
		bad("max_event_age", "expected at least 1h")
	}
	if l.MaxEventAhead < time.Minute {
		bad("max_event_ahead", "expected at least 1m")
	}
}

// NewLayout returns the layout for checked options.
func NewLayout(prefix string, l Limits, compression string) Layout {
	return Layout{
		Prefix:      WithSlash(prefix),
		Batching:    Batching{MaxAge: l.MaxEventAge, MaxAhead: l.MaxEventAhead, MaxBytes: int64(l.MaxObjectBytes)},
		Compression: compression,
	}
}

// WithSlash returns prefix in a Layout's form.
func WithSlash(prefix string) string {
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return prefix
}
