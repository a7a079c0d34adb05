package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"auditrelay/builtin/redact"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// The reference: it applies a policy to a tree, slowly and literally, to compare with the walk
// over the document. It supports names without *, the event's own fields, detectors, json,
// opaque and digests.

type member struct {
	key   string
	value any
}

// tree parses JSON as []member, []any, string, json.Number, bool or nil. ok is false for
// invalid JSON.
func tree(text []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := value(d)
	if err != nil {
		return nil, false
	}
	_, err = d.Token()
	return v, err != nil
}

func value(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		object := []member{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			object = append(object, member{key.(string), v})
		}
		_, err = d.Token()
		return object, err
	case json.Delim('['):
		array := []any{}
		for d.More() {
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			array = append(array, v)
		}
		_, err = d.Token()
		return array, err
	}
	return t, nil
}

// held returns the tree in a string.
func held(s string, depth int) (any, bool) {
	t := strings.Trim(s, " \t\r\n")
	if depth >= 8 || t == "" || t[0] != '{' && t[0] != '[' || !json.Valid([]byte(t)) {
		return nil, false
	}
	return tree([]byte(t))
}

type reference struct {
	options redact.Options
	detect  *detect.Set
	known   *taught
	field   string // of the event
}

// taught are the secrets found by rules and detectors, in order.
type taught struct {
	values detect.Known
	does   []*redact.Rule
}

func (r *reference) teach(value string, rule *redact.Rule) {
	if slices.Contains([]string{"changed_by_api_key"}, r.field) || rule != nil && (rule.Do == redaction.Truncate || len(rule.Paths) > 0) {
		return
	}
	value = strings.TrimSpace(value)
	if r.known.values.Add([]byte(value)) == len(r.known.does) {
		r.known.does = append(r.known.does, rule)
	}
}

// teachAll is like teach, for a value that was masked as a whole.
func (r *reference) teachAll(v any, rule *redact.Rule, depth int, top bool) {
	switch w := v.(type) {
	case string:
		if inner, ok := held(w, depth); ok {
			r.teachAll(inner, rule, depth+1, false)
		} else if top || detect.Drawn([]byte(strings.TrimSpace(w))) {
			r.teach(w, rule)
		}
	case []any:
		for _, e := range w {
			r.teachAll(e, rule, depth, false)
		}
	case []member:
		for _, m := range w {
			r.teachAll(m.value, rule, depth, false)
		}
	}
}

// part is a partly redacted text: as it was, and as it is.
type part struct {
	text, out string
	found     []detect.Finding // none: it was shortened
}

// partOf returns out as a part of text, except in fields whose values are not known secrets.
func (r *reference) partOf(text, out string, found []detect.Finding) any {
	if r.field == "changed_by_api_key" || out == text || out == "***" {
		return out
	}
	return part{text, out, found}
}

// rest redacts the known values in a partly redacted text.
func (r *reference) rest(p part) any {
	taken, gone, more := make([]bool, len(p.text)), make([]bool, len(p.text)), false
	for _, f := range p.found {
		for i := f.Start; i < f.End; i++ {
			taken[i] = true
		}
	}
	for _, f := range r.known.values.Append(nil, []byte(p.text)) {
		within := slices.ContainsFunc(p.found, func(g detect.Finding) bool { return g.Start <= f.Start && f.End <= g.End })
		rule := r.known.does[f.Number]
		for i := f.Start; i < f.End && !within; i++ {
			taken[i], more = true, true
			gone[i] = rule != nil && rule.Do == redaction.Remove
		}
	}
	switch {
	case !more:
		return p.out
	case p.found == nil:
		return "***"
	}
	out := ""
	for i := 0; i < len(p.text); i++ {
		if !taken[i] {
			out += p.text[i : i+1]
			continue
		}
		start, removes := i, false
		for ; i < len(p.text) && taken[i]; i++ {
			removes = removes || gone[i]
		}
		switch {
		case !removes:
			out += "***"
		case start == 0 && i == len(p.text):
			return removed{}
		}
		i--
	}
	return out
}

