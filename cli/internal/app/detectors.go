package app

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"

	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/shape"
)

// OpenDetectors returns the detectors of a configuration, or the shipped ones if there are no
// files.
func OpenDetectors(files []string, sinks map[string]SinkMaker) (*detect.Catalogue, error) {
	if len(files) == 0 {
		return detect.Shipped(), nil
	}
	makers, err := sinkMakers(sinks)
	if err != nil {
		return nil, err
	}
	cfg, err := (&assembler{file: files[0], makers: makers, log: slog.New(slog.DiscardHandler)}).loadConfig(files[0], files[1:]...)
	if err != nil {
		return nil, err
	}
	if c := cfg.Catalogue(); c != nil {
		return c, nil
	}
	return detect.Shipped(), nil
}

// Found is one finding in a file: its place and its detector. It has the digest of the value,
// as exceptions name it, but never the value.
type Found struct {
	Line     int    `json:"line"`
	Path     string `json:"path,omitempty"` // in an event; with key set, the key itself was found
	Key      bool   `json:"key,omitempty"`
	Detector string `json:"detector"`
	Start    int    `json:"start"` // in the decoded text, in bytes
	Bytes    int    `json:"bytes"`
	SHA256   string `json:"sha256"`
}

// FindIn returns the findings in one line: in every key and value of an event, or in the text
// of any other line.
func FindIn(c *detect.Catalogue, set *detect.Set, number int, line []byte) (all []Found) {
	add := func(text []byte, name detect.Name, path string, key bool) {
		for _, f := range set.Append(nil, text, name) {
			sum := sha256.Sum256(text[f.Start:f.End])
			all = append(all, Found{number, path, key, f.Detector, f.Start, f.End - f.Start, hex.EncodeToString(sum[:])})
		}
	}
	if document.Check(line, document.Limits{}) != nil {
		add(line, detect.Name{}, "", false)
		return all
	}
	var d document.Document
	d.Reset(line)
	spared := map[document.Node]uint64{}
	for bit, p := range c.Paths() {
		if p == nil {
			continue
		}
		for n := d.Each(p, document.None); n != document.None; n = d.Each(p, n) {
			spared[n] |= 1 << bit
		}
	}
	var walk func(parent document.Node, at uint64, below string)
	walk = func(parent document.Node, at uint64, below string) {
		members := d.Kind(parent) == document.Object || d.Holds(parent) == document.Object
		for n := d.Child(parent, document.None); n != document.None; n = d.Child(parent, n) {
			path, at, below := below, at|spared[n], below
			if path == "" {
				path = string(d.AppendPath(nil, n))
			}
			if members {
				key := d.AppendKey(nil, n)
				keys := len(all)
				if add(key, detect.Name{}, "", true); len(all) > keys {
					path = string(d.AppendPath(nil, parent)) + ".(a key that is a secret)"
					below = path
					for i := range all[keys:] {
						all[keys+i].Path = path
					}
				}
			}
			switch text, ok := d.AppendString(nil, n); {
			case d.Holds(n) != document.Absent:
			case ok:
				add(text, shape.Name(c, &d, n).At(at), path, false)
			case d.Kind(n) == document.Number:
				add(d.AppendJSON(nil, n), shape.Name(c, &d, n).At(at), path, false)
			}
			walk(n, at, below)
		}
	}
	walk(document.Root, 0, "")
	return all
}
