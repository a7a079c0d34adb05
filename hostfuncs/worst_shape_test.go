package hostfuncs

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"auditrelay/internal/query"
)

// A hostShape is an event and repeated calls of host functions, designed to take the most time
// for their fuel.
type hostShape struct {
	Event     []eventPart
	Paths     []string
	Regexes   []string
	Detectors []string
	Write     []string // requested and granted
	Calls     []hostCall
}

// An eventPart is one or many members of the event. The meaning of N and Text depends on Kind.
type eventPart struct {
	Kind int
	N    int
	Text string
}

// A hostCall is one call. The meaning of its numbers depends on the parameter.
type hostCall struct {
	Name string
	A    [6]int
}

const (
	partWide   = iota // N members
	partArray         // N elements
	partDeep          // N nested objects
	partText          // Text, N times
	partNested        // a string with JSON, in a string, ...
	partKey           // a key of N times Text
	partTree          // equal keys, N levels
	partArrays        // N arrays of one element
	partNumber        // of N digits
	parts
)

// mostEvent limits an event, so that a search covers many.
const mostEvent = 256 << 10

var (
	partTexts = []string{"a", "ab", `\u0061`, `\n`, "é", "1", " ", "{", "[1,", "password", "password=", "token=", "key: ", "http://a.b/?a=", "a@b.c ", "@", ".", "-", "4111 1111 1111 1111 ",
		"eyJhbGciOi.", "-----BEGIN PRIVATE KEY-----", "AKIA", "1.1.1.1 ", "::", "sk-", "&a=b", "Authorization: Bearer ", "Cookie: a=b; ", "+49 ", "DE89", "curl -u ", "mJ3kq9ZsTb81LwXy0dVf", "aaaaaaaaaaaaaaaaaaab"}
	partSizes   = []int{0, 1, 2, 10, 59, 100, 1000, 5000, 20_000, 60_000}
	pathParts   = []string{"a", "b", "*", "**", "0", "1", "k1", "~a", "~password", "~a_b_c", "zz", `\*`, "updated_values", strings.Repeat("x", 50), "~" + strings.Repeat("x", 50)}
	regexParts  = []string{"a", ".", ".*", "a*", "(a|b)", "[^b]", "(?i)a", `\w+`, "^", "$", `\b`, "b", "|a", "(?:a?){30}", "(a*)*", ".*?b", "(?s).*b", "x{0,50}", "password", "[a-z0-9]{20,}", "é", ""}
	detectNames = []string{"secrets", "pii", "secrets, pii", "email", "jwt", "ip", "card", "iban", "phone"}
	queryParts  = []string{"a", "*", "?", "b", "*a*", "a*b", "#", "#.a", "#(a==1)", "#(a==1)#", `#(a%"*a*")#`, "#(#(a==1)#)#", "0", "1", strings.Repeat("a", 60) + "*", "k1", `\*`}
	writePaths  = []string{"**", "a", "a.**", "b.*", "**.a", "**.*.a", "updated_values.**", "~a.**", "a.**.b.**"}
)

// texts returns the guest's arguments: names, values, documents.
func (s *hostShape) texts() [][]byte {
	long := strings.Repeat("a", 60_000)
	out := [][]byte{nil, []byte("a"), []byte("1"), []byte(`"a"`), []byte(`{"a":1}`), []byte("alerts"), []byte("pseudonyms"), []byte("seen"), []byte("secrets"),
		[]byte(long), []byte(`"` + long + `"`), []byte(`{"a":"` + long + `"}`), []byte(strings.Repeat("\x01", 20_000)), []byte(strings.Repeat("\n", 4000)), []byte(strings.Repeat("\xff", 20_000)),
		[]byte(`"` + strings.Repeat(`\u0061`, 5000) + `"`), []byte(strings.Repeat("[", 60) + strings.Repeat("]", 60)), []byte("[" + strings.Repeat("[],", 20_000) + "1]"),
		[]byte(`{"a":[` + strings.Repeat(`{"a":1},`, 5000) + `1]}`), wideObject(1, "x"), wideObject(3000, "x"), wideObject(3000, `\u0061`), []byte(`"{\"a\":[` + strings.Repeat("[],", 3000) + `1]}"`),
		[]byte("a b\n"), []byte("new-key")}
	return append(out, s.event())
}

