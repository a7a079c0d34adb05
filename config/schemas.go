package config

import (
	"embed"
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/internal/schema"
)

// Schema says where the relay finds the fields that it needs in the events of a producer other
// than LiteLLM. docs/operators/producers.md describes the expressions.
type Schema struct {
	// Name is the schema's key. It replaces a shipped schema with that name.
	Name string `yaml:"-"`
	// Namespace is the scope of the events' ids, unless the token or hook has another. Default:
	// the schema's name.
	Namespace string `yaml:"namespace"`
	// Unwrap lists paths to the list of events in a request, tried in order. Default: each
	// object is one event.
	Unwrap Expressions `yaml:"unwrap"`
	// ID is the event's id. Default: a keyed digest of its bytes, so that the same bytes again
	// are the same event.
	ID Expressions `yaml:"id"`
	// Action is what was done. Required.
	Action Expressions `yaml:"action"`
	// Time is the event's time: a time with an offset, or seconds, milliseconds, microseconds
	// or nanoseconds since 1970. Default: when the event came.
	Time Expressions `yaml:"time"`
	// Actor is who acted: changed_by in conditions and in the store.
	Actor Expressions `yaml:"actor"`
	// Object is the object of the act: object_id.
	Object Expressions `yaml:"object"`
	// ObjectType is the kind of the object: table_name.
	ObjectType Expressions `yaml:"object_type"`
	// Auth is how the producer authenticates at a hook. Default: the secret in Authorization,
	// with or without Bearer before it.
	Auth HookAuth `yaml:"auth"`

	compiled *schema.Schema
}

// Compiled returns the schema in the engine's form.
func (s *Schema) Compiled() *schema.Schema { return s.compiled }

// HookAuth is how a producer authenticates.
type HookAuth struct {
	// Header is the name of the header with the secret or the signature. Default:
	// Authorization.
	Header string `yaml:"header"`
	// HMAC is the hash of a signature of the request's body: sha256, sha512 or sha1, in
	// hexadecimal or base64. Default: the header has the secret itself.
	HMAC HMACHash `yaml:"hmac"`
	// Prefix is the text before the signature, such as sha256=. Default: none.
	Prefix string `yaml:"prefix"`
	// Challenge is the header of a GET with which the producer verifies the hook. Default:
	// there is none.
	Challenge string `yaml:"challenge"`
	// Answer is the field of the response's JSON object that repeats the challenge.
	Answer string `yaml:"answer"`
}

// HMACHash is the hash of a signature.
type HMACHash string

func (HMACHash) allowed() []string { return []string{"sha256", "sha512", "sha1"} }

// Hook is a separate path for one producer: POST /v1/hooks/NAME.
type Hook struct {
	// Name is the hook's key. It is recorded with every event as the principal, with hook:
	// before it.
	Name string `yaml:"-"`
	// Schema is the events' schema: kubernetes, cloudtrail, gitlab, github, okta, vault,
	// keycloak, teleport, or one of ingest.schemas. Default: the one of the hook's name.
	Schema string `yaml:"schema"`
	// Secrets are the producer's secrets, for authentication or signatures, at least 16
	// characters each. Any of them is accepted, so that you can change a secret without a gap.
	// Required.
	Secrets []auditrelay.Secret `yaml:"secrets"`
	// Namespace is the scope of the events' ids. Default: the schema's.
	Namespace string `yaml:"namespace"`
	// Auth is how the producer authenticates. Default: the schema's.
	Auth *HookAuth `yaml:"auth"`
	// Rate limits what the producer may send. Requests above the limit get 429 with
	// Retry-After, which GitHub and GitLab do not retry. Default: none.
	Rate Rate `yaml:"rate"`
}

// Expressions are one expression, or several that are tried in order.
type Expressions []string

func (e *Expressions) decodeNode(d *decoder, n *node, path string) {
	if n.kind != kindList {
		text := ""
		d.value(n, reflect.ValueOf(&text).Elem(), path, fieldTag{})
		if text != "" {
			*e = Expressions{text}
		}
		return
	}
	d.slice(n, reflect.ValueOf((*[]string)(e)).Elem(), path, fieldTag{})
}

//go:embed schemas/*.yaml
var shippedFiles embed.FS

