package main

import (
	"fmt"
	"strings"
)

// rows returns the rows of the sink-hole's table. The two without a sink come first. Then each
// of our sinks is followed by the peer's output for the same protocol, if its core has one or
// http_client with a mapping can write it.
func (h *hole) rows(ours, peer, postgres string) []*sinkRow {
	mine := func(name, sink string) *sinkRow {
		return &sinkRow{name: "auditrelay, " + name, ours: true, make: func(dir string) (*system, error) { return relayTo(ours, dir, sink) }}
	}
	theirs := func(name, output string) *sinkRow {
		return &sinkRow{name: "Benthos, " + name, base: 1, make: func(dir string) (*system, error) { return benthosTo(peer, dir, output) }}
	}
	way := []*sinkRow{
		{name: "auditrelay, a whole way", ours: true, way: true, make: func(dir string) (*system, error) { return relayWith(ours, dir, ourWay) }},
		{name: "Benthos, a whole way", way: true, make: func(dir string) (*system, error) { return benthosWith(peer, dir, theirWay) }},
	}
	rows := []*sinkRow{mine("no sink", ""), theirs("no sink (drop)", "drop: {}")}
	rows[0].floor, rows[1].floor = true, true
	rows = append(rows, h.collectors(mine, theirs)...)
	rows = append(rows, h.clouds(mine, theirs)...)
	rows = append(rows,
		mine("file", `file: {path: out/audit.ndjson}`),
		theirs("file", "file: {path: DIR/audit.ndjson, codec: lines}"),
		mine("stdout", `stdout: {}`),
		theirs("stdout", "stdout: {codec: lines}"),
		mine("sqlite", `sqlite: {path: out/audit.db}`))
	if postgres != "" {
		rows = append(rows, mine("postgres", fmt.Sprintf(`postgres: {url: %q}`, postgres)))
	}
	return append(rows, way...)
}

// The whole way of each system: drop one action, mask a field, delete another one inside a text
// with JSON, and write the rest to a file.
const (
	ourWay = `
filters: {edit: {redact: {rules: [{paths: [changed_by_api_key], do: mask}, {paths: [updated_values.password], do: remove}]}}}
callbacks:
  - {name: c, when: {action: [created, updated, deleted]}, filters: [edit], sink: {file: {path: out/audit.ndjson}}}
`
	theirWay = `
pipeline:
  processors:
    - mapping: 'root = if this.action == "blocked" { deleted() }'
    - mapping: |
        root = this
        root.changed_by_api_key = "***"
        root.updated_values = this.updated_values.parse_json().without("password").format_json(no_indent: true).string()
output: {file: {path: DIR/audit.ndjson, codec: lines}}
`
)

type row func(name, configuration string) *sinkRow

// guard lets our sinks connect to this machine.
const guard = `http: {allow_networks: [loopback], proxy: none}`

// httpClient returns the peer's output that posts requests of 1,000 events. processors turn
// each batch into one message.
func (h *hole) httpClient(path, processors string) string {
	return fmt.Sprintf(`http_client: {url: %q, verb: POST, max_in_flight: 4, batch_as_multipart: false, batching: {count: 1000, period: 1s, processors: [%s]}}`, h.server.URL+path, processors)
}

// collectors returns the sinks for log stores and collectors.
func (h *hole) collectors(mine, theirs row) []*sinkRow {
	url := h.server.URL
	return []*sinkRow{
		mine("webhook, array", fmt.Sprintf(`webhook: {url: %q, body: array, %s}`, url+"/hook", guard)),
		theirs("http_client, json_array", h.httpClient("/hook", `{archive: {format: json_array}}`)),
		mine("datadog", fmt.Sprintf(`datadog: {url: %q, api_key: k, %s}`, url, guard)),
		theirs("http_client, as Datadog wants it", h.httpClient("/api/v2/logs", `{mapping: 'root = {"ddsource": "b", "message": content().string()}'}, {archive: {format: json_array}}`)),
		mine("splunk", fmt.Sprintf(`splunk: {url: %q, token: t, %s}`, url, guard)),
		theirs("http_client, as HEC wants it", h.httpClient("/services/collector/event", `{mapping: 'root = {"event": this, "sourcetype": "_json"}'}, {archive: {format: lines}}`)),
		mine("elastic", fmt.Sprintf(`elastic: {url: %q, index: audit, %s}`, url, guard)),
		theirs("http_client, as the bulk API wants it", h.httpClient("/audit/_bulk", `{mapping: 'root = "{\"create\":{}}\n" + content().string()'}, {archive: {format: lines}}`)),
		mine("otlp", fmt.Sprintf(`otlp: {url: %q, %s}`, url, guard)),
		theirs("http_client, OTLP in JSON", h.httpClient("/v1/logs", `{mapping: 'root = {"body": {"stringValue": content().string()}}'}, {archive: {format: json_array}}, {mapping: 'root = {"resourceLogs": [{"scopeLogs": [{"logRecords": this}]}]}'}`)),
		mine("syslog, TCP", fmt.Sprintf(`syslog: {address: %q, plaintext: true, allow_networks: [loopback]}`, h.stream.Addr())),
		theirs("socket, lines over TCP", fmt.Sprintf(`socket: {network: tcp, address: %q, codec: lines}`, h.stream.Addr())),
		mine("kafka", fmt.Sprintf(`kafka: {brokers: [%s], topic: %s, plaintext: true, allow_networks: [loopback]}`, strings.Join(h.kafka.ListenAddrs(), ", "), topic)),
	}
}

// clouds returns the sinks for the clouds' stores and services.
func (h *hole) clouds(mine, theirs row) []*sinkRow {
	url := h.server.URL
	const rule, stream = "dcr-0123456789abcdef0123456789abcdef", "Custom-AuditRelay_CL"
	return []*sinkRow{
		mine("s3", fmt.Sprintf(`s3: {bucket: audit, endpoint: %q, region: us-east-1, addressing: path, credentials: {access_key_id: a, secret_access_key: s}}`, url)),
		mine("gcs", fmt.Sprintf(`gcs: {bucket: audit, url: %q, anonymous: true, %s}`, url, guard)),
		mine("azure_blob", fmt.Sprintf(`azure_blob: {account_url: %q, container: audit, account_key: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==", %s}`, url+"/devstoreaccount1", guard)),
		mine("sentinel", fmt.Sprintf(`sentinel: {url: %[1]q, rule: %[2]s, stream: %[3]s, tenant_id: tenant.example, client_id: app, client_secret: s, authority: %[1]q, %[4]s}`, url, rule, stream, guard)),
		theirs("http_client, as Sentinel wants it", h.httpClient("/dataCollectionRules/"+rule+"/streams/"+stream, `{mapping: 'root = {"TimeGenerated": this.updated_at, "Event": this}'}, {archive: {format: json_array}}`)),
		mine("secops", fmt.Sprintf(`secops: {url: %q, project: project-1, location: us, instance: 01234567-89ab-cdef-0123-456789abcdef, log_type: AUDITRELAY, credentials_file: %q, %s}`, url, h.key, guard)),
		theirs("http_client, as SecOps wants it", h.httpClient("/logs:import", `{mapping: 'root = {"data": content().encode("base64"), "logEntryTime": this.updated_at}'}, {archive: {format: json_array}}, {mapping: 'root = {"inlineSource": {"logs": this}}'}`)),
	}
}