func wideObject(n int, key string) []byte {
	b := []byte{'{'}
	for i := range n {
		b = fmt.Appendf(b, `"%s%d":1,`, key, i)
	}
	return append(b, `"z":1}`...)
}

func (s *hostShape) event() []byte {
	b := []byte(`{"action":"updated"`)
	for i, p := range s.Event {
		n := max(1, min(p.N, (mostEvent-len(b))/max(1, 2*len(p.Text)+8)))
		name := string(rune('a' + i))
		switch p.Kind {
		case partWide:
			b = fmt.Appendf(b, `,"%s":%s`, name, wideObject(min(n, 20_000), p.Text))
		case partArray:
			element := []string{"1", `"a"`, "[]", `{"a":1}`, `"{\"a\":1}"`}[len(p.Text)%5]
			b = fmt.Appendf(b, `,"%s":[%s1]`, name, strings.Repeat(element+",", min(n, 20_000)))
		case partDeep:
			b = fmt.Appendf(b, `,"%s":%s1%s`, name, strings.Repeat(`{"a":`, min(n, 60)), strings.Repeat("}", min(n, 60)))
		case partText:
			b = fmt.Appendf(b, `,"%s":"%s"`, name, strings.Repeat(p.Text, n))
		case partNested:
			inner := string(wideObject(min(n, 500), strings.ReplaceAll(p.Text, `\`, "")))
			for range 1 + len(p.Text)%4 {
				inner = fmt.Sprintf(`{"a":%q}`, inner)
			}
			b = fmt.Appendf(b, `,"%s":%q`, name, inner)
		case partKey:
			b = fmt.Appendf(b, `,"%s":{"%s":1,"a":"a"}`, name, strings.Repeat(p.Text, n))
		case partTree:
			inner := "1"
			for len(inner) < min(16*n, 40_000) {
				inner = fmt.Sprintf(`{"a":%s,"b":[%s,{"a":1}]}`, inner, inner)
			}
			b = fmt.Appendf(b, `,"%s":%s`, name, inner)
		case partArrays:
			b = fmt.Appendf(b, `,"%s":[%s1]`, name, strings.Repeat("[1,2],", min(n, 20_000)))
		case partNumber:
			b = fmt.Appendf(b, `,"%s":1%s`, name, strings.Repeat("1", min(n, 60_000)))
		}
	}
	return append(b, '}')
}

// queryText returns the query for a number.
func queryText(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // not a secret
	for {
		var b strings.Builder
		for i := range 1 + r.IntN(8) {
			if i > 0 {
				b.WriteString([]string{".", ".", "|"}[r.IntN(3)])
			}
			b.WriteString(queryParts[r.IntN(len(queryParts))])
		}
		if _, err := query.Parse(b.String()); err == nil {
			return b.String()
		}
	}
}

func (s *hostShape) String() string {
	var b strings.Builder
	for _, c := range s.Calls {
		fmt.Fprintf(&b, "%s%v ", c.Name, c.A)
	}
	b.WriteString("on")
	for _, p := range s.Event {
		fmt.Fprintf(&b, " %s(%d,%.20q)", [...]string{"wide", "array", "deep", "text", "nested", "key", "tree", "arrays", "number"}[p.Kind], p.N, p.Text)
	}
	fmt.Fprintf(&b, "; paths %.60q; regexes %q; detectors %q; write %q", s.Paths, s.Regexes, s.Detectors, s.Write)
	return b.String()
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomPart(r *rand.Rand) eventPart {
	return eventPart{Kind: r.IntN(parts), N: pick(r, partSizes), Text: pick(r, partTexts)}
}

func randomPath(r *rand.Rand) string {
	var all []string
	for range 1 + r.IntN(6) {
		all = append(all, pick(r, pathParts))
	}
	return strings.Join(all, ".")
}

func randomRegex(r *rand.Rand) string {
	text := ""
	for range 1 + r.IntN(4) {
		text += pick(r, regexParts)
	}
	return text
}

func randomCall(r *rand.Rand, name string) hostCall {
	c := hostCall{Name: name}
	for i := range c.A {
		c.A[i] = r.IntN(1 << 12)
	}
	return c
}

// helpers are called beside the function under test.
var helpers = []string{"find", "each", "child", "mask", "set_json", "set_string", "delete", "put", "get", "event_replace"}

func randomHost(r *rand.Rand, name string) *hostShape {
	s := &hostShape{Write: []string{"**"}, Calls: []hostCall{randomCall(r, name)}}
	if r.IntN(2) == 0 {
		s.Calls = append(s.Calls, randomCall(r, pick(r, helpers)))
	}
	for range 1 + r.IntN(2) {
		s.Event = append(s.Event, randomPart(r))
		s.Paths = append(s.Paths, randomPath(r))
		s.Regexes = append(s.Regexes, randomRegex(r))
		s.Detectors = append(s.Detectors, pick(r, detectNames))
	}
	return s
}

// mutate returns a slightly different shape.
func (s *hostShape) mutate(r *rand.Rand) *hostShape {
	m := &hostShape{Event: slices.Clone(s.Event), Paths: slices.Clone(s.Paths), Regexes: slices.Clone(s.Regexes), Detectors: slices.Clone(s.Detectors), Write: slices.Clone(s.Write), Calls: slices.Clone(s.Calls)}
	for range 1 + r.IntN(3) {
		switch r.IntN(10) {
		case 0:
			m.Event[r.IntN(len(m.Event))] = randomPart(r)
		case 1:
			p := &m.Event[r.IntN(len(m.Event))]
			p.N = pick(r, partSizes)
		case 2:
			m.Event[r.IntN(len(m.Event))].Text = pick(r, partTexts)
		case 3:
			m.Paths[r.IntN(len(m.Paths))] = randomPath(r)
		case 4:
			m.Regexes[r.IntN(len(m.Regexes))] = randomRegex(r)
		case 5:
			m.Detectors[r.IntN(len(m.Detectors))] = pick(r, detectNames)
		case 6, 7:
			m.Calls[r.IntN(len(m.Calls))].A[r.IntN(6)] = r.IntN(1 << 12)
		case 8:
			switch {
			case len(m.Calls) < 4 && r.IntN(2) == 0:
				m.Calls = append(m.Calls, randomCall(r, pick(r, helpers)))
			case len(m.Calls) > 1:
				m.Calls = m.Calls[:len(m.Calls)-1]
			}
		case 9:
			m.Write = nil
			for range []int{1, 1, 2, 40}[r.IntN(4)] {
				m.Write = append(m.Write, pick(r, writePaths))
			}
			if len(m.Event) < 4 {
				m.Event, m.Paths = append(m.Event, randomPart(r)), append(m.Paths, randomPath(r))
			}
		}
	}
	return m
}

// The memory layout of the guest's arguments.
const (
	guestVectors = 0        // for fd_write: 1,024 of 8 bytes
	guestTexts   = 64 << 10 // one after the other
	guestBuffer  = 12 << 20
	guestMemory  = 16 << 20
)

// lay writes the texts into memory and returns where each begins.
func lay(memory []byte, texts [][]byte) []uint64 {
	at, begins := guestTexts, make([]uint64, len(texts))
	for i, t := range texts {
		begins[i] = uint64(at) //nolint:gosec // small
		at += copy(memory[at:], t)
	}
	return begins
}

// vectors writes the argument of fd_write: a number of vectors of one size.
func vectors(memory []byte, how int, text []byte, at uint64) uint64 {
	count := []int{1, 16, 1024}[how%3]
	for i := range count {
		v := memory[guestVectors+8*i:]
		switch how / 3 % 4 {
		case 0: // nothing
			binary.LittleEndian.PutUint64(v, 0)
		case 1: // all of the memory
			binary.LittleEndian.PutUint32(v, 1<<20)
			binary.LittleEndian.PutUint32(v[4:], 11<<20)
		default:
			binary.LittleEndian.PutUint32(v, uint32(at))            //nolint:gosec // small
			binary.LittleEndian.PutUint32(v[4:], uint32(len(text))) //nolint:gosec // small
		}
	}
	return uint64(count) //nolint:gosec // small
}
