package objects

import (
	"errors"
	"fmt"
	"strings"
)

// maxPrefixBytes leaves room for the rest of a key, of at most 1024 bytes.
const maxPrefixBytes = 256

// CheckPrefix says what is wrong with a prefix of keys.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxPrefixBytes {
		return fmt.Errorf("%d bytes, at most %d", len(prefix), maxPrefixBytes)
	}
	if strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") || strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`#[]*?\`, r) }) {
		return errors.New(`it must not begin with a slash, hold two in a row, any of #[]*?\ or control characters`)
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		if part == "." || part == ".." {
			return errors.New("no part of it may be . or .. between slashes")
		}
	}
	return nil
}

// WithSlash is a prefix as a Layout has it.
func WithSlash(prefix string) string {
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return prefix
}
