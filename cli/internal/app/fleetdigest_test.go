package app

import (
	"testing"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// TestFleetDigest: the configurations of relays in one fleet may differ only in the settings of
// their machines.
func TestFleetDigest(t *testing.T) {
	digest := func(change func(*config.Config)) string {
		cfg := &config.Config{Listen: "10.0.0.1:8787", DataDir: "/a", Tokens: []config.Token{{Name: "boss", Token: "a-token-of-the-boss"}}}
		cfg.Journal.Postgres = config.PostgresJournal{URL: "host=a", Fleet: config.Fleet{Name: "a", Address: "http://a:8787"}}
		change(cfg)
		return fleetDigest(cfg, api.Version{Version: "1"})
	}
	same := digest(func(*config.Config) {})
	for name, change := range map[string]func(*config.Config){
		"addresses": func(c *config.Config) {
			c.Listen, c.Journal.Postgres.Fleet = "10.0.0.2:8787", config.Fleet{Name: "b", Address: "http://b:8787"}
		},
		"paths":          func(c *config.Config) { c.DataDir, c.TLS = "/b", config.TLS{Cert: "b.pem", Key: "b.key"} },
		"way to servers": func(c *config.Config) { c.Journal.Postgres.URL = "host=127.0.0.1 port=6000" },
	} {
		if digest(change) != same {
			t.Errorf("another %s is another configuration", name)
		}
	}
	for name, change := range map[string]func(*config.Config){
		"callback":  func(c *config.Config) { c.Callbacks = []config.Callback{{Name: "one"}} },
		"token":     func(c *config.Config) { c.Tokens[0].Token = auditrelay.Secret("another-token-of-the-boss") },
		"retention": func(c *config.Config) { c.Journal.Retention.Bytes = 1 },
	} {
		if digest(change) == same {
			t.Errorf("another %s is no other configuration", name)
		}
	}
}
