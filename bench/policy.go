package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/config"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/gate"
	"auditrelay/internal/receipts"
	"auditrelay/internal/test/corpus"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// policyGroup measures the presets of the native filter, including serialisation, and shows
// what they and other ways of masking miss.
func policyGroup(n int) error {
	if err := leaks(max(len(corpus.Kinds())*100, n/20)); err != nil {
		return err
	}
	events := make([]auditrelay.Event, 1000)
	for i := range events {
		events[i].Data = corpus.AppendReference(nil, uint64(i))
	}
	rows := []*row{
		{name: "floors.RedactScan", measure: func(int) (float64, error) { return scan(events, n), nil }},
		{name: "floors.RedactScan again (the noise)", measure: func(int) (float64, error) { return scan(events, n), nil }},
	}
	for _, name := range redact.Presets() {
		p, err := openPreset(name)
		if err != nil {
			return err
		}
		rows = append(rows, &row{name: "preset " + name, measure: func(int) (float64, error) { return p.redact(events, n/4) }})
	}
	gateRow, err := gated(events, n/4)
	if err != nil {
		return err
	}
	receiptRow, err := receipted(events, n/4)
	if err != nil {
		return err
	}
	rows = append(rows, gateRow, receiptRow)
	hostile := []auditrelay.Event{{Data: hostileEvent(1 << 20)}}
	if err := interleave(rows); err != nil {
		return err
	}
	table("The native filter, detectors and serialising included, 0.86 KB events", "ns/event", rows)

	half := []auditrelay.Event{{Data: hostileEvent(1 << 19)}}
	p, err := openPreset("litellm")
	if err != nil {
		return err
	}
	large := []*row{
		{name: "0.5 MB", measure: func(int) (float64, error) { v, err := p.redact(half, 4); return v / float64(len(half[0].Data)), err }},
		{name: "1 MB", measure: func(int) (float64, error) {
			v, err := p.redact(hostile, 4)
			return v / float64(len(hostile[0].Data)), err
		}},
	}
	if err := interleave(large); err != nil {
		return err
	}
	table("Preset litellm on hostile events: prefixes of secrets, one after the other", "ns/byte", large)
	return nil
}

// hostileEvent is full of texts that begin like a secret but are none.
func hostileEvent(size int) []byte {
	b := []byte(`{"id":"1","action":"created","updated_values":{"note":"`)
	parts := []string{"sk-", "eyJ", "://a:", "AKIA", "-----BEGIN ", "ghp_", "password=", "Bearer ", "@", "xoxb-"}
	for i := 0; len(b) < size; i++ {
		b = append(b, parts[i%len(parts)]...)
	}
	return append(b, `"}}`...)
}

// preset is the native filter in the form used by an engine worker.
type preset struct {
	instance filter.Instance
	document document.Document
	out      []byte
}

func openPreset(name string) (*preset, error) {
	text, err := redact.Preset(name)
	if err != nil {
		return nil, err
	}
	section, err := config.ReadSection(name, text)
	if err != nil {
		return nil, err
	}
	var o redact.Options
	if err := section.Decode(&o); err != nil {
		return nil, err
	}
	f, err := redact.New(o, nil)
	if err != nil {
		return nil, err
	}
	instance, err := f.Open(context.Background())
	return &preset{instance: instance}, err
}

func (p *preset) one(call *filter.Call, e *auditrelay.Event) error {
	p.document.Reset(e.Data)
	*call = filter.Call{Event: e, Document: &p.document}
	if _, err := p.instance.Apply(context.Background(), call); err != nil {
		return err
	}
	p.out = p.document.Append(p.out[:0])
	return nil
}

func (p *preset) redact(events []auditrelay.Event, n int) (float64, error) {
	call := new(filter.Call)
	begin := cpu()
	for i := range n {
		if err := p.one(call, &events[i%len(events)]); err != nil {
			return 0, err
		}
	}
	return float64(cpu()-begin) / float64(n), nil
}

// gated measures the additional cost of gate (a) for events that pass.
func gated(events []auditrelay.Event, n int) (*row, error) {
	g, err := gate.New(gate.Options{Detectors: []string{"secrets"}, Paths: []string{"**.~password"}})
	if err != nil {
		return nil, err
	}
	p, err := openPreset("litellm")
	if err != nil {
		return nil, err
	}
	clean := make([][]byte, len(events))
	for i := range events {
		if err := p.one(new(filter.Call), &events[i]); err != nil {
			return nil, err
		}
		clean[i] = bytes.Clone(p.out)
	}
	inspector := g.Inspector()
	return &row{name: "the gate: detectors secrets, one path", measure: func(int) (float64, error) {
		begin := cpu()
		for i := range n {
			if err := inspector.Document(clean[i%len(clean)]); err != nil {
				return 0, err
			}
		}
		return float64(cpu()-begin) / float64(n), nil
	}}, nil
}

