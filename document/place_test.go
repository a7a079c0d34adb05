package document_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/document"
)

// randomValue returns JSON with arrays in objects in strings.
func randomValue(r *rand.Rand, depth int) string {
	n := r.IntN(5)
	switch {
	case depth == 0:
		return fmt.Sprint(r.IntN(100))
	case r.IntN(3) == 0:
		var members []string
		for i := range n {
			members = append(members, fmt.Sprintf("%q:%s", string(rune('a'+i)), randomValue(r, depth-1)))
		}
		return "{" + strings.Join(members, ",") + "}"
	case r.IntN(4) == 0:
		return fmt.Sprintf("%q", "["+randomValue(r, depth-1)+","+randomValue(r, 0)+"]")
	}
	var elements []string
	for range n {
		elements = append(elements, randomValue(r, depth-1))
	}
	return "[" + strings.Join(elements, ",") + "]"
}

// numbered lists all values with the keys and indexes that lead to them.
func numbered(d *document.Document, n document.Node, at string) []string {
	var all []string
	for c := d.Child(n, document.None); c != document.None; c = d.Child(n, c) {
		path := at + "." + string(d.AppendKey(nil, c))
		all = append(append(all, path+" "+string(d.AppendJSON(nil, c))), numbered(d, c, path)...)
	}
	return all
}

// Elements keep their numbers in another document of the same value: after gaps, in replaced
// values and in strings, whatever part of either was read before.
func TestElementsKeepTheirNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parted := 0
	for range 3000 {
		var d document.Document
		text := `{"x":` + randomValue(r, 4) + `,"y":` + randomValue(r, 3) + `}`
		d.Reset([]byte(text))
		for range r.IntN(8) {
			n := document.Root
			for range 1 + r.IntN(5) {
				to := d.Child(n, document.None)
				for range r.IntN(4) {
					if next := d.Child(n, to); to != document.None && next != document.None {
						to = next
					}
				}
				if to == document.None {
					break
				}
				n = to
			}
			if n == document.Root {
				continue
			}
			if r.IntN(4) == 0 {
				_ = d.SetJSON(n, []byte(randomValue(r, 2)))
			} else {
				_ = d.Delete(n)
			}
		}
		gaps := d.AppendGaps(nil)
		if len(gaps) > 0 {
			parted++
		}
		var again document.Document
		again.Reset(d.Append(nil))
		if !again.SetGaps(gaps) {
			t.Fatalf("%s as %s: the gaps %v were not understood", text, d.Append(nil), gaps)
		}
		if got, want := numbered(&again, document.Root, ""), numbered(&d, document.Root, ""); !slices.Equal(got, want) {
			t.Fatalf("%s:\ngot  %q\nwant %q", text, got, want)
		}
	}
	if parted < 500 {
		t.Errorf("only %d documents had gaps", parted)
	}
}

// Listing the removed elements takes no longer if an attacker chooses the order of arrays.
func TestGapsAreLinear(t *testing.T) {
	took := func(n int) time.Duration {
		least := time.Hour
		for range 8 {
			var d document.Document
			d.Reset([]byte(`{"x":{` + strings.TrimSuffix(strings.Repeat(`"a":[1,2],`, n), ",") + `},"y":[` + strings.Repeat("1,", n) + `1]}`))
			var arrays, elements []document.Node
			x := d.Child(document.Root, document.None)
			y := d.Child(document.Root, x)
			for c := d.Child(x, document.None); c != document.None; c = d.Child(x, c) {
				arrays = append(arrays, c)
			}
			for c := d.Child(y, document.None); c != document.None; c = d.Child(y, c) {
				elements = append(elements, c)
			}
			slices.Reverse(arrays)
			for _, a := range arrays {
				if err := d.Delete(d.Child(a, document.None)); err != nil {
					t.Fatal(err)
				}
			}
			for i := 0; i < len(elements); i += 2 {
				if err := d.Delete(elements[i]); err != nil {
					t.Fatal(err)
				}
			}
			text := d.Append(nil)
			began := time.Now()
			gaps := d.AppendGaps(nil)
			var again document.Document
			again.Reset(text)
			if !again.SetGaps(gaps) || len(gaps) == 0 {
				t.Fatal("not understood")
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	if small, large := took(2000), took(32_000); large > 100*small+20*time.Millisecond {
		t.Errorf("16 times as much took %v instead of %v", large, small)
	}
}
