package app

import (
	kafkasink "auditrelay/builtin/kafka"
	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/kafka"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/cli/internal/sources/s3"
	"auditrelay/cli/internal/sources/socket"
	"auditrelay/config"
)

// sourceKind is an input with its own section under ingest.
type sourceKind struct {
	key   string
	check config.SourceCheck
	make  func(*sources.Host) sources.Source
}

// sourceKinds returns all of them, except POST /v1/events, which belongs to the server, and
// ingest.sockets, which belongs to the configuration.
func sourceKinds() []sourceKind {
	return []sourceKind{
		{"kafka", kafka.Check(kafkaTargets), func(h *sources.Host) sources.Source { return kafka.NewSource(h) }},
		{"postgres", postgres.Check, func(h *sources.Host) sources.Source { return postgres.NewSource(h) }},
		{"s3", s3.Check, func(h *sources.Host) sources.Source { return s3.NewSource(h, s3Places) }},
	}
}

// kafkaTargets returns the topics to which callbacks deliver.
func kafkaTargets(cfg *config.Config) (all []kafka.Target) {
	for i := range cfg.Callbacks {
		one := &cfg.Callbacks[i]
		var to kafkasink.Options
		if one.Sink.Type == "kafka" && one.Sink.Options.Decode(&to) == nil { // errors are reported elsewhere
			all = append(all, kafka.Target{Callback: one.Name, Brokers: to.Brokers, Topic: to.Topic})
		}
	}
	return all
}

func sourceChecks() map[string]config.SourceCheck {
	checks := map[string]config.SourceCheck{}
	for _, k := range sourceKinds() {
		checks[k.key] = k.check
	}
	return checks
}

func newSources(h *sources.Host) sources.Set {
	var all sources.Set
	for _, k := range sourceKinds() {
		all = append(all, k.make(h))
	}
	return append(all, socket.NewSource(h))
}
