package detect

// pairName reports whether a member or attribute of this name holds the name of a
// value that stands beside it: {"name": "API_TOKEN", "value": ...}.
func pairName(name []byte) bool {
	var room [12]byte
	switch string(folded(room[:0], name)) {
	case "name", "key", "header", "param", "parameter", "variable", "var", "env", "field", "property", "setting", "path", "k", "label", "option", "attribute", "id", "n":
		return true
	}
	return false
}

// valueName reports whether a member or attribute of this name holds such a value.
func valueName(name []byte) bool {
	var room [12]byte
	switch string(folded(room[:0], name)) {
	case "value", "val", "v", "content", "contents", "data", "default", "current", "old", "new", "newvalue", "oldvalue", "new_value", "old_value", "plaintext", "string", "stringvalue", "text":
		return true
	}
	return false
}

// PairName and ValueName are pairName and valueName of a member's decoded key.
func PairName(key []byte) bool { return pairName(key) }

// ValueName reports whether a member holds the value of a pair.
func ValueName(key []byte) bool { return valueName(key) }

func folded(dst, b []byte) []byte {
	if len(b) > cap(dst) {
		return nil
	}
	for _, c := range b {
		dst = append(dst, fold(c))
	}
	return dst
}
