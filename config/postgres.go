package config

// maxSchema leaves room for the names of sessions, which the server cuts at 63 bytes.
const maxSchema = 40

func (c checker) journalOnPostgres() {
	p := &c.Journal.Postgres
	section := c.in("journal", "postgres")
	if c.in("journal").get("postgres") == nil || section.kind != kindMapping {
		return
	}
	switch url := section.get("url"); {
	case !url.given():
		c.bad(at("journal", "postgres", "url"), "it is required: the connection string of the server, from a file or the environment")
	case url.kind == kindString && !url.unset && c.options.JournalURL != nil:
		if err := c.options.JournalURL(p.URL); err != nil {
			c.bad(at("journal", "postgres", "url"), "%v", err)
		}
	}
	if len(p.Schema) > maxSchema {
		c.bad(at("journal", "postgres", "schema"), "found a name of %d bytes, expected at most %d", len(p.Schema), maxSchema)
	}
	if c.Proofs.Key == "" && c.Proofs.KMS.URL == "" && c.root.get("proofs").get("key") == nil {
		c.report.warn(section, "journal.postgres without proofs.key: the key that signs proofs is made in data_dir, so that another machine signs with another one; set proofs.key")
	}
	if c.in("journal").get("reserve") != nil {
		c.bad(at("journal", "reserve"), "the journal is on Postgres, whose disk the relay does not see; remove it, and bound the journal with journal.quota")
	}
}
