package http

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

const (
	openAPIFile = "../../../docs/reference/openapi.json"
	httpPage    = "../../../docs/reference/http.md"
)

// operations has a line for every route, with parameters that are not fields of the endpoint's
// shape.
var operations = map[string]struct {
	summary string
	query   []string
}{
	"GET /healthz":      {"Returns 200 while the process runs.", nil},
	"GET /readyz":       {"Returns 200 if events are accepted, otherwise 503. With verbose (role view), it adds the reasons, alerts and sources.", []string{"verbose"}},
	"GET /metrics":      {"Metrics in the Prometheus format. Needs no role if metrics.public is set.", nil},
	"GET /v1/version":   {"The program's version.", nil},
	"GET /v1/principal": {"Returns the name and the roles of the caller.", nil},

	"GET /v1/fleet":                 {"The relays that share this journal, and which one leads. Every relay answers for itself.", nil},
	"POST /v1/fleet/{name}/drain":   {"Moves the lead to another relay, before you stop this one.", nil},
	"POST /v1/fleet/{name}/undrain": {"Lets a drained relay lead again.", nil},

	"POST /v1/events":                   {"Accepts events: an object, an array, or one object a line, plain, gzip or zstd. With atomic, all or none.", []string{"atomic"}},
	"POST /v1/hooks/{name}":             {"Accepts a producer's events at a hook with its own secret. Invalid events go into quarantine.", nil},
	"GET /v1/hooks/{name}":              {"Answers a producer's challenge that verifies the hook.", nil},
	"GET /v1/events/{id}":               {"Shows an event's outcome on each callback. With data (role comply), it adds the contents.", nil},
	"POST /v1/shadows":                  {"Starts a shadow: another module or policy runs beside the filter's own on live events.", nil},
	"GET /v1/shadows":                   {"The results of shadows. Paths and texts of failures need the role comply.", nil},
	"GET /v1/shadows/{callback}":        {"One callback's shadow.", nil},
	"POST /v1/shadows/{callback}/use":   {"Puts the shadow's version in force, and ends the shadow.", nil},
	"DELETE /v1/shadows/{callback}":     {"Ends a shadow and forgets its result.", nil},
	"POST /v1/rollouts":                 {"Starts a rollout: a new version of a filter judges a share of the events, and is rolled back if too many fail.", nil},
	"GET /v1/rollouts":                  {"The rollout that is under way, or the last one, with its counts; a list of one or none.", nil},
	"POST /v1/rollouts/{name}/promote":  {"Puts the rollout's version in force for all events.", nil},
	"POST /v1/rollouts/{name}/rollback": {"Ends the rollout: the version in force judges all events again.", nil},
	"POST /v1/filters/{name}/policy":    {"Puts another policy of a native filter in force, in place of the configuration's; or goes back.", nil},
	"GET /v1/policy-history":            {"The digests of all stored policies, gates and detectors, with the times when they were in force, without their texts.", nil},
	"GET /v1/completeness":              {"By day: the number of events, the events without an outcome by callback, and whether the logs of proofs match their signatures.", nil},
	"GET /v1/events":                    {"The same by query parameter, for ids that do not fit into a path.", nil},
	"POST /v1/verifications":            {"Stores the result of auditrelay verify, and compares the verified logs with the relay's own.", nil},
	"GET /v1/proofs":                    {"The signed proofs of an event's outcomes, one for each callback.", nil},
	"GET /v1/receipts":                  {"Streams receipts, one JSON object a line. from and to are sequences or times of receipt, half open.", nil},
	"GET /v1/stored":                    {"Accepted events with their contents, from a sequence.", nil},
	"GET /v1/stats":                     {"Figures about the journal and the input.", nil},
	"GET /v1/sources":                   {"The sources of events, and which ones are silent.", nil},
	"POST /v1/pseudonyms":               {"A value's pseudonyms under every version of every key. The look-up is recorded.", nil},
	"POST /v1/reconcile":                {"Compares LiteLLM's table with the journal; streams the differences. repair needs the role admin.", nil},

	"GET /v1/callbacks":                        {"All callbacks with their states and accounts.", nil},
	"GET /v1/callbacks/{name}":                 {"One callback.", nil},
	"POST /v1/callbacks/{name}/pause":          {"Stops deliveries; events are retained.", nil},
	"POST /v1/callbacks/{name}/resume":         {"Continues after a pause; retries a stalled callback at once.", nil},
	"POST /v1/callbacks/{name}/detach":         {"Skips pending and new events.", nil},
	"POST /v1/callbacks/{name}/attach":         {"Continues after a detach.", nil},
	"POST /v1/callbacks/{name}/replay":         {"Delivers a range again.", nil},
	"DELETE /v1/callbacks/{name}/replays/{id}": {"Cancels a replay: what it has not delivered is skipped.", nil},
	"POST /v1/callbacks/{name}/test":           {"Sends a marked test event to the callback's destination, and returns the response.", nil},
	"GET /v1/deliveries":                       {"Payloads by callback, newest first, with their attempts. Texts from sinks and destinations need the role comply.", nil},

	"GET /v1/callbacks/{name}/dead-letters":            {"Dead letters, without contents.", nil},
	"GET /v1/callbacks/{name}/dead-letters/{sequence}": {"One dead letter with its contents.", nil},
	"POST /v1/callbacks/{name}/dead-letters/discard":   {"Discards dead letters for good.", nil},
	"POST /v1/callbacks/{name}/dead-letters/replay":    {"Processes dead letters again: named ones or all at once; by filter, or with a rate, in a job.", nil},
	"GET /v1/dead-letter-replays":                      {"Replays of dead letters by filter: those that run, and the last 100 that have ended.", nil},
	"DELETE /v1/dead-letter-replays/{id}":              {"Cancels one. Events that are not processed yet become dead letters again.", nil},

	"GET /v1/quarantine":                  {"Quarantined items, without contents.", nil},
	"GET /v1/quarantine/{number}":         {"One item; data is its bytes in base64.", nil},
	"POST /v1/quarantine/replay":          {"Accepts items as events; at most 1,000 a request, next is the next request's after.", nil},
	"POST /v1/quarantine/delete":          {"Deletes items for good; limits as for replay.", nil},
	"POST /v1/quarantine/{number}/replay": {"Accepts the body instead of the item. Also needs the role ingest.", []string{"reason"}},

	"GET /v1/policies":                {"Lists the policies in force.", nil},
	"POST /v1/policies/diff":          {"Counts what another policy would expose or hide, on accepted or given events.", nil},
	"GET /v1/tap":                     {"Shows events as they pass, one JSON object a line, if tap is enabled. Each opening is recorded.", nil},
	"POST /v1/try":                    {"Runs events through a callback's filters, with another policy if one is given. Nothing is delivered or stored.", nil},
	"GET /v1/configurations/{digest}": {"A configuration, or a callback's with its filters, without secrets, by digest, in force now or before.", nil},
	"GET /v1/policies/{digest}":       {"A policy, a must_not_leave or the detectors by digest, in force now or before.", nil},

	"POST /v1/backup": {"Makes a backup on the relay's machine.", nil},
	"POST /v1/reload": {"Reads the configuration again.", nil},

	"GET /audit":             {"Searches the store, in LiteLLM's shape.", listParams},
	"GET /audit/{id}":        {"One stored event.", nil},
	"GET /audit/export":      {"Exports the store as CSV or NDJSON. The export is recorded.", exportParams},
	"POST /v1/store/rebuild": {"Replays the journal into the store.", nil},

	"POST /v1/modules":                 {"Uploads a module.", []string{"name", "filter"}},
	"GET /v1/modules":                  {"Uploaded modules.", nil},
	"GET /v1/modules/{digest}":         {"A module's contents and requests.", nil},
	"GET /v1/searches":                 {"Saved searches of the store.", nil},
	"POST /v1/searches":                {"Saves a search of the store.", nil},
	"DELETE /v1/searches":              {"Deletes a saved search.", []string{"name", "reason"}},
	"POST /v1/modules/{digest}/check":  {"Checks a module as a filter, and on its recorded cases.", nil},
	"GET /v1/modules/{digest}/content": {"Downloads a module.", nil},
	"DELETE /v1/modules/{digest}":      {"Deletes a module that no filter uses.", nil},
	"GET /v1/filters":                  {"Guest filters, their modules and breakers.", nil},
	"POST /v1/filters/{name}/module":   {"Switches a filter to another module, from the next event on.", nil},
	"POST /v1/filters/{name}/reset":    {"Resets a filter's breaker.", nil},

	"GET /v1/approvals":               {"Requests for acts that need several principals, oldest first; reasons with `operate` or `auditor`.", nil},
	"POST /v1/approvals/{id}/approve": {"Approves another principal's request; the last approval starts the act. `admin` for a key. `If-Match` names the digest that was seen.", nil},
	"POST /v1/approvals/{id}/reject":  {"Rejects a request, or withdraws your own.", nil},
	"GET /v1/control":                 {"The relay's own records of all acts, oldest first.", nil},
	"GET /v1/keyring":                 {"Encryption periods.", nil},
	"DELETE /v1/keyring/{period}":     {"Destroys a period's key, so that its events can never be read again. dead_letters=discard discards its dead letters first.", nil},
}

