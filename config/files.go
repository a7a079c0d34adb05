package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// maxFiles limits the number of files of a configuration.
const maxFiles = 256

// Dir returns the directory that relative paths in a configuration refer to. For a directory it
// is the directory itself.
func Dir(file string) string {
	if isDir(file) {
		return file
	}
	return filepath.Dir(file)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// filesIn returns the files of a directory's configuration, by name: *.yaml and *.yml in the
// directory itself that are not hidden. It follows links, since a mounted ConfigMap has links.
func filesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the configuration: %w", err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		if ext := filepath.Ext(name); strings.HasPrefix(name, ".") || ext != ".yaml" && ext != ".yml" || isDir(filepath.Join(dir, name)) {
			continue
		}
		files = append(files, filepath.Join(dir, name))
	}
	if len(files) == 0 {
		return nil, Errors{{File: dir, Msg: "a directory without files: expected *.yaml or *.yml in it"}}
	}
	return files, nil
}

// allFiles resolves names of files and directories to files.
func allFiles(names []string) ([]string, error) {
	var all []string
	for _, name := range names {
		files := []string{name}
		if isDir(name) {
			var err error
			if files, err = filesIn(name); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			if was := slices.IndexFunc(all, func(other string) bool { return sameFile(file, other) }); was >= 0 {
				return nil, Errors{{File: file, Msg: fmt.Sprintf("the configuration has this file already, as %s: name it once", all[was])}}
			}
			if all = append(all, file); len(all) > maxFiles {
				return nil, Errors{{File: name, Msg: fmt.Sprintf("more than %d files", maxFiles)}}
			}
		}
	}
	return all, nil
}

func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// filesTree reads a configuration with several files.
func filesTree(names []string, o LoadOptions) (tree, error) {
	files, err := allFiles(names)
	if err != nil {
		return tree{}, err
	}
	r := &report{}
	root := &node{kind: kindMapping}
	b := &builder{report: r} // one for all files, so that it limits their aliases together
	for _, name := range files {
		r.file = name
		data, open, err := readFile(name)
		if err != nil {
			return tree{}, err
		}
		b.file, b.ignored = &sourceFile{name: name, open: open}, nil
		part := parseFile(data, r, b)
		switch {
		case part == nil || part.kind == kindNull:
		case part.kind != kindMapping:
			r.add(part, "", "found %v, expected a mapping of options", part.kind)
		case isLiteLLM(part.keys):
			r.add(part, "", "LiteLLM's own configuration: it is the whole configuration, or none of it; name this file alone, or add what auditrelay config translate makes of it")
		default:
			(&resolver{report: r, lookup: o.LookupEnv, dir: o.Dir}).all(part, "")
			root = merge(r, root, part, typeConfig, "")
		}
	}
	r.file = names[0]
	return tree{root: root, report: r}, nil
}

// merge adds a file's mapping to those of earlier files. Sections, and mappings of names, get
// the keys of both; lists get the items of both. Any other value in two files is an error.
// merge changes neither argument, since anchors may refer to them.
func merge(r *report, into, from *node, t reflect.Type, path string) *node {
	out := *into
	out.keys, out.items = into.keys[:len(into.keys):len(into.keys)], append([]*node(nil), into.items...)
	for i, k := range from.keys {
		item, at := from.items[i], join(path, k.text)
		was := -1
		for j, other := range out.keys {
			if other.text == k.text {
				was = j
			}
		}
		switch {
		case was < 0:
			out.keys, out.items = append(out.keys, k), append(out.items, item)
		case item.kind == kindNull: // counts as a missing key
		case out.items[was].kind == kindNull:
			out.keys[was], out.items[was] = k, item
		default:
			out.items[was] = mergeValue(r, out.keys[was], out.items[was], k, item, typeOf(t, k.text), at)
		}
	}
	return &out
}

// additive is the type of a key whose values in several files are merged; nil if there is none.
type additive struct {
	t     reflect.Type
	named bool // a mapping of names
}

// typeOf returns the additive type of a struct's key.
func typeOf(t reflect.Type, key string) additive {
	if t == nil {
		return additive{}
	}
	f, ok := fieldsOf(t).find(key)
	if !ok {
		return additive{}
	}
	ft := t.Field(f.index).Type
	return additive{ft, f.tag.named || ft.Kind() == reflect.Map}
}

func mergeValue(r *report, keyWas, was, key, item *node, s additive, path string) *node {
	mappings, lists := was.kind == kindMapping && item.kind == kindMapping, was.kind == kindList && item.kind == kindList
	switch {
	case s.t == nil:
	case s.named && mappings:
		return merge(r, was, item, nil, path)
	case s.t.Kind() == reflect.Struct && s.t != reflect.TypeFor[Section]() && mappings:
		return merge(r, was, item, s.t, path)
	case s.t.Kind() == reflect.Slice && lists:
		out := *was
		out.items = append(was.items[:len(was.items):len(was.items)], item.items...)
		return &out
	}
	r.add(key, path, "it stands %s already: keep one of the two", r.placeOf(keyWas).From(r.placeOf(key)))
	return was
}
