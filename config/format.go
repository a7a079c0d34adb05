package config

import (
	"errors"
	"reflect"
	"strings"

	"auditrelay"
)

// format decodes a callback's format: its name, or its name with options.
func (d *decoder) format(n *node, f *auditrelay.Format, path string) {
	names := auditrelay.FormatNames()
	name, options := n, (*node)(nil)
	switch {
	case n.kind == kindString:
		if n.unset {
			return
		}
	case n.kind == kindMapping && len(n.keys) == 1:
		name, options = n.keys[0], n.items[0]
	case n.kind == kindMapping && len(n.keys) > 1:
		d.report.add(n, path, "several formats: give one")
		return
	default:
		d.expected(n, path, "one of "+strings.Join(names, ", ")+", or a mapping of one to its options")
		return
	}
	d.oneOf(name, path, names)
	into := reflect.Value{}
	switch name.text {
	case "ocsf":
		f.OCSF = new(auditrelay.OCSF)
		into = reflect.ValueOf(f.OCSF).Elem()
	case "ecs":
		f.ECS = new(auditrelay.ECS)
		into = reflect.ValueOf(f.ECS).Elem()
	case "cloudevents":
		f.CloudEvents = new(auditrelay.CloudEvents)
		into = reflect.ValueOf(f.CloudEvents).Elem()
	case "cef":
		f.CEF = new(auditrelay.CEF)
		into = reflect.ValueOf(f.CEF).Elem()
	case "leef":
		f.LEEF = new(auditrelay.LEEF)
		into = reflect.ValueOf(f.LEEF).Elem()
	case "envelope":
		f.Envelope = new(auditrelay.Envelope)
		into = reflect.ValueOf(f.Envelope).Elem()
	case "event":
		into = reflect.ValueOf(&struct{}{}).Elem()
	}
	if options != nil && into.IsValid() {
		d.value(options, into, join(path, name.text), fieldTag{})
	}
	if fault, ok := errors.AsType[*auditrelay.OptionError](f.Check()); ok { // an error of source, since all other options have a closed set
		d.report.add(options.get("source"), join(join(path, "cloudevents"), "source"), "%w", fault.Err)
	}
}

// format checks a callback's format against its sink.
func (c checker) format(cb *Callback, steps []any) {
	if cb.Format.Name() == "event" {
		return
	}
	switch cb.Sink.Type {
	case "sqlite", "postgres":
		c.bad(append(steps, "format"), "the sink %s is the audit store, which keeps events in LiteLLM's schema: leave format out here, and give the destination that wants %s a callback of its own", cb.Sink.Type, cb.Format.Name())
	case "elastic":
		if cb.Format.CEF != nil || cb.Format.LEEF != nil {
			c.bad(append(steps, "format"), "the sink elastic takes JSON, and %s is a line of text: give ecs", cb.Format.Name())
		}
	case "":
		c.bad(append(steps, "format"), "the callback has no sink, so that nothing is written in it: leave it out")
	}
}
