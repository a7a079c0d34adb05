package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/config"
)

// Config is the section ingest.postgres: LiteLLM's table, read as it grows.
type Config struct {
	// URL of LiteLLM's database, as its DATABASE_URL, with a role that may read the
	// table: GRANT SELECT is all that it needs.
	URL auditrelay.Secret `yaml:"url"`
	// Schema of the table. Default: that of the URL, else the role's search path.
	Schema string `yaml:"schema"`
	// Table is its name. Default: LiteLLM_AuditLog.
	Table string `yaml:"table"`
	// From says which rows are taken: beginning (all), now (none that are there at the
	// first start) or a time (none whose updated_at is before). Default: beginning.
	From auditrelay.From `yaml:"from"`
	// Poll is how often new rows are looked for. Default: 1s.
	Poll time.Duration `yaml:"poll" range:"10ms..1h"`
	// Notify is a channel to LISTEN on: a NOTIFY there has new rows looked for at once.
	// Default: none.
	Notify string `yaml:"notify"`
	// Rate is the most rows taken in a second, the past included. Default: 50000.
	Rate int `yaml:"rate" range:"1..10000000"`
	// Batch is the most rows that become durable together. Default: 2000.
	Batch int `yaml:"batch" range:"1..10000"`
	// Overlap is how far back rows are read again, by their updated_at, where the
	// server failed over or was restored and may have numbered transactions anew; what
	// is known is stored once. Default: 24h.
	Overlap time.Duration `yaml:"overlap" range:"1m..365d"`
}

// Check checks the section ingest.postgres.
func Check(section config.Section, cfg *config.Config) (config.SourceFacts, error) {
	c, err := read(section)
	if most := cfg.Ingest.Limits.Events; most > 0 && c.Batch > most {
		err = errors.Join(err, option("batch", "more than ingest.limits.events, %d", most))
	}
	return config.SourceFacts{}, err
}

// read decodes and checks a section by itself.
func read(section config.Section) (Config, error) {
	var c Config
	errs := []error{section.Decode(&c)}
	if c.URL == "" {
		errs = append(errs, option("url", "it is required: the connection string of LiteLLM's database, as in os.environ/DATABASE_URL"))
	} else if err := CheckURL(c.URL); err != nil {
		errs = append(errs, option("url", "%w", err))
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

// options are the tail's.
func (c *Config) options(limitEvents int) Options {
	o := Options{
		URL: c.URL, Schema: c.Schema, Table: cmp.Or(c.Table, DefaultTable), Poll: c.Poll, Rate: c.Rate, Batch: c.Batch,
		FromNow: c.From.Kind == auditrelay.FromNow, FromTime: c.From.Time, Overlap: c.Overlap, Notify: c.Notify,
	}
	if o.Batch == 0 && limitEvents > 0 {
		o.Batch = min(limitEvents, DefaultBatch)
	}
	return o
}
