package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/config"
)

// Config is the section ingest.postgres: the relay reads LiteLLM's table as it grows.
type Config struct {
	// URL is the connection string of LiteLLM's database, its DATABASE_URL. The role
	// needs only GRANT SELECT on the table.
	URL auditrelay.Secret `yaml:"url"`
	// Schema is the table's schema. Default: the URL's, otherwise the role's search path.
	Schema string `yaml:"schema"`
	// Table is the name of the table. Default: LiteLLM_AuditLog.
	Table string `yaml:"table"`
	// From selects the rows to read: beginning (all), now (none that exist at the first start)
	// or a time (none with an earlier updated_at). Default: beginning.
	From auditrelay.From `yaml:"from"`
	// Poll is the interval of checks for new rows. Default: 1s.
	Poll time.Duration `yaml:"poll" range:"10ms..1h"`
	// Notify is a channel to LISTEN on. A NOTIFY on it triggers a check for new rows at once.
	// Default: none.
	Notify string `yaml:"notify"`
	// Rate is the maximum number of rows per second, existing rows included. Default:
	// 50000.
	Rate int `yaml:"rate" range:"1..10000000"`
	// Batch is the maximum number of rows that become durable together. Default: 2000.
	Batch int `yaml:"batch" range:"1..10000"`
	// Overlap is how far back, by updated_at, rows are read again after the server failed
	// over or was restored, since transaction numbers may repeat. Known rows are stored
	// once. Default: 24h.
	Overlap time.Duration `yaml:"overlap" range:"1m..365d"`
	// Namespace is the scope of the ids of events that are read here: ids of two namespaces
	// never collide. All inputs of one producer, such as one LiteLLM, need the same namespace.
	// Default: litellm.
	Namespace string `yaml:"namespace"`
}

// Check checks the section ingest.postgres.
func Check(section config.Section, cfg *config.Config) (config.SourceFacts, error) {
	c, err := read(section)
	if most := cfg.Ingest.Limits.Events; most > 0 && c.Batch > most {
		err = errors.Join(err, option("batch", "more than ingest.limits.events, %d", most))
	}
	return config.SourceFacts{}, err
}

// read decodes and checks a section without the rest of the configuration.
func read(section config.Section) (Config, error) {
	var c Config
	errs := []error{section.Decode(&c)}
	if c.URL == "" {
		errs = append(errs, option("url", "it is required: the connection string of LiteLLM's database, as in os.environ/DATABASE_URL"))
	} else if err := CheckURL(c.URL); err != nil {
		errs = append(errs, option("url", "%w", err))
	}
	if err := config.CheckNamespace(c.Namespace); err != nil {
		errs = append(errs, option("namespace", "%w", err))
	}
	for _, name := range []struct{ key, value string }{{"schema", c.Schema}, {"table", c.Table}, {"notify", c.Notify}} {
		if len(name.value) > 63 {
			errs = append(errs, option(name.key, "longer than 63 bytes, as no name in Postgres is"))
		}
	}
	return c, errors.Join(errs...)
}

func option(path, format string, args ...any) error {
	return &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)}
}

// options returns the tail's options.
func (c *Config) options(limitEvents int) Options {
	o := Options{
		URL: c.URL, Schema: c.Schema, Table: cmp.Or(c.Table, DefaultTable), Poll: c.Poll, Rate: c.Rate, Batch: c.Batch,
		FromNow: c.From.Kind == auditrelay.FromNow, FromTime: c.From.Time, Overlap: c.Overlap, Notify: c.Notify, Namespace: c.Namespace,
	}
	if o.Batch == 0 && limitEvents > 0 {
		o.Batch = min(limitEvents, DefaultBatch)
	}
	return o
}