// again redacts the known values in the rest.
func (r *reference) again(v any, top bool, depth int) any {
	if p, ok := v.(part); ok {
		v = r.rest(p)
	}
	switch v := v.(type) {
	case string:
		if inner, ok := held(v, depth); ok {
			return r.again(inner, false, depth+1)
		}
		out, last := "", 0
		for _, f := range r.known.values.Append(nil, []byte(v)) {
			out += v[last:f.Start]
			if rule := r.known.does[f.Number]; rule == nil || rule.Do != redaction.Remove {
				out += "***"
			} else if f.Start == 0 && f.End == len(v) {
				return removed{}
			}
			last = f.End
		}
		return out + v[last:]
	case []any:
		out := []any{}
		for _, e := range v {
			if e = r.again(e, false, depth); e != (removed{}) {
				out = append(out, e)
			}
		}
		return out
	case []member:
		out, renamed := []member{}, []member{}
		for _, m := range v {
			if top && m.key == "changed_by_api_key" {
				out = append(out, m)
				continue
			}
			value := m.value
			if text, ok := value.(string); !ok || !top || !slices.Contains(r.options.Digests, m.key) || !isDigest(text) {
				value = r.again(value, false, depth)
			}
			switch {
			case value == removed{}:
			case r.known.values.Stands([]byte(m.key)):
				renamed = append(renamed, member{"***", value})
			default:
				out = append(out, member{m.key, value})
			}
		}
		return append(out, renamed...)
	}
	return v
}

var (
	jsonBegins = regexp.MustCompile(`^[ \t\r\n\[{]*["'\\]`)
	jsonName   = regexp.MustCompile(`["'][ \t\r\n]*:`)
)

