package config

// A file of LiteLLM's says nothing of redaction, and people who give it to the relay
// expect at least what LiteLLM's own masker does. So its callbacks get the preset and the
// gate. A data directory whose callback delivered unredacted before goes on so: what a
// bucket holds must not change its form behind its readers' backs.
const (
	redactionSetting = "litellm_redaction" // our own key beside LiteLLM's
	redactionPreset  = "preset"
	redactionNone    = "none"
	// RedactionKept is Config.Redaction where the data directory decided.
	RedactionKept = "kept"
	// LiteLLMCallback is the callback that audit_log_callbacks of LiteLLM's file makes.
	LiteLLMCallback = litellmS3
	// redactFilter takes out what LiteLLM's events hold of secrets.
	redactFilter = "litellm-secrets"
)

// redacts decides whether callbacks of LiteLLM's file are redacted, and takes the key
// that may say so out of the tree.
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

// redact gives a callback the filter and the gate.
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
	// Before the sink, as one reads it.
	sink, items := cb.keys[len(cb.keys)-1], cb.items[len(cb.items)-1]
	cb.keys, cb.items = cb.keys[:len(cb.keys)-1], cb.items[:len(cb.items)-1]
	cb.put(from, "filters", filters)
	cb.put(from, "must_not_leave", gate)
	cb.keys, cb.items = append(cb.keys, sink), append(cb.items, items)
}

// saidRedaction says what leaves.
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