// TestOpenAPI compares docs/reference/openapi.json and the table of docs/reference/http.md with
// the routes, their roles and the shapes of requests and answers. UPDATE_GOLDEN=1 writes both.
func TestOpenAPI(t *testing.T) {
	table := newRelay(t, Options{}).srv.table()
	golden(t, openAPIFile, describe(t, table).json(t))

	page, err := os.ReadFile(httpPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), "<!-- routes -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !ok2 {
		t.Fatalf("%s has no table of routes", httpPage)
	}
	var rows strings.Builder
	for _, rt := range table {
		role := string(rt.role)
		if rt.role == noRole {
			role = "none"
		}
		fmt.Fprintf(&rows, "| `%s %s` | %s | %s |\n", rt.method, rt.path, role, operations[rt.method+" "+rt.path].summary)
	}
	golden(t, httpPage, []byte(before+"<!-- routes -->\n| method and path | role | |\n|---|---|---|\n"+rows.String()+"<!-- end -->\n"+after))
}

func golden(t *testing.T, file string, want []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale (-routes +file); run this test with UPDATE_GOLDEN=1:\n%s", file, diff)
	}
}

// TestAnswersHaveTheDescribedShape compares answers of a working relay with the description:
// nothing undescribed, nothing missing, no other type.
func TestAnswersHaveTheDescribedShape(t *testing.T) {
	r := newRelay(t, Options{})
	d := describe(t, r.srv.table())
	if status, answer, _ := r.call("POST", "/v1/events", event("a")+"\n"+`{"id":"b"}`); status != http.StatusMultiStatus {
		t.Fatalf("%d %s", status, answer)
	}
	r.settle()
	r.sink.fail(auditrelay.Refused)
	r.call("POST", "/v1/events", event("c"))
	r.settle()
	for _, row := range []struct{ route, path, body string }{
		{"GET /healthz", "/healthz", ""},
		{"GET /readyz", "/readyz?verbose", ""},
		{"GET /v1/version", "/v1/version", ""},
		{"POST /v1/events", "/v1/events", event("d") + "\n" + `{"id":"b"}`},
		{"GET /v1/events/{id}", "/v1/events/a?data=true", ""},
		{"GET /v1/stored", "/v1/stored", ""},
		{"GET /v1/stats", "/v1/stats", ""},
		{"GET /v1/sources", "/v1/sources", ""},
		{"GET /v1/callbacks", "/v1/callbacks", ""},
		{"GET /v1/callbacks/{name}", "/v1/callbacks/archive", ""},
		{"POST /v1/callbacks/{name}/pause", "/v1/callbacks/archive/pause", ""},
		{"POST /v1/callbacks/{name}/replay", "/v1/callbacks/archive/replay", `{"from":1,"dry_run":true}`},
		{"GET /v1/callbacks/{name}/dead-letters", "/v1/callbacks/archive/dead-letters", ""},
		{"GET /v1/callbacks/{name}/dead-letters/{sequence}", "/v1/callbacks/archive/dead-letters/2", ""},
		{"GET /v1/quarantine", "/v1/quarantine", ""},
		{"GET /v1/control", "/v1/control", ""},
		{"GET /v1/keyring", "/v1/keyring", ""},
	} {
		method, path, _ := strings.Cut(row.route, " ")
		status, answer, _ := r.call(method, row.path, row.body)
		if status >= 300 {
			t.Errorf("%s: %d %s", row.route, status, answer)
			continue
		}
		var value any
		if err := json.Unmarshal([]byte(answer), &value); err != nil {
			t.Errorf("%s: %v", row.route, err)
			continue
		}
		operation := d["paths"].(object)[path].(object)[strings.ToLower(method)].(object)
		response := operation["responses"].(object)["200"].(object)["content"].(object)["application/json"].(object)
		for _, fault := range d.faults(value, response["schema"].(object), row.route) {
			t.Error(fault)
		}
	}
}