// mark stands for a value that was removed.
type removed struct{}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("_- .", r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

func (r *reference) rule(key string, top, names bool) (best *redact.Rule) {
	for i := range r.options.Rules {
		rule := &r.options.Rules[i]
		named := names && slices.ContainsFunc(rule.Names, func(n string) bool { return fold(n) == fold(key) }) || top && slices.Contains(rule.Paths, key)
		if named && (best == nil || rule.Do > best.Do) {
			best = rule
		}
	}
	return best
}

// one redacts a value under a key, empty for an element. near is the meaning of its name.
func (r *reference) one(v any, key string, near detect.Name, top bool, inherited *redact.Rule, depth int) any {
	rule := inherited
	text, isText := v.(string)
	if key != "" {
		spared := top && isText && slices.Contains(r.options.Digests, key) && isDigest(text)
		own := r.rule(key, top, !spared)
		if spared && own == nil && inherited == nil {
			return v
		}
		if own != nil && (rule == nil || own.Do > rule.Do) {
			rule = own
		}
	}
	declared := top && slices.Contains(r.options.JSON, key)
	var inner any
	holds := false
	switch v.(type) {
	case []member, []any:
		inner, holds = v, true
	case string:
		inner, holds = held(text, depth)
	}
	switch {
	case v == nil && (rule == nil || rule.Do != redaction.Remove):
		return nil
	case rule != nil && rule.Do == redaction.Remove:
		r.teachAll(v, rule, depth, true)
		return removed{}
	case rule != nil && rule.Do == redaction.Masked:
		if v == "" {
			return v
		}
		r.teachAll(v, rule, depth, true)
		return "***"
	case holds:
		if isText {
			depth++
		}
		return r.inside(inner, near, rule, depth)
	}
	begins := strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") || strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "[")
	meant := begins && (jsonBegins.MatchString(text) || jsonName.MatchString(text))
	if isText && (meant && (declared || r.options.Opaque == redact.OpaqueMask) ||
		declared && strings.TrimSpace(text) != "" && (strings.Contains(text, `\`) || !json.Valid([]byte(strings.TrimSpace(text))))) {
		return "***"
	}
	if rule != nil {
		return r.truncated(v, rule.Keep, begins, near)
	}
	switch v := v.(type) {
	case string:
		out, last := "", 0
		found := r.detect.Append(nil, []byte(v), near)
		for _, f := range found {
			r.teach(v[f.Start:f.End], nil)
			out += v[last:f.Start] + "***"
			last = f.End
		}
		return r.partOf(v, out+v[last:], found)
	case json.Number:
		if r.detect.Detects([]byte(v), near) {
			return "***"
		}
	}
	return v
}

func (r *reference) truncated(v any, keep int, begins bool, near detect.Name) any {
	text, isText := v.(string)
	if !isText {
		b, _ := json.Marshal(v)
		text = string(b)
	}
	switch runes := []rune(text); {
	case text == "" || text == "***":
		return text
	case begins || r.detect.Detects([]byte(text), near):
		return "***"
	default:
		return r.partOf(text, string(runes[:min(keep, len(runes))]), nil)
	}
}

func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func (r *reference) inside(v any, near detect.Name, rule *redact.Rule, depth int) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, e := range v {
			if e = r.element(e, near, rule, depth); e != (removed{}) {
				out = append(out, e)
			}
		}
		return out
	case []member:
		return r.object(v, false, near, rule, depth)
	}
	return v
}

// element handles an element without its own key. near is the meaning of the name above it.
func (r *reference) element(v any, near detect.Name, rule *redact.Rule, depth int) any {
	bare := *r
	bare.options.Rules = nil
	return bare.named(r, v, near, rule, depth)
}

// named handles an element: rules by name do not apply to it, but they may apply to names
// inside it.
func (r *reference) named(whole *reference, v any, near detect.Name, rule *redact.Rule, depth int) any {
	switch w := v.(type) {
	case []member, []any:
		if rule == nil || rule.Do == redaction.Truncate {
			return whole.inside(v, near, rule, depth)
		}
	case string:
		if inner, ok := held(w, depth); ok && (rule == nil || rule.Do == redaction.Truncate) {
			return whole.inside(inner, near, rule, depth+1)
		}
	}
	r.options.JSON, r.options.Digests = nil, nil
	return r.one(v, "", near, false, rule, depth)
}

func (r *reference) object(members []member, top bool, above detect.Name, rule *redact.Rule, depth int) any {
	out, renamed := []member{}, []member{}
	for _, m := range members {
		if top {
			r.field = m.key
		}
		key := []byte(m.key)
		near := (*detect.Catalogue)(nil).Inside(above, r.detect.Name(key), key, detect.ValueName(key))
		v := r.one(m.value, m.key, near, top, rule, depth)
		switch {
		case v == removed{}:
		case r.detect.Detects([]byte(m.key), detect.Name{}):
			renamed = append(renamed, member{"***", v})
		default:
			out = append(out, member{m.key, v})
		}
	}
	return append(out, renamed...)
}

// same compares trees. It ignores the numbers of masked keys, and compares strings with JSON by
// their content.
func same(a, b any, depth int) bool {
	if s, ok := a.(string); ok {
		if inner, ok := held(s, depth); ok {
			a = inner
		}
	}
	if s, ok := b.(string); ok {
		if inner, ok := held(s, depth); ok {
			b = inner
		}
	}
	switch a := a.(type) {
	case []member:
		b, ok := b.([]member)
		return ok && slices.EqualFunc(a, b, func(x, y member) bool {
			key := func(k string) string {
				if rest, ok := strings.CutPrefix(k, "***"); ok && strings.Trim(rest, "0123456789") == "" {
					return "***"
				}
				return k
			}
			return key(x.key) == key(y.key) && same(x.value, y.value, depth)
		})
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, func(x, y any) bool { return same(x, y, depth) })
	}
	return a == b
}

const (
	key1   = "sk-proj-mJ3kq9ZsTb81LwXy0dVf"
	key2   = "ghp_Zk9Q7h2Vd5Xw8Lr3TmJ3kq9ZsTb81LwX0dQf"
	digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// document makes a random event.
func randomValue(r *rand.Rand, depth int) any {
	if depth > 0 && r.IntN(3) == 0 {
		switch r.IntN(3) {
		case 0:
			array := []any{}
			for range r.IntN(4) {
				array = append(array, randomValue(r, depth-1))
			}
			return array
		case 1:
			return encode(randomValue(r, depth-1)) // a string with JSON, or with a scalar's text
		}
		return randomObject(r, depth-1)
	}
	scalars := []any{nil, true, json.Number("12"), json.Number("1e400"), json.Number("-0.10"), "", "text", "a añb", key1, "use " + key1 + " or " + key2,
		digest, strings.ToUpper(digest), "{cut", ` [1,`, `{"password":"x"} y`, "\u007b\"password\":\"x\"}", "https://u:Zk9Q7h2Vd5@host/p", "password=Zk9Q7h2Vd5Xw8Lr3"}
	return scalars[r.IntN(len(scalars))]
}

var someKeys = []string{"password", "passWord", "token", "a", "b", "user", "updated_values", "changed_by_api_key", "api-key", key2, "x.y", ""}

func randomObject(r *rand.Rand, depth int) []member {
	object := []member{}
	for _, i := range r.Perm(len(someKeys))[:r.IntN(6)] {
		object = append(object, member{someKeys[i], randomValue(r, depth)})
	}
	return object
}

func encode(v any) string {
	var b strings.Builder
	switch v := v.(type) {
	case []member:
		b.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s: %s", encode(m.key), encode(m.value))
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(encode(e))
		}
		b.WriteByte(']')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	return b.String()
}

func randomPolicy(r *rand.Rand) redact.Options {
	o := redact.Options{Rules: []redact.Rule{{Detect: []string{"secrets"}, Do: redaction.Masked}}}
	for _, name := range []string{"password", "token", "user", "api_key"} {
		switch r.IntN(5) {
		case 0:
			o.Rules = append(o.Rules, redact.Rule{Names: []string{name}, Do: redaction.Masked})
		case 1:
			o.Rules = append(o.Rules, redact.Rule{Names: []string{name}, Do: redaction.Remove})
		case 2:
			o.Rules = append(o.Rules, redact.Rule{Names: []string{name}, Do: redaction.Truncate, Keep: 2})
		case 3:
			o.Rules = append(o.Rules, redact.Rule{Paths: []string{name}, Do: redaction.Masked})
		}
	}
	r.Shuffle(len(o.Rules), func(i, j int) { o.Rules[i], o.Rules[j] = o.Rules[j], o.Rules[i] })
	if r.IntN(2) == 0 {
		o.JSON = []string{"updated_values"}
	}
	if r.IntN(2) == 0 {
		o.Opaque = redact.OpaqueMask
	}
	if r.IntN(2) == 0 {
		o.Digests = []string{"changed_by_api_key", "token"}
	}
	return o
}

// check compares the result of one policy for one event with the reference, and with its own
// promises.
func check(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	o := randomPolicy(r)
	event := randomObject(r, 5)
	text := encode(event)
	set, err := detect.Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	f, err := redact.New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	redactor := open(t, f)
	out, _ := redactor.apply(t, []byte(text))
	got, ok := tree(out)
	if !ok {
		t.Fatalf("seed %d: no JSON: %s", seed, out)
	}
	ref := &reference{options: o, detect: set, known: new(taught)}
	want := ref.again(ref.object(event, true, detect.Name{}, nil, 0), true, 0)
	if !same(want, got, 0) {
		t.Fatalf("seed %d: %+v\nof  %s\ngot %s\nnot %s", seed, o, text, out, encode(want))
	}
	once := string(out)
	if twice, _ := redactor.apply(t, out); string(twice) != once {
		t.Fatalf("seed %d: %+v: done again it is another\nof    %s\nonce  %s\ntwice %s", seed, o, text, once, twice)
	}
}

func TestPoliciesAgainstTheReference(t *testing.T) {
	rounds := 20_000
	if testing.Short() {
		rounds = 3_000
	}
	for seed := range rounds {
		check(t, uint64(seed))
	}
}

func FuzzPolicies(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(check)
}
