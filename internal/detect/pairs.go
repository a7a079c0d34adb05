package detect

// pairName reports whether a member or attribute of this name contains the name of a
// neighbouring value: {"name": "API_TOKEN", "value": ...}.
func pairName(name []byte) bool {
	var room [16]byte
	name = marked(name)
	switch string(folded(room[:0], name)) {
	case "parameterkey", "parameter_key", "attributekey", "attribute_key", "settingkey", "setting_key", "optionkey", "option_key", "propertykey", "property_key", "title", "configkey", "config_key", "fieldkey", "field_key", "paramkey", "param_key", "envkey", "env_key", "variablekey", "variable_key", "tagkey", "tag_key",
		"name", "key", "header", "type", "kind", "question", "prompt", "param", "parameter", "variable", "var", "env", "field", "property", "setting", "path", "k", "label", "option", "attribute", "id", "n":
		return true
	}
	return endsInWord(name, "name")
}

// endsInWord reports whether the last of several words in a name is word: param_name, varName.
func endsInWord(name []byte, word string) bool {
	at := len(name) - len(word)
	if at < 2 || fold(name[at]) != word[0] || string(name[at+1:]) != word[1:] {
		return false
	}
	return name[at] != word[0] || name[at-1] == '_' || name[at-1] == '-'
}

// valueName reports whether a member or attribute of this name contains such a value.
func valueName(name []byte) bool {
	var room [16]byte
	name = marked(name)
	switch string(folded(room[:0], name)) {
	case "value", "values", "answer", "example", "raw", "val", "v", "content", "contents", "data", "default", "current", "old", "new", "newvalue", "oldvalue", "new_value", "old_value", "from", "to", "before", "after", "previous", "newval", "oldval", "new_val", "old_val", "plaintext", "string", "stringvalue", "text", "lhs", "rhs", "response":
		return true
	case "before_value", "updated_values": // of LiteLLM, for a whole row
		return false
	}
	return endsInWord(name, "value")
}

// marked returns a name without the sign that XML converters put before attributes and
// contents: @key, #text.
func marked(name []byte) []byte {
	if len(name) > 1 && (name[0] == '@' || name[0] == '#') {
		return name[1:]
	}
	return name
}

// PairName is pairName for a member's decoded key.
func PairName(key []byte) bool { return pairName(key) }

// ValueName reports whether a member contains the value of a pair.
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
