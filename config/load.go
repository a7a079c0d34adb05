package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/internal/detect"
)

// LoadOptions are the environment of a configuration. The zero value reads the process's
// environment and knows no sinks.
type LoadOptions struct {
	// LookupEnv resolves references to environment variables. Default: os.LookupEnv.
	LookupEnv func(name string) (value string, ok bool)

	// Dir is the directory for relative paths in the file. Default: the file's directory for
	// Load, the process's for Parse.
	Dir string

	// More lists further files, or directories of files, of the configuration. Load and Show
	// merge them with the first one, like the files of a directory.
	More []string

	// Sinks has the known types of sinks. A function that is not nil checks a sink's options:
	// it decodes the section, may construct the sink without I/O, and returns the faults.
	// Section.Explain adds their places. Default (nil): every type is accepted and no options
	// are checked.
	Sinks map[string]func(Section) error

	// Redact checks the policy of a native filter, like Sinks. It gets the keys that the policy
	// may use and the detectors (nil: the shipped ones), and returns the names of the used
	// keys. Default (nil): no policy is checked.
	Redact func(Section, map[string]auditrelay.Key, *detect.Catalogue) (keys []string, err error)

	// Sources has the known inputs under ingest, by key. A nil check checks no options. Default
	// (nil): every key is accepted and no options are checked.
	Sources map[string]SourceCheck

	// JournalURL checks journal.postgres.url without connecting. Default (nil): it is not
	// checked.
	JournalURL func(auditrelay.Secret) error

	// KeepsUnredacted reports whether a data directory belongs to a version that delivered the
	// events of LiteLLM's file unredacted, so that it continues to (see the key
	// litellm_redaction), and whether an operator was warned. Default (nil): none does.
	KeepsUnredacted func(dataDir string) (keeps, warned bool)

	// LookupHost resolves a host's name, to detect that LiteLLM's S3 endpoint is this relay.
	// Default: the system's resolver, for at most two seconds.
	LookupHost func(host string) (addrs []string, err error)
}

func (o LoadOptions) withDefaults() LoadOptions {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.LookupHost == nil {
		o.LookupHost = lookupHost
	}
	return o
}

// Load reads and checks the configuration in file, in the relay's format or LiteLLM's; or in a
// directory or several files (LoadOptions.More), all in the relay's format.
// docs/operators/running.md says how they are merged. The error is an Errors with all faults.
func Load(file string, o LoadOptions) (*Config, error) {
	o = o.withDefaults()
	t, err := readTree(file, &o)
	if err != nil {
		return nil, err
	}
	return load(t.root, o, t.report, t.open)
}

// tree is a configuration before decoding, with resolved references.
type tree struct {
	root   *node
	report *report
	open   bool // every user of the machine may read it
}

func readTree(file string, o *LoadOptions) (tree, error) {
	if o.Dir == "" {
		o.Dir = Dir(file)
	}
	if isDir(file) || len(o.More) > 0 {
		return filesTree(append([]string{file}, o.More...), *o)
	}
	data, open, err := readFile(file)
	if err != nil {
		return tree{}, err
	}
	t, err := textTree(file, data, *o)
	t.open = open
	return t, err
}

// Parse is Load for the text of a configuration; errors call it name.
func Parse(name string, data []byte, o LoadOptions) (*Config, error) {
	o = o.withDefaults()
	t, err := textTree(name, data, o)
	if err != nil {
		return nil, err
	}
	return load(t.root, o, t.report, false)
}

// Read returns a configuration's text: at most 1 MiB from a file, or from a pipe that a process
// fills within ten seconds.
func Read(file string) ([]byte, error) {
	data, _, err := readFile(file)
	return data, err
}

// pipeTime is how long a process may take to fill a pipe. It is a variable for tests.
var pipeTime = 10 * time.Second

func readFile(file string) (data []byte, worldReadable bool, err error) {
	// Without O_NONBLOCK, opening a pipe without a writer waits for ever.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, fmt.Errorf("the configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("the configuration: %w", err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, false, Errors{{File: file, Msg: "a directory, expected a file"}}
	case mode.IsRegular():
		worldReadable = mode.Perm()&0o004 != 0
	default:
		if err := f.SetReadDeadline(time.Now().Add(pipeTime)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
			return nil, false, fmt.Errorf("the configuration: %w", err)
		}
	}
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false, Errors{{File: file, Msg: fmt.Sprintf("a pipe that was not filled and closed within %v: give a file", pipeTime)}}
	}
	if err != nil {
		return nil, false, fmt.Errorf("the configuration: %w", err)
	}
	if len(data) == 0 && !info.Mode().IsRegular() {
		return nil, false, Errors{{File: file, Msg: "a pipe or device that holds nothing: give a file"}}
	}
	return data, worldReadable, nil
}

func textTree(name string, data []byte, o LoadOptions) (tree, error) {
	r := &report{file: name}
	root := parseTree(data, r)
	if root == nil || root.kind == kindNull {
		if err := r.err(); err != nil {
			return tree{}, err
		}
		root = &node{kind: kindMapping}
	}
	if root.kind != kindMapping {
		r.add(root, "", "found %v, expected a mapping of options", root.kind)
		return tree{}, r.err()
	}
	res := &resolver{report: r, lookup: o.LookupEnv, dir: o.Dir}
	if isLiteLLM(root.keys) {
		root = fromLiteLLM(root, res, o)
	} else {
		res.all(root, "")
	}
	return tree{root: root, report: r}, nil
}

// load decodes and checks a tree in this package's own format.
func load(root *node, o LoadOptions, r *report, worldReadable bool) (*Config, error) {
	c := &Config{Listen: defaultListen, DataDir: "./data"}
	d := &decoder{report: r}
	d.plain = func(n *node, path string) {
		switch {
		case auditrelay.Key{Secret: auditrelay.Secret(n.text)}.Public(), strings.HasPrefix(path, "tokens[") && strings.HasPrefix(n.text, tokenDigest):
			// other users may read it
		case n.exposed:
			r.warn(n, "%s is a secret in a file that every user of this machine may read: chmod o-rwx it", place(n, path))
		case n.literal && (worldReadable || n.file != nil && n.file.open):
			r.warn(n, "%s is a secret in plain text, in a file that every user of this machine may read: use os.environ/NAME, ${NAME} or file:/path, or take the permission away", place(n, path))
		}
	}
	d.value(root, reflect.ValueOf(c).Elem(), "", fieldTag{})
	checker{Config: c, root: root, options: o, report: r}.check(d.plain)
	if err := r.err(); err != nil {
		return nil, err
	}
	c.Notes, c.Redaction, c.root = r.sortedNotes(), r.redaction, root
	return c, nil
}

// place returns the key of a value in the file.
func place(n *node, path string) string {
	if n.origin != "" {
		return n.origin
	}
	return path
}

func relative(dir, name string) string {
	if name == "" || dir == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// checkFile returns an error if name is not a readable regular file. The error does not contain
// name: a user may have given a key's text instead of a file's name, and it must not appear in
// a log.
func checkFile(name string) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no such file%s", hintFile(name))
	case err != nil:
		return pathless(err)
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	return nil
}

// pathless removes the path from an error of the file system.
func pathless(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// hintFile returns the directory in which a file was looked for, as far as the directory
// exists.
func hintFile(name string) string {
	dir := filepath.Dir(name)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ", nor its directory"
	}
	return " in " + dir
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
