package config

import (
	"net"
	"net/url"
	"reflect"
)

// SourceCheck checks the section of an input, as a sink's maker checks its options. It returns
// facts for checking the rest of the configuration. Section.Explain adds the places of its
// errors.
type SourceCheck func(Section, *Config) (SourceFacts, error)

// SourceFacts are the facts about an input that the rest of the configuration depends on.
type SourceFacts struct {
	// Listen is the address of the source's own listener, host:port. No sink may deliver there.
	// It is empty if there is none.
	Listen string
	// SendsTo has the endpoints that the source sends to, by option.
	SendsTo map[string]string
	// Schemas names the schemas of its senders, by principal. It omits LiteLLM's schema.
	Schemas map[string]string
	// Warnings are for the operator, by option.
	Warnings map[string]string
}

// Sender identifies the sender of events.
type Sender struct{ Kind, Principal string }

// decodeNode stores the keys for which Ingest has no field as sections of inputs.
func (i *Ingest) decodeNode(d *decoder, n *node, path string) {
	type fields Ingest
	v := reflect.ValueOf((*fields)(i)).Elem()
	if n.kind != kindMapping {
		d.expected(n, path, "a mapping")
		return
	}
	own := *n
	own.keys, own.items = nil, nil
	known := fieldsOf(v.Type())
	for at, k := range n.keys {
		item := n.items[at]
		if _, ok := known.find(k.text); ok {
			own.keys, own.items = append(own.keys, k), append(own.items, item)
			continue
		}
		if item.kind != kindMapping && item.kind != kindNull {
			d.expected(item, join(path, k.text), "a mapping of options")
			continue
		}
		if i.Sources == nil {
			i.Sources = map[string]Section{}
		}
		i.Sources[k.text] = Section{file: d.report.fileOf(item), path: join(path, k.text), node: item}
	}
	d.structure(&own, v, path)
}

// sources checks the inputs with their own sections, and that no sink delivers to one of them.
func (c checker) sources(plain func(*node, string)) {
	listeners := map[string]string{"listen": c.Listen}
	for i := range c.Ingest.Sockets {
		if s := &c.Ingest.Sockets[i]; s.Path() == "" {
			listeners["ingest.sockets."+s.Name+".listen"] = s.Listen
		}
	}
	var facts []SourceFacts
	names := sortedKeys(c.Ingest.Sources)
	for _, name := range names {
		section := c.Ingest.Sources[name]
		section.dir, section.plain = c.options.Dir, plain
		c.Ingest.Sources[name] = section
		if section.node.kind == kindNull { // counts as a missing key
			delete(c.Ingest.Sources, name)
		}
		check, ok := c.options.Sources[name]
		var found SourceFacts
		switch {
		case !ok && c.options.Sources != nil:
			known := append(fieldsOf(reflect.TypeFor[Ingest]()).names(), sortedKeys(c.options.Sources)...)
			c.report.add(c.in("ingest").key(name), pathOf("ingest", name), "an unknown key%s", hint(name, known))
		case check != nil && section.node.kind != kindNull:
			var err error
			found, err = check(section, c.Config)
			section.explain(c.report, err)
		}
		if found.Listen != "" {
			listeners["ingest."+name+".listen"] = found.Listen
		}
		for principal, schema := range found.Schemas {
			if c.Ingest.SenderSchemas == nil {
				c.Ingest.SenderSchemas = map[Sender]string{}
			}
			c.Ingest.SenderSchemas[Sender{name, principal}] = schema
		}
		for _, option := range sortedKeys(found.Warnings) {
			n, _ := section.find(option)
			c.report.warn(n, "ingest.%s.%s %s", name, option, found.Warnings[option])
		}
		facts = append(facts, found)
	}
	for i, name := range names {
		section := c.Ingest.Sources[name] // empty if there are no facts
		for _, option := range sortedKeys(facts[i].SendsTo) {
			if key, address := c.own(listeners, facts[i].SendsTo[option]); key != "" {
				n, _ := section.find(option)
				c.report.add(n, join2(section.path, option), ownListener, key, address)
			}
		}
	}
	c.s3Sinks(listeners)
}

const ownListener = "it is this relay's own listener (%s, %s): give the real bucket's endpoint"

// own returns the relay's listener to which an endpoint leads. Data delivered there would come
// in again.
func (c checker) own(listeners map[string]string, endpoint string) (key, address string) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" {
		return "", "" // the sink reports what is wrong with it
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for _, key := range sortedKeys(listeners) {
		if host, ours, err := net.SplitHostPort(listeners[key]); err == nil && ours == port && sameHost(u.Hostname(), host, c.options.LookupHost) {
			return key, listeners[key]
		}
	}
	return "", ""
}

// s3Sinks checks the endpoints of the S3 sinks. The key with which LiteLLM's file says where
// LiteLLM sends to is for the relay the address to deliver to.
func (c checker) s3Sinks(listeners map[string]string) {
	callbacks := c.root.get("callbacks")
	if callbacks == nil {
		return
	}
	for i := range min(len(c.Callbacks), len(callbacks.items)) {
		n := callbacks.items[i].get("sink").get("s3").get("endpoint")
		if !n.given() {
			continue
		}
		key, address := c.own(listeners, n.text)
		path := pathOf("callbacks", i, "sink", "s3", "endpoint")
		switch {
		case key == "", key == "listen" && n.origin != "": // already reported while LiteLLM's file was read
		case n.origin != "":
			c.report.add(n, place(n, path), loopText, key+" "+address)
		default:
			c.report.add(n, path, ownListener, key, address)
		}
	}
}
