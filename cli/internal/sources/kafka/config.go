package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/kafka/brokers"
	"auditrelay/config"
	"auditrelay/runtime"
)

// The defaults.
const (
	defaultGroup   = "auditrelay"
	defaultSession = 10 * time.Second
)

// Config is the section ingest.kafka: topics whose messages are events, a message each. Their
// offsets are committed once the events are durable. A topic is read from its beginning where
// the group has no offset; what is read twice is stored once, by its id.
type Config struct {
	// Brokers to begin with, as host:port; they name the others. Required.
	Brokers []string `yaml:"brokers"`
	// Topics to read, by name. They must exist. At least one is required.
	Topics []Topic `yaml:"topics,named"`
	// Group is the consumer group. Relays with journals of their own need one each, or each
	// gets a part of the events. Default: auditrelay.
	Group string `yaml:"group"`
	// SessionTimeout is how long the brokers wait for a relay that died. Then other members
	// get its partitions, or it itself after a restart. Brokers take 6s to 30m unless they
	// are set up otherwise. Default: 10s.
	SessionTimeout time.Duration `yaml:"session_timeout" range:"1s..30m"`
	// SASL says who the relay is. That user needs to read the topics and the group, and no
	// more. Default: anonymous, or the client certificate's subject.
	SASL brokers.SASL `yaml:"sasl"`
	// Plaintext connects without TLS. Default: false.
	Plaintext bool `yaml:"plaintext"`
	// TLS says whom to trust and who to be. Default: the system's roots, no client
	// certificate.
	TLS brokers.TLS `yaml:"tls"`
	// AllowNetworks are networks of the inside that may be connected to: loopback, private,
	// or prefixes such as 10.1.0.0/16. It holds for brokers that others name, too. Default:
	// none.
	AllowNetworks []string `yaml:"allow_networks"`
}

// Topic is one topic.
type Topic struct {
	// Name is the topic's. It is recorded with every event as the principal.
	Name string `yaml:"-"`
	// Schema is the events' schema: kubernetes, cloudtrail, gitlab, github, okta, vault,
	// keycloak, teleport, or one of ingest.schemas. Default: LiteLLM's.
	Schema string `yaml:"schema"`
	// Namespace is where the ids of the events count. Default: the schema's.
	Namespace string `yaml:"namespace"`
}

// groupForm is what we take for the name of a group; Kafka itself takes any text.
var groupForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// Target is where a callback delivers to.
type Target struct {
	Callback string
	Brokers  []string
	Topic    string
}

// Check returns the check of the section ingest.kafka. targets returns where callbacks deliver
// to topics: from one that is read their events would come in again, perhaps changed by
// filters.
func Check(targets func(*config.Config) []Target) config.SourceCheck {
	return func(section config.Section, cfg *config.Config) (config.SourceFacts, error) {
		c, _, err := read(section, cfg)
		errs := []error{err}
		facts := config.SourceFacts{Schemas: map[string]string{}, Warnings: map[string]string{}}
		for _, t := range c.Topics {
			if t.Schema != "" {
				facts.Schemas[t.Name] = t.Schema
			}
			for _, to := range targets(cfg) {
				if to.Topic == t.Name && slices.ContainsFunc(to.Brokers, func(broker string) bool { return slices.Contains(c.Brokers, broker) }) {
					errs = append(errs, option("topics."+t.Name, "callback %s delivers to this topic: its events would come in again", to.Callback))
				}
			}
		}
		if c.Plaintext {
			facts.Warnings["plaintext"] = "is on: events pass in clear text"
		}
		return facts, errors.Join(errs...)
	}
}

// read decodes and checks a section.
func read(section config.Section, cfg *config.Config) (Config, *brokers.Access, error) {
	var c Config
	errs := []error{section.Decode(&c)}
	access, err := brokers.Connection{Brokers: c.Brokers, SASL: c.SASL, Plaintext: c.Plaintext, TLS: c.TLS, AllowNetworks: c.AllowNetworks}.Access()
	errs = append(errs, err)
	if len(c.Topics) == 0 {
		errs = append(errs, option("topics", "it is required, as in topics: {litellm-audit: {}}"))
	}
	for _, t := range c.Topics {
		path := "topics." + t.Name
		if !brokers.ValidTopic(t.Name) {
			errs = append(errs, option(path, "not a topic's name: expected letters, digits, dots, - and _"))
		}
		if t.Schema != "" && cfg.SchemaNamed(t.Schema) == nil {
			errs = append(errs, option(path+".schema", "there is no schema of this name; define it under ingest.schemas, or use one of %s", strings.Join(config.SchemaNames(), ", ")))
		}
		if err := config.CheckNamespace(t.Namespace); err != nil {
			errs = append(errs, option(path+".namespace", "%w", err))
		}
	}
	c.Group, c.SessionTimeout = cmp.Or(c.Group, defaultGroup), cmp.Or(c.SessionTimeout, defaultSession)
	if !groupForm.MatchString(c.Group) {
		errs = append(errs, option("group", "expected letters, digits, dots, - and _"))
	}
	return c, access, errors.Join(errs...)
}

// schemaOf is a topic's, nil for LiteLLM's.
func schemaOf(t Topic, cfg *config.Config) *runtime.Schema {
	if t.Schema == "" {
		return nil
	}
	return cfg.SchemaNamed(t.Schema).Compiled()
}

func option(path, format string, args ...any) error {
	return &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)}
}
