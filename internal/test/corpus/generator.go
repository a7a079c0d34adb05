package corpus

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"time"
)

// Generator generates events. Equal seeds give equal events on every machine. It is not safe
// for concurrent use.
type Generator struct {
	random *rand.Rand
	now    time.Time
	every  int    // one event in this many has a secret; 0: none
	kinds  []Kind // used in turn
	made   int
	minted int // number of secrets
	turn   int
	tables []table
	users  []string
	teams  []string
}

// New returns a Generator without secrets.
func New(seed uint64) *Generator {
	g := &Generator{
		random: rand.New(rand.NewPCG(seed, 0x61756469747265)),
		tables: tables(),
		now:    time.Date(2025, 6, 1, 8, 0, 0, 0, time.UTC),
	}
	for range 40 {
		g.users = append(g.users, g.uuid())
		g.teams = append(g.teams, g.uuid())
	}
	return g
}

// Plant puts a secret in one event of every every events (1: each; 0: none). It uses the kinds
// in turn; without kinds, all Kinds.
func (g *Generator) Plant(every int, kinds ...Kind) {
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	g.every, g.kinds = every, kinds
}

// Next returns the next event. Ids are distinct, and times increase.
func (g *Generator) Next() Event {
	g.now = g.now.Add(time.Duration(1+g.random.IntN(4_000_000)) * time.Microsecond)
	if g.random.IntN(50) == 0 {
		g.now = g.now.Truncate(time.Second).Add(time.Second)
	}
	d := g.draft()
	var planted []Plant
	g.made++
	if g.every > 0 && g.made%g.every == 0 {
		kind := g.kinds[g.turn%len(g.kinds)]
		g.turn++
		planted = kind.plant(g, &d)
		for i := range planted {
			planted[i].Kind = kind.Name
		}
	}
	return Event{ID: d.id, Action: d.action, Data: d.append(make([]byte, 0, 1024)), Planted: planted}
}

// draft is an event before it is encoded.
type draft struct {
	id, updatedAt, changedBy, apiKey, action, table, objectID string
	before, updated                                           object // nil: null
	text                                                      bool   // the values are encoded as JSON text, as LiteLLM does
	beforeAs, updatedAs                                       any    // replace them if set
	extra                                                     object // fields unknown to the schema, or recent ones
}

func (d *draft) append(dst []byte) []byte {
	return appendJSON(dst, append(object{
		{"id", d.id},
		{"updated_at", d.updatedAt},
		{"changed_by", d.changedBy},
		{"changed_by_api_key", d.apiKey},
		{"action", d.action},
		{"table_name", d.table},
		{"object_id", d.objectID},
		{"before_value", d.value(d.before, d.beforeAs)},
		{"updated_values", d.value(d.updated, d.updatedAs)},
	}, d.extra...))
}

func (d *draft) value(o object, as any) any {
	switch {
	case as != nil:
		return as
	case o == nil:
		return nil
	case d.text:
		return held{o}
	}
	return o
}

// isoformat formats a time like Python: with microseconds only if there are any.
func isoformat(t time.Time) string {
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05+00:00")
	}
	return t.Format("2006-01-02T15:04:05.000000+00:00")
}

func (g *Generator) draft() draft {
	t := g.pickTable()
	d := draft{
		id:        g.uuid(),
		updatedAt: isoformat(g.now),
		changedBy: g.pick(g.users),
		apiKey:    g.hash(),
		action:    t.actions[g.random.IntN(len(t.actions))],
		table:     t.name,
		text:      g.random.IntN(10) < 7,
	}
	if g.random.IntN(5) == 0 {
		d.changedBy = "default_user_id"
	}
	var row object
	d.objectID, row = t.row(g)
	switch d.action {
	case "created":
		d.updated = row
	case "deleted":
		d.before = row
	case "blocked", "unblocked":
		d.before = append(slices.Clip(row), member{"blocked", d.action == "unblocked"})
		d.updated = object{{"blocked", d.action == "blocked"}, {"updated_by", d.changedBy}, {"updated_at", d.updatedAt}}
	default:
		d.before = row
		d.updated = t.change(g)
	}
	if g.random.IntN(6) == 0 {
		d.extra = object{{"object_alias", g.alias()}, {"changed_by_user_email", g.email()}}
	}
	return d
}

func (g *Generator) pick(from []string) string { return from[g.random.IntN(len(from))] }

// bytes returns n random bytes.
func (g *Generator) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.random.Uint32())
	}
	return b
}

// hash returns a key in LiteLLM's stored form: a SHA-256 in hexadecimal digits.
func (g *Generator) hash() string { return hex.EncodeToString(g.bytes(32)) }

func (g *Generator) uuid() string {
	b := g.bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
