package runtime_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// damage is a change that an attacker can make to the files of a place.
type damage struct {
	what string
	do   func(p place)
}

// soaking reports whether to try all damages instead of samples.
func soaking() bool { return os.Getenv("AUDITRELAY_SOAK") != "" }

// damagesTo returns the damages to a file of whole: as one unit, with another file, with its
// earlier content in early, by lines, and by blocks of block bytes.
func damagesTo(whole, early place, name, next string, block int) []damage {
	data := whole[name]
	write := func(what string, content ...[]byte) damage {
		return damage{what, func(p place) { p[name] = bytes.Join(content, nil) }}
	}
	beside := path.Join(path.Dir(name), "copy-of-"+path.Base(name))
	all := []damage{
		{"deleted", func(p place) { delete(p, name) }},
		write("empty"),
		{"swapped with " + next, func(p place) { p[name], p[next] = p[next], p[name] }},
		write("replaced by "+next, whole[next]),
		{"copied beside", func(p place) { p[beside] = data }},
		{"renamed", func(p place) { p[beside] = data; delete(p, name) }},
		write("longer by a byte", data, []byte("x")),
		write("doubled in itself", data, data),
	}
	if n := len(data); n > 1 {
		all = append(all, write("cut by a byte", data[:n-1]), write("cut by half", data[:n/2]), write("halves exchanged", data[n/2:], data[:n/2]))
	}
	if before, ok := early[name]; ok {
		all = append(all, write("as it was earlier", before))
	}
	parts := slices.Collect(bytes.Lines(data))
	what := "line"
	if block > 0 {
		parts, what = slices.Collect(slices.Chunk(data, block)), "block"
	}
	step := 1
	if !soaking() {
		step = max(1, len(parts)/2)
	}
	for i := step / 2; i < len(parts); i += step {
		before, part, after := bytes.Join(parts[:i], nil), parts[i], parts[i+1:]
		rest := bytes.Join(after, nil)
		all = append(all, write(fmt.Sprintf("%s %d removed", what, i), before, rest), write(fmt.Sprintf("%s %d doubled", what, i), before, part, part, rest))
		if len(after) > 0 {
			all = append(all, write(fmt.Sprintf("%s %d exchanged with the next", what, i), before, after[0], part, bytes.Join(after[1:], nil)),
				write(fmt.Sprintf("%s %d in the place of the next", what, i), before, part, part, bytes.Join(after[1:], nil)))
		}
	}
	return slices.DeleteFunc(all, func(d damage) bool { return maps.EqualFunc(d.applied(whole), whole, bytes.Equal) })
}

// applied returns the place with the damage.
func (d damage) applied(whole place) place {
	p := whole.clone()
	d.do(p)
	return p
}

// flips returns the damage of one flipped bit in every step-th byte of a file.
func flips(name string, data []byte, step int) (all []damage) {
	if soaking() {
		step = 1
	}
	for at := step / 2; at < len(data); at += step {
		all = append(all, damage{fmt.Sprintf("byte %d of %d flipped", at, len(data)), func(p place) {
			p[name] = bytes.Clone(data)
			p[name][at] ^= 1 << (at % 8)
		}})
	}
	return all
}

// TestEveryObjectMayBeAnyOther damages each object of a bucket, and each file, as an attacker
// with write access could. Each damage is reported, or changes nothing.
func TestEveryObjectMayBeAnyOther(t *testing.T) {
	for _, compression := range []string{"gzip", "none"} {
		d := deliverAll(t, compression)
		for where, whole := range map[string]place{"bucket": d.bucket, "file": d.file} {
			if where == "file" && compression == "none" {
				continue // it is the same
			}
			testDamages(t, d, compression+" "+where, whole)
		}
	}
}

func testDamages(t *testing.T, d *delivered, where string, whole place) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(whole)), func(name string) bool {
		return strings.HasSuffix(name, ".state") || strings.HasSuffix(name, ".lock") // the sink's own
	})
	full := verified(t, whole, d.options())
	o := d.options()
	o.Pins = [][]byte{[]byte(full.Logs[0].Checkpoint)}
	tried := 0
	for i, name := range names {
		for _, damage := range damagesTo(whole, d.early, name, names[(i+1)%len(names)], 0) {
			tried++
			r := verified(t, damage.applied(whole), o)
			if r.FaultCount > 0 {
				continue
			}
			// Bundles overlap: one may be missing or renamed if the next one has its leaves.
			same := r.Records == full.Records && maps.Equal(r.Outcomes, full.Outcomes) && r.Logs[0].Size == full.Logs[0].Size && r.Logs[0].Last == full.Logs[0].Last
			covered := len(r.Unattested) > 0 && strings.Contains(r.Verdict(), "no checkpoint covers")
			if !same || !(strings.Contains(name, "proofs/") || covered) {
				t.Errorf("%s: %s %s went unnoticed: %s %v", where, name, damage.what, r.Verdict(), r.Unattested)
			}
		}
	}
	t.Logf("%s: %d damages", where, tried)
}
