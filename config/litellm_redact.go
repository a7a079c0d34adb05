package config

// LiteLLM's file has no setting for redaction, and users expect at least the effect of
// LiteLLM's own masker. So its callbacks get the preset and the gate. If a data directory's
// callback delivered unredacted before, it continues to do so: the form of a bucket's data must
// not change without notice to its readers.
const (
	redactionSetting = "litellm_redaction" // the relay's own key in LiteLLM's file
	redactionPreset  = "preset"
	redactionNone    = "none"
	// RedactionKept is Config.Redaction if the data directory decided.
	RedactionKept = "kept"
	// LiteLLMCallback is the name of the callback for audit_log_callbacks of LiteLLM's file.
	LiteLLMCallback = litellmS3
	// redactFilter removes the secrets in LiteLLM's events.
	redactFilter = "litellm-secrets"
)

// redacts decides whether callbacks of LiteLLM's file are redacted, and removes the key that
// sets this from the tree.
func (l *litellm) redacts(native, list *node) bool {
	choice := l.root.get(redactionSetting)
	l.report.redaction = redactionPreset
	if choice.given() {
		l.all(choice, redactionSetting)
		switch choice.scalar() {
		case redactionPreset:
			return true
		case redactionNone:
			l.report.redaction = redactionNone
			return false
		}
		l.report.add(choice, redactionSetting, "found %s, expected preset or none", choice.show())
		return true
	}
	dir := native.get("data_dir").scalar()
	if dir == "" {
		dir = "./data"
	}
	if l.options.KeepsUnredacted != nil {
		var keeps bool
		if keeps, l.warned = l.options.KeepsUnredacted(relative(l.options.Dir, dir)); keeps {
			l.report.redaction = RedactionKept
			return false
		}
	}
	return true
}

// redact adds the filter and the gate to a callback.
func (l *litellm) redact(from, native, cb *node) {
	l.addFilter(from, native, redactFilter)
	at := func(k kind, text string) *node {
		return &node{kind: k, text: text, line: from.line, column: from.column, origin: cb.origin}
	}
	filters, gate, detectors := at(kindList, ""), at(kindMapping, ""), at(kindList, "")
	filters.items = []*node{at(kindString, redactFilter)}
	detectors.items = []*node{at(kindString, "secrets")}
	detectors.comments = []string{"Checked on every outgoing event: one that still contains a secret is held back."}
	gate.put(from, "detectors", detectors)
	// Put before the sink, for readers.
	sink, items := cb.keys[len(cb.keys)-1], cb.items[len(cb.items)-1]
	cb.keys, cb.items = cb.keys[:len(cb.keys)-1], cb.items[:len(cb.items)-1]
	cb.put(from, "filters", filters)
	cb.put(from, "must_not_leave", gate)
	cb.keys, cb.items = append(cb.keys, sink), append(cb.items, items)
}

// saidRedaction adds a note that says whether events are redacted.
func (l *litellm) saidRedaction(native, list *node, redacts bool) {
	switch {
	case redacts:
		l.report.info(list, "what s3_v2 delivers is redacted by preset litellm, and checked for secrets before it leaves (must_not_leave); %s: none beside LiteLLM's keys delivers events as they came", redactionSetting)
	case l.report.redaction == RedactionKept && l.warned:
		l.report.info(list, "s3_v2 delivers events as they came, secrets included, as with this data directory before: see %s", redactionSetting)
	case l.report.redaction == RedactionKept:
		l.report.warn(list, "s3_v2 delivers events as they came, secrets included, since this data directory did so before: %s: preset beside LiteLLM's keys redacts them by preset litellm from now on, %s: none keeps it so", redactionSetting, redactionSetting)
	default:
		l.report.warn(list, "%s is none: s3_v2 delivers events as they came, secrets included", redactionSetting)
	}
}