// object is a JSON object of the description.
type object map[string]any

func (d object) json(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// faults returns the places where value does not match the schema.
func (d object) faults(value any, schema object, at string) []string {
	if ref, ok := schema["$ref"].(string); ok {
		schema = d["components"].(object)["schemas"].(object)[strings.TrimPrefix(ref, "#/components/schemas/")].(object)
	}
	var all []string
	switch v := value.(type) {
	case map[string]any:
		properties, described := schema["properties"].(object)
		if !described {
			return nil // any JSON
		}
		for name, member := range v {
			if p, ok := properties[name].(object); ok {
				all = append(all, d.faults(member, p, at+"."+name)...)
			} else {
				all = append(all, at+"."+name+" is not described")
			}
		}
		required, _ := schema["required"].([]string)
		for _, name := range required {
			if _, ok := v[name]; !ok {
				all = append(all, at+"."+name+" is missing")
			}
		}
	case []any:
		items, _ := schema["items"].(object)
		for _, element := range v {
			all = append(all, d.faults(element, items, at+"[]")...)
		}
		all = append(all, typed(schema, at, "array")...)
	case string:
		all = typed(schema, at, "string")
	case bool:
		all = typed(schema, at, "boolean")
	case float64:
		all = typed(schema, at, "integer", "number")
	case nil:
		if schema["type"] != nil {
			all = append(all, at+" is null")
		}
	}
	return all
}

func typed(schema object, at string, names ...string) []string {
	if schema["type"] == nil {
		return nil
	}
	for _, name := range names {
		if schema["type"] == name {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is a %s, described as %v", at, names[0], schema["type"])}
}

// describe builds the API's description from the routes.
func describe(t *testing.T, table []route) object {
	t.Helper()
	b := &describer{t: t, schemas: object{}, docs: comments(t)}
	paths := object{}
	for _, rt := range table {
		operation, ok := operations[rt.method+" "+rt.path]
		if !ok {
			t.Errorf("%s %s has no summary", rt.method, rt.path)
		}
		one := object{"summary": operation.summary, "x-role": string(rt.role), "responses": b.responses(rt)}
		if rt.role == noRole {
			one["x-role"], one["security"] = "none", []any{}
		}
		if parameters := b.parameters(rt, operation.query); parameters != nil {
			one["parameters"] = parameters
		}
		if body := b.body(rt); body != nil {
			one["requestBody"] = body
		}
		at, _ := paths[rt.path].(object)
		if at == nil {
			at = object{}
			paths[rt.path] = at
		}
		at[strings.ToLower(rt.method)] = one
	}
	if len(operations) != len(table) {
		t.Errorf("%d operations are described, %d are routed", len(operations), len(table))
	}
	var roles []string
	for _, role := range []config.Role{roleIngest, roleView, roleComply, roleOperate, roleAdmin} {
		roles = append(roles, string(role))
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "auditrelay", "version": "1",
			"description": "The HTTP API of auditrelay. x-role is the role that a token needs: " + strings.Join(roles, ", ") +
				"; admin may do everything, comply and operate include view. Without tokens every local client may do everything.",
		},
		"servers":    []any{object{"url": "http://127.0.0.1:8787"}},
		"security":   []any{object{"bearer": []any{}}},
		"paths":      paths,
		"components": object{"schemas": b.schemas, "securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer"}}},
	}
}

