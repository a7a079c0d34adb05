package config

import (
	"time"

	"auditrelay"
)

// Postgres is LiteLLM's table, read as it grows.
type Postgres struct {
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

// postgres checks the table that is tailed. It is never a store's: that has tables of
// its own, in a schema of its own.
func (c checker) postgres() {
	p := c.Ingest.Postgres
	if p == nil {
		return
	}
	if p.URL == "" {
		c.bad(at("ingest", "postgres", "url"), "it is required: the connection string of LiteLLM's database, as in os.environ/DATABASE_URL")
	} else if c.options.Postgres != nil {
		if err := c.options.Postgres(p.URL); err != nil {
			c.report.addError(c.in("ingest", "postgres", "url"), "ingest.postgres.url", err)
		}
	}
	for _, name := range []struct{ key, value string }{{"schema", p.Schema}, {"table", p.Table}, {"notify", p.Notify}} {
		if len(name.value) > 63 {
			c.bad(at("ingest", "postgres", name.key), "longer than 63 bytes, as no name in Postgres is")
		}
	}
	if most := c.Ingest.Limits.Events; most > 0 && p.Batch > most {
		c.bad(at("ingest", "postgres", "batch"), "more than ingest.limits.events, %d", most)
	}
}
