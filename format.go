package auditrelay

import (
	"errors"
	"fmt"
	"net/url"
)

// Format says how a callback writes an event for its destination. At most one field is
// set. The zero value sends the filtered event as it is. In YAML a name alone will do:
// format: ocsf.
//
// The engine formats an event after all filters and before the gate, so that the gate
// checks exactly what leaves. A record is formatted once: retries send the same bytes.
type Format struct {
	// OCSF writes records of the Open Cybersecurity Schema Framework, version 1.8.0.
	OCSF *OCSF `yaml:"ocsf"`
	// ECS writes documents of the Elastic Common Schema, version 9.5, with the names that
	// Elastic's integration for LiteLLM has.
	ECS *ECS `yaml:"ecs"`
	// CloudEvents writes CloudEvents 1.0 in JSON's structured form.
	CloudEvents *CloudEvents `yaml:"cloudevents"`
	// CEF writes lines of ArcSight's Common Event Format.
	CEF *CEF `yaml:"cef"`
	// LEEF writes lines of IBM QRadar's Log Event Extended Format 2.0.
	LEEF *LEEF `yaml:"leef"`
	// Envelope writes the event as it is beside its origin, which no event can choose.
	Envelope *Envelope `yaml:"envelope"`
}

// MediaTypeText is a Chunk's MediaType where each record is a line of text.
const MediaTypeText = "text/plain; charset=utf-8"

// OCSF configures the format of that name.
type OCSF struct {
	// Original says where a record holds the filtered event: unmapped (an object, which a
	// destination can search), raw_data (its text, for destinations that know the fields
	// of OCSF alone) or none (what has no place in OCSF does not leave). Default:
	// unmapped, since nothing is lost and no second parser is needed.
	Original Original `yaml:"original"`
}

// ECS is the format of that name. It has no options.
type ECS struct{}

// Envelope is the format of that name: an object with origin (namespace, source, principal,
// journal, sequence) and event. It has no options.
type Envelope struct{}

// CEF configures the format of that name.
type CEF struct {
	// Brief leaves the whole event out, so that a line has the fields of the format alone:
	// values before and after a change do not leave then. Default: false, the event stands
	// in auditrelayEvent.
	Brief bool `yaml:"brief"`
}

// LEEF configures the format of that name.
type LEEF struct {
	// Brief leaves the whole event out, so that a line has the fields of the format alone:
	// values before and after a change do not leave then. Default: false, the event stands
	// in auditrelayEvent.
	Brief bool `yaml:"brief"`
}

// Original says where an OCSF record holds the event.
type Original uint8

const (
	OriginalUnmapped Original = iota // under unmapped, as an object
	OriginalRawData                  // under raw_data, as text
	OriginalNone                     // nowhere
)

// Words are the values' names in a configuration, in the values' order.
func (Original) Words() []string { return []string{"unmapped", "raw_data", "none"} }

func (o Original) String() string { return word(o, o) }

// CloudEvents configures the format of that name.
type CloudEvents struct {
	// Source is the attribute of that name, a URI reference. It and the id identify an
	// event. Default: auditrelay.
	Source string `yaml:"source"`
}

// FormatNames are the formats' names in a configuration.
func FormatNames() []string {
	return []string{"event", "ocsf", "ecs", "cloudevents", "cef", "leef", "envelope"}
}

// Name is the format's name in a configuration.
func (f Format) Name() string {
	switch {
	case f.OCSF != nil:
		return "ocsf"
	case f.ECS != nil:
		return "ecs"
	case f.CloudEvents != nil:
		return "cloudevents"
	case f.CEF != nil:
		return "cef"
	case f.LEEF != nil:
		return "leef"
	case f.Envelope != nil:
		return "envelope"
	}
	return "event"
}

// maxCloudEventsSource bounds what stands in each record.
const maxCloudEventsSource = 256

// Check returns an *OptionError for each value that is none.
func (f Format) Check() error {
	var errs []error
	given := 0
	for _, is := range []bool{f.OCSF != nil, f.ECS != nil, f.CloudEvents != nil, f.CEF != nil, f.LEEF != nil, f.Envelope != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		errs = append(errs, &OptionError{Path: "format", Err: errors.New("two formats: give one")})
	}
	if f.OCSF != nil && int(f.OCSF.Original) >= len(f.OCSF.Original.Words()) {
		errs = append(errs, &OptionError{Path: "format.ocsf.original", Err: errors.New("expected unmapped, raw_data or none")})
	}
	if f.CloudEvents != nil && f.CloudEvents.Source != "" {
		if err := checkURIReference(f.CloudEvents.Source); err != nil {
			errs = append(errs, &OptionError{Path: "format.cloudevents.source", Err: err})
		}
	}
	return errors.Join(errs...)
}

func checkURIReference(s string) error {
	if len(s) > maxCloudEventsSource {
		return fmt.Errorf("%d bytes, at most %d", len(s), maxCloudEventsSource)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' {
			return errors.New("expected a URI reference, as in https://relay.example or auditrelay/eu: letters outside of ASCII, spaces, quotes and backslashes are written with %")
		}
	}
	if _, err := url.Parse(s); err != nil {
		return errors.New("expected a URI reference, as in https://relay.example or auditrelay/eu")
	}
	return nil
}
