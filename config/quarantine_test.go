package config

import (
	"strings"
	"testing"

	"auditrelay"
)

func TestQuarantineHasRoomForABody(t *testing.T) {
	for _, row := range []struct {
		text string
		item auditrelay.ByteSize
		want string // in the error
	}{
		{`{}`, 16 << 20, ""},
		{`{limits: {body_bytes: 64MiB}}`, 64 << 20, ""},
		{`{limits: {body_bytes: 1GiB}}`, 128 << 20, ""},
		{`{quarantine: {item: 2MiB, bytes: 2MiB}}`, 2 << 20, ""},
		{`{quarantine: {bytes: 8MiB}}`, 0, "relay.yaml:1:30: ingest.quarantine.bytes: 8MiB are less than one request's body"},
		{`{quarantine: {item: 32MiB, bytes: 16MiB}}`, 0, "relay.yaml:1:29: ingest.quarantine.item: 32MiB are more than"},
		{`{quarantine: {items: 0}}`, 0, "ingest.quarantine.items"},
		{`{quarantine: {item: 256MiB}}`, 0, "ingest.quarantine.item"},
	} {
		c, err := Parse("relay.yaml", []byte("ingest: "+row.text+"\ncallbacks: []"), LoadOptions{})
		switch {
		case row.want != "":
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: got %v\nwant %s", row.text, err, row.want)
			}
		case err != nil || c.Ingest.Quarantine.Item != row.item:
			t.Errorf("%s: %+v, %v", row.text, c, err)
		}
	}
}
