package config

import (
	"slices"
	"strings"
)

// What LiteLLM does with the names in audit_log_callbacks, from the source of its versions of
// March to October 2026.

// litellmAudit are the names, besides s3_v2, to which LiteLLM delivers audit events.
var litellmAudit = []string{"azure_sentinel"}

// litellmRequests are the built-in names to which LiteLLM delivers only request logs. They
// silently ignore audit events.
var litellmRequests = []string{
	"agentops", "anthropic_cache_control_hook", "argilla", "arize", "arize_phoenix", "athina", "aws_sqs", "azure_storage", "braintrust", "bitbucket", "cloudzero",
	"custom_callback_api", "datadog", "datadog_cost_management", "datadog_llm_observability", "deepeval", "dotprompt", "dynamic_rate_limiter", "dynamic_rate_limiter_v3", "dynamodb", "email", "focus", "galileo",
	"gcs_bucket", "gcs_pubsub", "generic_api", "gitlab", "greenscale", "helicone", "humanloop", "lago", "langfuse", "langfuse_otel", "langsmith",
	"langtrace", "levo", "literalai", "logfire", "lunary", "mlflow", "openmeter", "opentelemetry", "opik", "otel", "pagerduty", "posthog",
	"prometheus", "promptlayer", "resend_email", "s3", "sendgrid_email", "sentry", "slack_alerting", "smtp_email", "splunk_hec", "sqs", "supabase",
	"traceloop", "vantage", "vector_store_pre_call_hook", "wandb", "weave", "weave_otel", "webhook", "zep",
}

// litellmSinks are the relay's own sinks for the destinations of some of LiteLLM's names.
var litellmSinks = map[string]string{
	"datadog": "datadog", "splunk_hec": "splunk", "webhook": "webhook", "generic_api": "webhook", "custom_callback_api": "webhook", "s3": "s3",
	"azure_sentinel": "sentinel", "azure_storage": "azure_blob", "gcs_bucket": "gcs", "otel": "otlp", "opentelemetry": "otlp",
}

// instead suggests a callback of the relay instead of a name.
func (l *litellm) instead(name string) string {
	sink, has := litellmSinks[name]
	if _, built := l.options.Sinks[sink]; !has || !built && l.options.Sinks != nil {
		sink = "file"
	}
	return "; deliver here with a callback of the relay's own beside LiteLLM's keys, as in callbacks: [{name: archive, filters: [...], sink: {" + sink + ": {...}}}], and take the name out of the list that the relay reads"
}

// unknown explains a name that the relay has no sink for.
func (l *litellm) unknown(entry, name *node, path string) {
	defined := l.definedAt(name)
	switch {
	case slices.Contains(litellmAudit, name.text):
		l.report.add(entry, path, "LiteLLM delivers audit events to %s itself; s3_v2 is the name that the relay answers to%s", name.show(), l.instead(name.text))
	case defined > 0:
		l.report.add(entry, path, "%s is defined under callback_settings (line %d), which LiteLLM does not resolve for audit events: it warns at each and delivers none%s", name.show(), defined, l.instead(name.text))
	case slices.Contains(litellmRequests, name.text):
		l.report.add(entry, path, "LiteLLM delivers request logs alone to %s, which ignores audit events without a word%s", name.show(), l.instead(name.text))
	default:
		l.report.add(entry, path, "nothing answers to the callback %s, neither here nor in LiteLLM: expected %s%s", name.show(), litellmS3,
			hint(name.text, append([]string{litellmS3}, litellmAudit...)))
	}
}

// definedAt returns the line on which callback_settings defines a callback, or 0 if it does
// not.
func (l *litellm) definedAt(name *node) int {
	for i, k := range l.root.keys {
		if k.text != callbackSettings || name.ref != "" {
			continue
		}
		for _, defined := range l.root.items[i].keys {
			if defined.text == name.text {
				return defined.line
			}
		}
	}
	return 0
}

// noCallbacks explains the effect of a file without audit_log_callbacks.
func (l *litellm) noCallbacks(settings *node) {
	for _, key := range []string{"success_callback", "failure_callback", "callbacks"} {
		list := settings.get(key)
		if list == nil {
			continue
		}
		l.report.warn(list, "litellm_settings lists no audit_log_callbacks: %s is for request logs, and LiteLLM sends no audit events there; "+
			"add audit_log_callbacks: [%s] for events, whose parameters are s3_callback_params or, of their own, s3_audit_callback_params", key, litellmS3)
		return
	}
	l.report.info(settings, "litellm_settings lists no audit_log_callbacks")
}

// misspelt names the keys that are meant for audit logs and that LiteLLM does not know. It
// says nothing about them. It also names the relay's own keys that stand in LiteLLM's table.
func (l *litellm) misspelt(settings *node) {
	for _, k := range settings.keys {
		if near := nearest(k.text, auditKeys); near != "" && near != k.text && strings.Contains(k.text, "audit") {
			l.report.warn(k, "litellm_settings.%s is ignored, here and by LiteLLM: did you mean %s?", bounded(k.text), near)
		}
		if k.text == redactionSetting || k.text == storeSetting {
			l.report.warn(k, "litellm_settings.%s is ignored: put %s beside litellm_settings, not inside it", k.text, k.text)
		}
	}
}