// SchemaNames returns the names of the shipped schemas.
func SchemaNames() []string {
	files, err := fs.ReadDir(shippedFiles, "schemas")
	if err != nil {
		return nil // cannot happen: the schemas are embedded
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// shippedSchema reads a shipped schema; its tests read all.
func shippedSchema(name string) (*Schema, error) {
	data, err := shippedFiles.ReadFile("schemas/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	r := &report{file: name + ".yaml"}
	root := parseTree(data, r)
	s := &Schema{Name: name}
	if root != nil {
		err = (&decoder{report: r, plain: func(*node, string) {}}).decodeInto(root, s, "")
	}
	if err := errors.Join(err, r.err()); err != nil {
		return nil, err
	}
	return s, s.compile()
}

func (s *Schema) compile() (err error) {
	if s.Namespace == "" {
		s.Namespace = s.Name
	}
	s.compiled, err = schema.New(s.Name, schema.Fields{Namespace: s.Namespace, Unwrap: s.Unwrap, ID: s.ID, Action: s.Action, Time: s.Time,
		Actor: s.Actor, Object: s.Object, ObjectType: s.ObjectType})
	return err
}

// SchemaNamed returns the schema with a name, or nil if there is none. The configuration's
// schemas override shipped ones.
func (c *Config) SchemaNamed(name string) *Schema {
	for i := range c.Ingest.Schemas {
		if s := &c.Ingest.Schemas[i]; s.Name == name {
			return s
		}
	}
	s, err := shippedSchema(name)
	if err != nil {
		return nil
	}
	return s
}

// schemas checks schemas and hooks, and the tokens and sockets that name a schema.
func (c checker) schemas() {
	for i := range c.Ingest.Schemas {
		s := &c.Ingest.Schemas[i]
		steps := at("ingest", "schemas", s.Name)
		if !nameForm.MatchString(s.Name) {
			c.bad(steps, "not a name: %s", expectedName)
		}
		if s.Namespace == "" && ingest.ReservedNamespace(s.Name) {
			c.bad(steps, "it is a namespace as well: %v", errReserved)
		}
		if err := CheckNamespace(s.Namespace); err != nil {
			c.bad(append(steps, "namespace"), "%v", err)
		}
		c.hookAuth(append(steps, "auth"), &s.Auth)
		for _, fault := range fieldErrors(s.compile()) {
			at := append(slices.Clone(steps), fault.Field)
			if n := c.in(at...); n.kind == kindList {
				at = append(at, fault.Index)
			}
			c.bad(at, "%v", fault.Err)
		}
	}
	names := append(SchemaNames(), sortedNames(c.Ingest.Schemas)...)
	known := func(steps []any, name string) {
		if name != "" && !slices.Contains(names, name) {
			c.bad(steps, "there is no schema of this name; define it under ingest.schemas, or use one of %s%s", strings.Join(SchemaNames(), ", "), hint(name, names))
		}
	}
	for i := range c.Ingest.Hooks {
		h := &c.Ingest.Hooks[i]
		steps := at("ingest", "hooks", h.Name)
		if !nameForm.MatchString(h.Name) {
			c.bad(steps, "not a name: %s", expectedName)
		}
		if h.Schema == "" {
			known(steps, h.Name)
			h.Schema = h.Name
		} else {
			known(append(steps, "schema"), h.Schema)
		}
		if err := CheckNamespace(h.Namespace); err != nil {
			c.bad(append(steps, "namespace"), "%v", err)
		}
		if h.Auth != nil {
			c.hookAuth(append(steps, "auth"), h.Auth)
		} else if s := c.SchemaNamed(h.Schema); s != nil {
			h.Auth = &s.Auth
		}
		c.hookSecrets(steps, h)
	}
	for i := range c.Ingest.Sockets {
		s := &c.Ingest.Sockets[i]
		steps := at("ingest", "sockets", s.Name)
		if s.Schema == "" {
			known(steps, s.Name)
			s.Schema = s.Name
		} else {
			known(append(steps, "schema"), s.Schema)
		}
	}
	given := 0 // those after it come from ingest.tokens
	if n := c.root.get("tokens"); n != nil {
		given = len(n.items)
	}
	for i, t := range c.Tokens[:min(given, len(c.Tokens))] {
		known(at("tokens", i, "schema"), t.Schema)
	}
	for i, t := range c.Ingest.Tokens {
		known(at("ingest", "tokens", i, "schema"), t.Schema)
	}
}

func (c checker) hookSecrets(steps []any, h *Hook) {
	if len(h.Secrets) == 0 && c.in(steps...).kind == kindMapping && c.in(append(steps, "secrets")...).kind != kindList {
		c.bad(append(steps, "secrets"), "it is required: what the producer shows or signs with; make one with: openssl rand -hex 24")
	}
	for i, secret := range h.Secrets {
		n := c.in(append(slices.Clone(steps), "secrets", i)...)
		if text := secret.Reveal(); Weak(text) && !n.unset {
			c.bad(append(slices.Clone(steps), "secrets", i), "it can be guessed over the network: expected at least 16 characters by chance; make one with: openssl rand -hex 24")
		}
	}
}

func (c checker) hookAuth(steps []any, a *HookAuth) {
	if a.Header == "" {
		a.Header = "Authorization"
	}
	if strings.ContainsAny(a.Header+a.Challenge, " :\r\n\t") {
		c.bad(steps, "not the name of a header")
	}
	if (a.Challenge == "") != (a.Answer == "") {
		c.bad(steps, "challenge and answer go together")
	}
	if a.Prefix != "" && a.HMAC == "" {
		c.bad(append(steps, "prefix"), "it stands before a signature: it needs hmac")
	}
}

func fieldErrors(err error) (all []*schema.FieldError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, fieldErrors(one)...)
		}
		return all
	}
	if fault, ok := errors.AsType[*schema.FieldError](err); ok {
		all = append(all, fault)
	}
	return all
}

func sortedNames(schemas []Schema) (names []string) {
	for i := range schemas {
		names = append(names, schemas[i].Name)
	}
	slices.Sort(names)
	return names
}
