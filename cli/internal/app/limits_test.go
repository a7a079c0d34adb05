package app

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/runtime"
)

// maxima lists every option with a maximum, by path, as in its range tag.
func maxima(found map[string]string, path string, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || !strings.HasPrefix(t.PkgPath(), "auditrelay") {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "" || name == "-" || name == "*" {
			continue
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		if _, most, _ := strings.Cut(f.Tag.Get("range"), ".."); most != "" {
			found[at] = most
		}
		next := f.Type
		if next.Kind() == reflect.Slice {
			next = next.Elem()
		}
		maxima(found, at, next)
	}
}

// greatest returns a configuration with every option at its maximum.
func greatest(t *testing.T, values map[string]string) string {
	t.Helper()
	top := map[string]any{}
	for path, text := range values {
		var value any = text
		if n, err := strconv.Atoi(text); err == nil {
			value = n
		}
		if text == "366d" {
			continue // set below: encryption requires more than a value
		}
		at := top
		steps := strings.Split(path, ".")
		for _, step := range steps[:len(steps)-1] {
			if at[step] == nil {
				at[step] = map[string]any{}
			}
			at = at[step].(map[string]any)
		}
		at[steps[len(steps)-1]] = value
	}
	filter, callback := top["filters"].(map[string]any), top["callbacks"].(map[string]any)
	filter["wasm"] = "../../../testdata/wasm/hostile/keep.wasm"
	callback["name"], callback["sink"], callback["filters"] = "a", map[string]any{"memory": map[string]any{}}, []string{"f"}
	detector := top["detectors"].(map[string]any)
	detector["keywords"], detector["regex"] = []string{"internal-key"}, "internal-key"+strings.Repeat("(a)", 100)
	token := map[string]any{"name": "t", "token": "3f8a1cd94be06275aa17", "roles": []string{"ingest"}, "rate": top["tokens"].(map[string]any)["rate"]}
	top["tokens"] = []any{token}
	ingest := top["ingest"].(map[string]any)
	ingest["hooks"] = map[string]any{"github": map[string]any{"secrets": []string{"3f8a1cd94be06275aa18"}, "rate": ingest["hooks"].(map[string]any)["rate"]}}
	sockets := ingest["sockets"].(map[string]any)
	ingest["sockets"] = map[string]any{"vault": map[string]any{"listen": "unix:s", "connections": sockets["connections"], "rate": sockets["rate"]}}
	issuer := top["oidc"].(map[string]any)
	issuer["issuer"], issuer["audience"] = "https://login.example", "relay"
	issuer["grants"] = []any{map[string]any{"claim": "groups", "value": "ops", "roles": []string{"admin"}}}
	top["journal"].(map[string]any)["postgres"].(map[string]any)["url"] = "postgres://relay@127.0.0.1/journal"
	top["detectors"] = map[string]any{"internal": detector}
	top["filters"] = map[string]any{"f": filter}
	top["callbacks"] = []any{callback}
	top["data_dir"] = t.TempDir()
	text, err := json.Marshal(top) // valid as YAML
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEveryMaximumIsKept takes every maximum that the configuration accepts and compares it
// with the running engine's value. runtime's TestTheGreatestBoundsAreKept tests chunks, emits
// and edits of that size. The test fails for a new maximum until it is listed here.
func TestEveryMaximumIsKept(t *testing.T) {
	values := map[string]string{}
	maxima(values, "", reflect.TypeFor[config.Config]())
	a := newAssembler(t, map[string]SinkMaker{"memory": func(config.Section) (auditrelay.Sink, error) { return &memorySink{}, nil }})
	cfg, err := config.Parse("greatest.yaml", []byte(greatest(t, values)), a.loadOptions("greatest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := a.assemble(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	o := a.runtimeOptions(cfg, made)
	o.Journal.Encryption = runtime.Encryption{Key: auditrelay.Secret(strings.Repeat("k", 32)), Period: 366 * 24 * time.Hour}
	callback, limits := o.Callbacks[0], cfg.Ingest.Limits
	guest := a.guestOptions(cfg, &cfg.Filters[0], nil, "")
	door := http.Limits{BodyBytes: limits.BodyBytes, Events: limits.Events, EventBytes: limits.EventBytes, Depth: limits.Depth, IDBytes: limits.IDBytes}.Ingest()
	size := func(n int64) auditrelay.ByteSize { return auditrelay.ByteSize(n) }
	told := cfg.Alerts.WithDefaults() // as in watchAlerts
	kept := map[string][]any{         // the engine's values, and those it reports
		"guests.memory":                {cfg.Guests.Memory},
		"alerts.stalled":               {told.Stalled},
		"alerts.lag":                   {told.Lag},
		"alerts.dead_letters":          {told.DeadLetters},
		"alerts.silent":                {told.Silent},
		"alerts.recovered":             {told.Recovered},
		"alerts.every":                 {told.Every},
		"canary.every":                 {cfg.Canary.WithDefaults().Every}, // as in canaryTurn
		"canary.within":                {cfg.Canary.WithDefaults().Within},
		"delivery.memory":              {o.Memory},
		"ingest.limits.event_bytes":    {o.Limits.EventBytes, size(door.EventBytes), guest.Limits.EventBytes},
		"ingest.limits.depth":          {o.Limits.Depth, door.Depth, guest.Limits.Depth},
		"ingest.limits.id_bytes":       {o.Limits.IDBytes, door.IDBytes},
		"ingest.limits.body_bytes":     {size(door.BodyBytes)},
		"ingest.limits.events":         {door.Events},
		"ingest.quarantine.bytes":      {o.Quarantine.Bytes},
		"ingest.quarantine.items":      {o.Quarantine.Items},
		"ingest.quarantine.item":       {o.Quarantine.ItemBytes},
		"detectors.secret_group":       {cfg.Detectors[0].SecretGroup},
		"journal.window":               {o.Journal.Window},
		"journal.postgres.takeover":    {o.Journal.Postgres.Takeover},
		"oidc.leeway":                  {cfg.OIDC.Leeway}, // as in the issuer
		"approvals.detach":             {o.Approvals.Detach},
		"approvals.discard":            {o.Approvals.Discard},
		"approvals.quarantine delete":  {o.Approvals.DeleteQuarantine},
		"approvals.keyring destroy":    {o.Approvals.DestroyPeriod},
		"approvals.within":             {o.Approvals.Within},
		"tokens.rate.requests":         {cfg.Tokens[0].Rate.Requests},
		"tokens.rate.events":           {cfg.Tokens[0].Rate.Events},
		"ingest.hooks.rate.requests":   {cfg.Ingest.Hooks[0].Rate.Requests},
		"ingest.hooks.rate.events":     {cfg.Ingest.Hooks[0].Rate.Events},
		"ingest.sockets.connections":   {cfg.Ingest.Sockets[0].Connections}, // as in a door
		"ingest.sockets.rate.events":   {cfg.Ingest.Sockets[0].Rate.Events},
		"proofs.every":                 {o.Proofs.Every},
		"journal.encryption.period":    {o.Journal.Encryption.Period},
		"filters.limits.fuel":          {guest.Limits.Fuel},
		"filters.limits.fuel_per_byte": {guest.Limits.FuelPerByte},
		"filters.limits.init_fuel":     {guest.Limits.InitFuel},
		"filters.limits.memory":        {guest.Limits.Memory},
		"filters.limits.stack":         {guest.Limits.Stack},
		"filters.limits.time":          {guest.Limits.Time},
		"filters.limits.init_time":     {guest.Limits.InitTime},
		"filters.limits.emit_bytes":    {guest.Limits.EmitBytes, auditrelay.MaxEmitBytes},
		"filters.limits.emit_count":    {guest.Limits.EmitCount, auditrelay.MaxEmitCount},
		"filters.limits.edit_bytes":    {guest.Limits.EditBytes, auditrelay.MaxEditBytes},
		"filters.limits.log_lines":     {guest.Limits.LogLines},
		"filters.limits.module":        {guest.Limits.Module, size(runtime.MaxModuleBytes)},
		"filters.breaker.failures":     {guest.Breaker.Failures},
		"filters.breaker.rest":         {guest.Breaker.Rest},
		"callbacks.in_flight":          {callback.InFlight, auditrelay.MaxInFlight},
		"callbacks.timeout":            {callback.Timeout, auditrelay.MaxTimeout},
		"callbacks.chunk.events":       {callback.Chunk.Events, auditrelay.MaxChunkEvents},
		"callbacks.chunk.bytes":        {callback.Chunk.Bytes, auditrelay.MaxChunkBytes},
		"callbacks.chunk.age":          {callback.Chunk.Age},
		"callbacks.backoff.initial":    {callback.Backoff.Initial},
		"callbacks.backoff.max":        {callback.Backoff.Max},
	}
	for path, most := range values {
		if kept[path] == nil {
			t.Errorf("%s takes up to %s: say here who keeps that", path, most)
		}
		for _, got := range kept[path] {
			if !equals(most, got) {
				t.Errorf("%s takes up to %s, and the engine keeps %v", path, most, got)
			}
		}
	}
	for path := range kept {
		if values[path] == "" {
			t.Errorf("%s has no greatest value", path)
		}
	}
	// All maxima together are accepted, and an event passes.
	o.Dir, o.Logger = "", quiet()
	o.Journal.Postgres = runtime.PostgresJournal{} // there is no server
	rt, err := runtime.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if _, err := rt.Submit(t.Context(), runtime.Submission{Data: []byte(event("a"))}); err != nil {
		t.Fatal(err)
	}
	if err := rt.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// equals compares a range tag's text with a value.
func equals(text string, got any) bool {
	switch got := got.(type) {
	case auditrelay.ByteSize:
		return got.String() == text
	case time.Duration:
		days := strings.TrimSuffix(text, "d")
		if n, err := strconv.Atoi(days); err == nil && days != text {
			return got == time.Duration(n)*24*time.Hour
		}
		d, err := time.ParseDuration(text)
		return err == nil && d == got
	}
	return fmt.Sprint(got) == text
}

// A value above the engine's maximum is refused at its place, with that maximum.
func TestOneMoreThanTheMaximumIsRefusedAtItsPlace(t *testing.T) {
	file := writeConfig(t, `ingest: {limits: {depth: 513, events: 1000001}}
filters:
  f: {wasm: ../../../testdata/wasm/hostile/keep.wasm, limits: {emit_count: 10001, edit_bytes: 65MiB}}
callbacks:
  - {name: a, filters: [f], chunk: {events: 65537, bytes: 65MiB}, in_flight: 65, sink: {stdout: {}}}
`)
	_, err := Check(t.Context(), []string{file}, CheckOptions{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		":1:26: ingest.limits.depth: out of range: expected a whole number from 4 to 512",
		":1:39: ingest.limits.events: out of range: expected a whole number from 1 to 1000000",
		"filters.f.limits.emit_count: out of range: expected a whole number from 1 to 10000",
		"filters.f.limits.edit_bytes: out of range: expected a size from 1B to 64MiB",
		":5:45: callbacks[0].chunk.events: out of range: expected a whole number from 1 to 65536",
		":5:59: callbacks[0].chunk.bytes: out of range: expected a size from 1KiB to 64MiB",
		"callbacks[0].in_flight: out of range: expected a whole number from 1 to 64",
	} {
		if !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}