type describer struct {
	t       *testing.T
	schemas object
	docs    map[string]string // the comments of types and of their fields
}

// comments reads the comments of package api's types and of their fields.
func comments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	put := func(name string, groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if text := strings.Join(strings.Fields(g.Text()), " "); text != "" && docs[name] == "" {
				docs[name] = text
			}
		}
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			d, ok := n.(*ast.GenDecl)
			if !ok {
				return true
			}
			for _, spec := range d.Specs {
				typ, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				put(typ.Name.Name, typ.Doc, d.Doc)
				if s, ok := typ.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							put(typ.Name.Name+"."+name.Name, f.Doc, f.Comment)
						}
					}
				}
			}
			return true
		})
	}
	return docs
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func (b *describer) parameters(rt route, query []string) []any {
	var all []any
	inPath := map[string]bool{}
	for _, m := range pathParameter.FindAllStringSubmatch(rt.path, -1) {
		inPath[m[1]] = true
		all = append(all, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, name := range query {
		all = append(all, object{"name": name, "in": "query", "schema": object{"type": "string"}})
	}
	if rt.method != http.MethodPost && rt.in.Kind() == reflect.Struct {
		for i := range rt.in.NumField() {
			name := rt.in.Field(i).Tag.Get("query")
			if name != "" && !inPath[name] {
				all = append(all, object{"name": name, "in": "query", "schema": b.schema(rt.in.Field(i).Type)})
			}
		}
	}
	return all
}

func (b *describer) body(rt route) object {
	switch {
	case rt.method != http.MethodPost || rt.in == reflect.TypeFor[api.None]():
		return nil
	case rt.path == api.PushModule.Path:
		return object{"required": true, "content": object{"application/wasm": object{}}}
	case rt.in == reflect.TypeFor[api.Raw]():
		return object{"required": true, "content": object{"application/json": object{}, "application/x-ndjson": object{}}}
	}
	return object{"required": true, "content": object{"application/json": object{"schema": b.schema(rt.in)}}}
}

func (b *describer) responses(rt route) object {
	failure := object{"description": "error", "content": object{"application/json": object{"schema": b.schema(reflect.TypeFor[api.Failure]())}}}
	ok := object{"description": "done"}
	switch {
	case rt.out == reflect.TypeFor[api.Raw]():
		media := map[string]string{api.GetMetrics.Path: "text/plain", api.GetModuleContent.Path: "application/wasm", api.GetAuditExport.Path: "text/csv"}[rt.path]
		content := object{media: object{}}
		if rt.path == api.GetAuditExport.Path {
			content["application/x-ndjson"] = object{}
		}
		ok["content"] = content
	case strings.HasPrefix(rt.out.Name(), "Lines["):
		ok["content"] = object{"application/x-ndjson": object{"schema": b.schema(rt.out.Field(0).Type.Elem())}}
	case rt.out != reflect.TypeFor[api.None]():
		ok["content"] = object{"application/json": object{"schema": b.schema(rt.out)}}
	}
	responses := object{"200": ok, "default": failure}
	if rt.path == api.PostEvents.Path && rt.method == http.MethodPost {
		some := object{"description": "some events were rejected, or the body was not read to its end", "content": ok["content"]}
		responses["207"] = some
	}
	return responses
}

// schema describes a type. Structs are named once, among the components.
func (b *describer) schema(typ reflect.Type) object {
	switch typ {
	case reflect.TypeFor[json.RawMessage]():
		return object{"description": "any JSON"}
	case reflect.TypeFor[auditrelay.Outcome]():
		names := []string{auditrelay.Pending.String()}
		for _, o := range auditrelay.Outcomes() {
			names = append(names, o.String())
		}
		return object{"type": "string", "enum": names}
	case reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	}
	if typ == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	if typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return object{"type": "string"}
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return b.schema(typ.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": "array", "items": b.schema(typ.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": b.schema(typ.Elem())}
	case reflect.Struct:
		if _, ok := b.schemas[typ.Name()]; !ok {
			one := object{"type": "object", "properties": object{}}
			if doc := b.docs[typ.Name()]; doc != "" {
				one["description"] = doc
			}
			b.schemas[typ.Name()] = one
			b.fields(typ, one)
		}
		return object{"$ref": "#/components/schemas/" + typ.Name()}
	}
	b.t.Errorf("%v: no schema for this kind", typ)
	return nil
}

func (b *describer) fields(typ reflect.Type, one object) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && name == "" {
			b.fields(f.Type, one)
			continue
		}
		if name == "" {
			b.t.Errorf("%v.%s has no JSON name", typ, f.Name)
		}
		property := b.schema(f.Type)
		if doc := b.docs[typ.Name()+"."+f.Name]; doc != "" {
			property["description"] = doc
		}
		one["properties"].(object)[name] = property
		if !strings.Contains(options, "omit") {
			required, _ := one["required"].([]string)
			one["required"] = append(required, name)
		}
	}
}
