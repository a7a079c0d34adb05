package kafka

import (
	"fmt"
	"testing"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/sourcetest"
	"auditrelay/runtime"
)

func TestATopicIsASource(t *testing.T) {
	brokers := newBrokers(t, "audit")
	section := func(brokers string) string {
		return "ingest: {kafka: {brokers: [" + brokers + "], topics: {audit: {namespace: litellm}}, plaintext: true, allow_networks: [loopback]}}\n"
	}
	sourcetest.Run(t, sourcetest.Subject{
		New: func(t *testing.T, host *sources.Host, _ *runtime.Runtime) sources.Source {
			t.Helper()
			brokers.clear(t, "audit")
			return NewSource(host)
		},
		Check:      Check(targets),
		Configured: section(brokers.address()),
		Without:    "ingest: {}\n",
		Bad:        section("no-port"),
		Sender:     "audit",
		Silent:     true,
		Send: func(t *testing.T, _ sources.Source, id string) error {
			brokers.produce(t, "audit", 0, fmt.Sprintf(`{"id":%q,"action":"created","table_name":"t","object_id":"o"}`, id))
			return nil
		},
	})
}