// receipted measures the cost of receipts: two digests per event, and its share of a frame.
func receipted(events []auditrelay.Event, n int) (*row, error) {
	codec, err := receipts.NewCodec()
	if err != nil {
		return nil, err
	}
	digester := receipts.NewDigester([]byte("0123456789abcdef0123456789abcdef"))
	trail := receipts.Trail{{Filter: "no-secrets", Description: filter.Description{Kind: "redact", Digest: strings.Repeat("0", 64)},
		Touched: []filter.Touch{{Path: "~*_api_key", Operation: "mask", Count: 1}}}}
	chunk := make([]receipts.Receipt, 0, 10_000)
	return &row{name: "a receipt: two digests, its share of a frame", measure: func(int) (float64, error) {
		begin := cpu()
		for i := range n {
			e := &events[i%len(events)]
			chunk = append(chunk, receipts.Receipt{Sequence: uint64(i + 1), Outcome: auditrelay.Delivered, Trail: trail,
				Input: digester.Of(sha256.Sum256(e.Data)), Output: digester.Of(sha256.Sum256(e.Data))})
			if len(chunk) == cap(chunk) || i == n-1 {
				codec.Encode(strings.Repeat("0", 64), chunk).Seal(time.Unix(0, 0))
				chunk = chunk[:0]
			}
		}
		return float64(cpu()-begin) / float64(n), nil
	}}, nil
}

// A masker is somebody's way to make an event safe.
type masker struct {
	name string
	mask func(event []byte) ([]byte, error)
}

// leaks counts how many of n planted secrets occur in the output of each masker, in any
// encoding.
func leaks(n int) error {
	all, err := maskers()
	if err != nil {
		return err
	}
	fmt.Printf("\nOf %d secrets planted in %d kinds of places, let through\n", n, len(corpus.Kinds()))
	for _, m := range all {
		g := corpus.New(5)
		g.Plant(1)
		var secrets corpus.Secrets
		var out bytes.Buffer
		for range n {
			e := g.Next()
			secrets.Add(e.Planted...)
			masked, err := m.mask(e.Data)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			out.Write(masked)
			out.WriteByte('\n')
		}
		kinds := map[string]bool{}
		hits := corpus.Search(out.Bytes(), &secrets)
		for _, hit := range hits {
			kinds[hit.Plant.Kind] = true
		}
		fmt.Printf("  %-60s %6d of %d, %2d kinds\n", m.name, len(hits), secrets.Len(), len(kinds))
	}
	return nil
}

var keyList = []string{"password", "passwd", "secret", "token", "access_token", "api_key", "apikey", "client_secret", "private_key", "credentials", "authorization"}

func maskers() ([]masker, error) {
	mapping, err := bloblang.Parse(`map mask {
  root = match {
    this.type() == "object" => this.map_each(item -> if ["` + strings.Join(keyList, `","`) + `"].contains(item.key.lowercase()) { "***" } else { item.value.apply("mask") })
    this.type() == "array" => this.map_each(item -> item.apply("mask"))
    this.type() == "string" && (this.has_prefix("{") || this.has_prefix("[")) => this.parse_json().apply("mask").format_json(no_indent: true).string().catch(this)
    _ => this
  }
}
root = this.apply("mask")`)
	if err != nil {
		return nil, fmt.Errorf("bloblang: %w", err)
	}
	litellm, err := openPreset("litellm")
	if err != nil {
		return nil, err
	}
	return []masker{
		{"nothing", func(event []byte) ([]byte, error) { return event, nil }},
		{"LiteLLM's audit masker (imitated)", auditMasker},
		{"LiteLLM's redactor of logs (imitated), over the event's text", redactor},
		{"a list of keys, on the event as JSON", func(event []byte) ([]byte, error) {
			return throughTree(event, false, func(key string, _ any) any {
				for _, k := range keyList {
					if strings.EqualFold(k, key) {
						return "***"
					}
				}
				return nil
			})
		}},
		{"the same list in a Bloblang mapping that parses strings", func(event []byte) ([]byte, error) {
			var v any
			if err := json.Unmarshal(event, &v); err != nil {
				return nil, err
			}
			out, err := mapping.Query(v)
			if err != nil {
				return nil, err
			}
			return json.Marshal(out)
		}},
		{"preset litellm", func(event []byte) ([]byte, error) {
			err := litellm.one(new(filter.Call), &auditrelay.Event{Data: event})
			return litellm.out, err
		}},
	}, nil
}

// throughTree masks the members of an event for which mask returns a value. With parse it also
// masks inside text values of before_value and updated_values, which LiteLLM masks before
// encoding them.
func throughTree(event []byte, parse bool, mask func(key string, v any) any) ([]byte, error) {
	var v any
	if err := json.Unmarshal(event, &v); err != nil {
		return nil, err
	}
	var walk func(v any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for key, value := range v {
				if m := mask(key, value); m != nil {
					v[key] = m
					continue
				}
				text, ok := value.(string)
				var inner any
				if ok && parse && (key == "before_value" || key == "updated_values") && json.Unmarshal([]byte(text), &inner) == nil {
					b, err := json.Marshal(walk(inner))
					if err == nil {
						v[key] = string(b)
					}
					continue
				}
				v[key] = walk(value)
			}
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		}
		return v
	}
	return json.Marshal(walk(v))
}
