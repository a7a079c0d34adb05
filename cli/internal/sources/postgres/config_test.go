package postgres

import (
	"testing"
	"time"

	"auditrelay/config"
)

// The source uses the maximum of every option that the section accepts.
func TestEveryMaximumOfTheSectionIsKept(t *testing.T) {
	section, err := config.ReadSection("a.yaml", []byte("{url: 'postgres://u@h/d', poll: 1h, rate: 10000000, batch: 10000, overlap: 365d}"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := read(section)
	if err != nil {
		t.Fatal(err)
	}
	o := c.options(1_000_000).withDefaults()
	if o.Poll != time.Hour || o.Rate != 10_000_000 || o.Batch != 10_000 || o.Overlap != 365*24*time.Hour {
		t.Errorf("%+v", o)
	}
}
