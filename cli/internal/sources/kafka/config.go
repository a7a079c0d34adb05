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

// Config is the section ingest.kafka: topics with one event in each message. The relay commits
// an offset once the message's event is durable. If the group has no offset, it reads a topic
// from its beginning. An event that is read twice is stored once, by its id.
type Config struct {
	// Brokers are the first brokers to contact, as host:port; they name the others. Required.
	Brokers []string `yaml:"brokers"`
	// Topics are the topics to read, by name. They must exist. At least one is required.
	Topics []Topic `yaml:"topics,named"`
	// Group is the consumer group. Relays with separate journals need separate groups;
	// otherwise each gets only a part of the events. Default: auditrelay.
	Group string `yaml:"group"`
	// SessionTimeout is how long the brokers wait for a relay that died. Then other members get
	// its partitions, or the relay itself after a restart. Brokers accept 6s to 30m by default.
	// Default: 10s.
	SessionTimeout time.Duration `yaml:"session_timeout" range:"1s..30m"`
	// SASL authenticates the relay. The user only needs the rights to read the topics and the
	// group. Default: anonymous, or the client certificate's subject.
	SASL brokers.SASL `yaml:"sasl"`
	// Plaintext connects without TLS. Default: false.
	Plaintext bool `yaml:"plaintext"`
	// TLS configures the trusted certificates and the client certificate. Default: the system's
	// roots, no client certificate.
	TLS brokers.TLS `yaml:"tls"`
	// AllowNetworks lists internal networks to which connections are allowed: loopback,
	// private, or prefixes such as 10.1.0.0/16. They also apply to brokers that other brokers
	// name. Default: none.
	AllowNetworks []string `yaml:"allow_networks"`
}

// Topic is one topic.
type Topic struct {
	// Name is the topic's name. It is recorded with every event as the principal.
	Name string `yaml:"-"`
	// Schema is the events' schema: kubernetes, cloudtrail, gitlab, github, okta, vault,
	// keycloak, teleport, or one of ingest.schemas. Default: LiteLLM's.
	Schema string `yaml:"schema"`
	// Namespace is the scope of the events' ids. Default: the schema's.
	Namespace string `yaml:"namespace"`
}

// groupForm is the accepted form of a group's name; Kafka itself accepts any text.
var groupForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// Target is a topic to which a callback delivers.
type Target struct {
	Callback string
	Brokers  []string
	Topic    string
}

// Check returns the check of the section ingest.kafka. targets returns the topics to which
// callbacks deliver. The relay must not read such a topic, since its events would come in
// again, perhaps changed by filters.
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

// schemaOf returns a topic's schema, or nil for LiteLLM's.
func schemaOf(t Topic, cfg *config.Config) *runtime.Schema {
	if t.Schema == "" {
		return nil
	}
	return cfg.SchemaNamed(t.Schema).Compiled()
}

func option(path, format string, args ...any) error {
	return &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)}
}
