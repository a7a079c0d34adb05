package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const litellmEnv = "os.environ/"

// maxSecretFile bounds a file that holds a value.
const maxSecretFile = 64 << 10

var (
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	envInside = regexp.MustCompile(`\$?\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
	fileRef   = regexp.MustCompile(`^file:(/|\./|\.\./)`)
)

// resolver replaces references in values by what they stand for:
//
//	os.environ/NAME   the environment variable, as LiteLLM writes it
//	${NAME}           the same, also inside a longer value; $${ is a plain ${
//	file:/path        the file's content without one line feed at its end
type resolver struct {
	report *report
	lookup func(string) (string, bool)
	dir    string
	// elsewhere are variables that the file itself sets for LiteLLM alone.
	elsewhere map[string]int
	// lenient leaves what cannot be resolved as it is.
	lenient bool
}

// all resolves every scalar below n. A node is resolved once, however many
// merges lead to it.
func (r *resolver) all(n *node, path string) {
	if n == nil {
		return
	}
	switch n.kind {
	case kindMapping:
		for i, k := range n.keys {
			r.all(n.items[i], join(path, k.text))
		}
	case kindList:
		for i, item := range n.items {
			r.all(item, index(path, i))
		}
	case kindString:
		if !n.resolved {
			n.resolved = true
			r.scalar(n, path)
		}
	}
}

func (r *resolver) scalar(n *node, path string) {
	text, isRef, err := r.resolve(n.text)
	if !isRef {
		n.text = text
		return
	}
	n.ref, n.text = n.text, text
	if err != nil {
		n.text, n.unset = "", true
		if !r.lenient {
			r.report.addError(n, path, err)
		}
	}
}

func (r *resolver) resolve(text string) (value string, isRef bool, err error) {
	if name, ok := strings.CutPrefix(text, litellmEnv); ok {
		if !envName.MatchString(name) {
			return "", true, errors.New("os.environ/ is not followed by a variable's name")
		}
		value, err = r.variable(name)
		return value, true, err
	}
	if fileRef.MatchString(text) {
		value, err = r.file(strings.TrimPrefix(text, "file:"))
		return value, true, err
	}
	var errs []error
	value = envInside.ReplaceAllStringFunc(text, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		isRef = true
		value, err := r.variable(match[2 : len(match)-1])
		if err != nil {
			errs = append(errs, err)
		}
		return value
	})
	return value, isRef, errors.Join(errs...)
}

func (r *resolver) variable(name string) (string, error) {
	if value, ok := r.lookup(name); ok {
		return value, nil
	}
	hint := ""
	if line, ok := r.elsewhere[name]; ok {
		hint = fmt.Sprintf("; environment_variables sets it on line %d, but for LiteLLM's process alone: set it for this one too", line)
	}
	return "", fmt.Errorf("the environment variable %s is not set%s", name, hint)
}

func (r *resolver) file(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	// Checked before opening: to open a pipe could wait for ever.
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the value's file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("the value's file %s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the value's file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("the value's file: %w", err)
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("the value's file %s is larger than %d KiB", path, maxSecretFile>>10)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}
