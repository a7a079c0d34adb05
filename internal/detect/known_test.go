package detect_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"auditrelay/internal/detect"
)

// Known values are found everywhere, few or many.
func TestKnown(t *testing.T) {
	for _, n := range []int{1, 3, 4, 5, 40, 3000} {
		r := rand.New(rand.NewPCG(uint64(n), 1))
		var k detect.Known
		for round := range 2 {
			var values [][]byte
			for i := range n {
				v := fmt.Appendf(nil, "v%x-%x", i, r.Uint64())
				values = append(values, v)
				if got := k.Add(v); got != i {
					t.Fatalf("number %d, want %d", got, i)
				}
				if got := k.Add(v); got != i {
					t.Fatalf("the same value has number %d, want %d", got, i)
				}
			}
			if k.Len() != n {
				t.Fatalf("%d values", k.Len())
			}
			for i, v := range values {
				text := append(append([]byte("before "), v...), " behind"...)
				want := []detect.Place{{Start: 7, End: 7 + len(v), Number: i}}
				if got := k.Append(nil, text); !slices.Equal(got, want) || !k.Stands(text) {
					t.Fatalf("round %d, value %d of %d: %v, want %v", round, i, n, got, want)
				}
			}
			k.Reset()
			if k.Stands(values[0]) || k.Append(nil, values[0]) != nil || k.Len() > 0 {
				t.Fatal("not forgotten")
			}
		}
	}
	var crowded detect.Known
	for i := range 100 {
		crowded.Add(fmt.Appendf(nil, "%d-the-same-end", i))
	}
	if got := crowded.Append(nil, []byte("a text with the-same-end in it")); len(got) != 1 || got[0].Start != 0 || got[0].End != 30 {
		t.Errorf("a crowd takes %v", got)
	}
}

// Overlapping values are one finding, so no part of them remains, for few or many known values.
func TestOverlappingValuesAreOnePlace(t *testing.T) {
	values := []string{"Gx7pQ2zz", "Gx7pQ2zzWk4LongTail9", "HeadxxGx7pQ2zzTail77", "7pQ2zzTail77-more"}
	for name, others := range map[string]int{"few": 0, "many": 50} {
		var k detect.Known
		for _, v := range values {
			k.Add([]byte(v))
		}
		for i := range others {
			k.Add(fmt.Appendf(nil, "another-value-%d", i))
		}
		for text, want := range map[string][]detect.Place{
			"Gx7pQ2zz":                         {{0, 8, 0}},
			"see Gx7pQ2zzWk4LongTail9 ok":      {{4, 24, 1}},
			"HeadxxGx7pQ2zzTail77":             {{0, 20, 2}},
			"aHeadxxGx7pQ2zzTail77-more b":     {{1, 26, 2}},
			"Gx7pQ2zzGx7pQ2zz":                 {{0, 8, 0}, {8, 16, 0}},
			"Gx7pQ2zzWk4LongTail9 or Gx7pQ2zz": {{0, 20, 1}, {24, 32, 0}},
		} {
			if got := k.Append(nil, []byte(text)); !slices.Equal(got, want) {
				t.Errorf("%s: %s: %v, want %v", name, text, got, want)
			}
		}
	}
}

// The work for a text is bounded, for any known values.
func TestKnownValuesThatContainEachOther(t *testing.T) {
	var k detect.Known
	for i := range 30 {
		k.Add(append([]byte("q7-"), bytes.Repeat([]byte("a"), 20_000+i)...))
	}
	for i := range 30 {
		k.Add(bytes.Repeat([]byte("aB"), 5_000+i))
	}
	text := bytes.Repeat([]byte("aB"), 200_000)
	if got := k.Append(nil, text); len(got) != 1 || got[0].Start != 0 || got[0].End != len(text) {
		t.Errorf("%d places, the first %v", len(got), got[:1])
	}
}

// Short or common values are not added.
func TestCommonValuesAreNotKnown(t *testing.T) {
	var k detect.Known
	for _, v := range []string{"", "a1b2c3d", "sunshine", "production", "123456789", "***", "os.environ/OPENAI_API_KEY", "hmac:people:0123456789abcdef0123456789abcdef"} {
		if k.Add([]byte(v)) >= 0 {
			t.Errorf("%q is taken", v)
		}
	}
	for _, v := range []string{"hunter2-Fall", "salt-for-prod", "q7Zk2mXv9TbL4wRy8nDs6HcP", "1234567890", "correcthorsebattery", "sun shine"} {
		if k.Add([]byte(v)) < 0 {
			t.Errorf("%q is not taken", v)
		}
	}
}
