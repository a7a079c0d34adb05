package redaction

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// textOf writes the options so that different options give different texts. Strings are written
// as JSON, which YAML reads equally. Lists that are not set are left out.
func textOf(o Options) []byte {
	var b bytes.Buffer
	list := func(indent, name string, items []string) {
		if items != nil {
			fmt.Fprintf(&b, "%s%s: %s\n", indent, name, quoted(items))
		}
	}
	yes := func(indent, name string, set bool) {
		if set {
			fmt.Fprintf(&b, "%s%s: true\n", indent, name)
		}
	}
	detects := false
	for _, r := range o.Rules {
		detects = detects || len(r.Detect) > 0 || r.SecretNames
	}
	fmt.Fprintf(&b, "engine: %d\n", engineVersion)
	if detects {
		fmt.Fprintf(&b, "detectors: %s\n", o.Detectors.Digest())
	}
	if len(o.Rules) == 0 {
		b.WriteString("rules: []\n")
	} else {
		b.WriteString("rules:\n")
	}
	for _, r := range o.Rules {
		fmt.Fprintf(&b, "  - do: %s\n", r.Do)
		if r.Key != "" {
			fmt.Fprintf(&b, "    key: %s\n", quoted(r.Key))
		}
		if r.Keep != 0 {
			fmt.Fprintf(&b, "    keep: %d\n", r.Keep)
		}
		yes("    ", "secret_names", r.SecretNames)
		yes("    ", "texts", r.Texts)
		yes("    ", "shared", r.Shared)
		list("    ", "paths", r.Paths)
		list("    ", "names", r.Names)
		list("    ", "detect", r.Detect)
	}
	list("", "keep_only", o.KeepOnly)
	list("", "json", o.JSON)
	list("", "digests", o.Digests)
	list("", "identifiers", o.Identifiers)
	list("", "except", o.Except)
	list("", "except_names", o.ExceptNames)
	yes("", "key_hashes", o.KeyHashes)
	if o.Separate {
		b.WriteString("pseudonyms: separate\n")
	}
	yes("", "changed_fields", o.ChangedFields)
	if o.OpaqueAll {
		b.WriteString("opaque: mask\n")
	}
	return b.Bytes()
}

func quoted(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings: no error
	return bytes.TrimSpace(b.Bytes())
}
