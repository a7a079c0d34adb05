package config

import (
	"testing"
)

func TestParse(t *testing.T) {
	c, err := Parse("relay.yaml", []byte(`
listen: 127.0.0.1:9000
callbacks:
  - name: archive
    when: {action: [deleted, blocked], table_name: LiteLLM_TeamTable}
    sink: {s3: {bucket: b}}
    retain: {age: 30d, then: block}
`), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Callbacks[0].Name != "archive" {
		t.Errorf("got %+v", c)
	}
}
