package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"

	extism "github.com/extism/go-sdk"
	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"auditrelay"
)

// A peer performs the reference redaction in its own way: mask changed_by_api_key, delete
// updated_values.password, drop blocked events (nil).
type peer struct {
	name  string
	share float64 // share of the guests' events that it gets, since it is that much slower
	one   func(event []byte) ([]byte, error)
	close func()
}

// extismRedact is built from extism/main.c:
//
//	clang --target=wasm32 -mbulk-memory -ffreestanding -O2 -nostdlib -Wl,--no-entry -Wl,--strip-all -o extism/redact.wasm extism/main.c
//
//go:embed extism/redact.wasm
var extismRedact []byte

func peers() ([]peer, error) {
	mapping, err := bloblang.Parse(`root = if this.action == "blocked" { deleted() } else { this.without("updated_values.password") }
root.changed_by_api_key = if this.exists("changed_by_api_key") { "***" } else { deleted() }`)
	if err != nil {
		return nil, fmt.Errorf("bloblang: %w", err)
	}
	ctx := context.Background()
	plugin, err := extism.NewPlugin(ctx, extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: extismRedact}}}, extism.PluginConfig{}, nil)
	if err != nil {
		return nil, fmt.Errorf("extism: %w", err)
	}
	return []peer{
		{name: "gjson and sjson, natively", share: 0.3, one: throughSJSON},
		{name: "encoding/json and a map, natively", share: 0.1, one: throughMap},
		{name: "Bloblang mapping (benthos v4.50.0), called directly, parsing and serialising included", share: 0.1, one: func(event []byte) ([]byte, error) {
			var v any
			if err := json.Unmarshal(event, &v); err != nil {
				return nil, err
			}
			out, err := mapping.Query(v)
			if errors.Is(err, bloblang.ErrRootDeleted) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			return json.Marshal(out)
		}},
		{name: "Extism (Go SDK v1.7.1), C guest, no timeout", share: 0.03, one: func(event []byte) ([]byte, error) {
			_, out, err := plugin.Call("redact", event)
			return out, err
		}, close: func() { _ = plugin.Close(ctx) }},
	}, nil
}

func throughSJSON(event []byte) ([]byte, error) {
	if gjson.GetBytes(event, "action").Str == "blocked" {
		return nil, nil
	}
	out, err := event, error(nil)
	if gjson.GetBytes(out, "changed_by_api_key").Exists() {
		out, err = sjson.SetBytes(out, "changed_by_api_key", "***")
	}
	if err == nil && gjson.GetBytes(out, "updated_values.password").Exists() {
		out, err = sjson.DeleteBytes(out, "updated_values.password")
	}
	return out, err
}

func throughMap(event []byte) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(event, &m); err != nil {
		return nil, err
	}
	if string(m["action"]) == `"blocked"` {
		return nil, nil
	}
	if _, ok := m["changed_by_api_key"]; ok {
		m["changed_by_api_key"] = json.RawMessage(`"***"`)
	}
	if inner := m["updated_values"]; len(inner) > 0 && inner[0] == '{' {
		var values map[string]json.RawMessage
		if err := json.Unmarshal(inner, &values); err != nil {
			return nil, err
		}
		delete(values, "password")
		text, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		m["updated_values"] = text
	}
	return json.Marshal(m)
}

// textPeers are the peers that can edit JSON inside a string. gjson and sjson extract the text,
// edit it and put it back; Bloblang parses and encodes it.
func textPeers() []peer {
	mapping, err := bloblang.Parse(`root = if this.action == "blocked" { deleted() } else { this }
root.changed_by_api_key = if this.exists("changed_by_api_key") { "***" } else { deleted() }
root.updated_values = this.updated_values.parse_json().without("password").format_json(no_indent: true).string()`)
	bloblangText := func(event []byte) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		var v any
		if err := json.Unmarshal(event, &v); err != nil {
			return nil, err
		}
		out, err := mapping.Query(v)
		if errors.Is(err, bloblang.ErrRootDeleted) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
	return []peer{
		{name: "gjson and sjson, natively", share: 0.3, one: textThroughSJSON},
		{name: "encoding/json and a map, natively", share: 0.1, one: textThroughMap},
		{name: "Bloblang mapping (benthos v4.50.0), called directly, parsing and serialising included", share: 0.1, one: bloblangText},
	}
}

func textThroughSJSON(event []byte) ([]byte, error) {
	if gjson.GetBytes(event, "action").Str == "blocked" {
		return nil, nil
	}
	out, err := event, error(nil)
	if gjson.GetBytes(out, "changed_by_api_key").Exists() {
		out, err = sjson.SetBytes(out, "changed_by_api_key", "***")
	}
	if err != nil {
		return nil, err
	}
	values := gjson.GetBytes(out, "updated_values").Str
	if !gjson.Get(values, "password").Exists() {
		return out, nil
	}
	if values, err = sjson.Delete(values, "password"); err != nil {
		return nil, err
	}
	return sjson.SetBytes(out, "updated_values", values)
}

func textThroughMap(event []byte) ([]byte, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(event, &m); err != nil {
		return nil, err
	}
	if string(m["action"]) == `"blocked"` {
		return nil, nil
	}
	if _, ok := m["changed_by_api_key"]; ok {
		m["changed_by_api_key"] = json.RawMessage(`"***"`)
	}
	var text string
	var values map[string]json.RawMessage
	if json.Unmarshal(m["updated_values"], &text) == nil && json.Unmarshal([]byte(text), &values) == nil {
		delete(values, "password")
		inner, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		if m["updated_values"], err = json.Marshal(string(inner)); err != nil {
			return nil, err
		}
	}
	return json.Marshal(m)
}

// check compares a peer with the floor: it must drop the same events, and otherwise return the
// same event, in any order of members.
func (p *peer) check(events []auditrelay.Event, want func([]byte) ([]byte, bool)) error {
	for i := range events[:min(len(events), 200)] {
		got, err := p.one(events[i].Data)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		expected, keep := want(events[i].Data)
		if !keep {
			if len(got) > 0 {
				return fmt.Errorf("%s keeps what the floor drops", p.name)
			}
			continue
		}
		if canonical(got) != canonical(expected) {
			return fmt.Errorf("%s makes something else than the floor:\n%s\n%s", p.name, got, expected)
		}
	}
	return nil
}

func canonical(event []byte) string {
	var v any // compare numbers by value: peers write 100.0 as 100
	if err := json.Unmarshal(event, &v); err != nil {
		return "not JSON: " + string(event)
	}
	if m, ok := v.(map[string]any); ok {
		if text, ok := m["updated_values"].(string); ok { // a peer may encode it differently
			var inner any
			if json.Unmarshal([]byte(text), &inner) == nil {
				m["updated_values"] = inner
			}
		}
	}
	text, _ := json.Marshal(v)
	return string(text)
}

func (p *peer) redact(events []auditrelay.Event, n int) (float64, error) {
	n = max(1, int(float64(n)*p.share))
	begin := cpu()
	for i := range n {
		if _, err := p.one(events[i%len(events)].Data); err != nil {
			return 0, err
		}
	}
	return float64(cpu()-begin) / float64(n), nil
}
