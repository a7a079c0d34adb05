package detect_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"auditrelay/internal/detect"
)

// Known values are found wherever they stand, few or many.
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
				f, number, ok := k.Next(text, 0)
				if !ok || number != i || !bytes.Equal(text[f.Start:f.End], v) {
					t.Fatalf("round %d, value %d of %d: %v %d %v", round, i, n, f, number, ok)
				}
				if _, _, ok := k.Next(text, f.Start+1); ok {
					t.Fatal("found twice")
				}
			}
			k.Reset()
			if _, _, ok := k.Next(values[0], 0); ok || k.Len() > 0 {
				t.Fatal("not forgotten")
			}
		}
	}
	var crowded detect.Known
	for i := range 100 {
		crowded.Add(fmt.Appendf(nil, "%d-the-same-end", i))
	}
	if f, _, ok := crowded.Next([]byte("a text with the-same-end in it"), 0); !ok || f.Start != 0 || f.End != 30 {
		t.Errorf("a crowd takes %v, %v", f, ok)
	}
}

// What is short or common teaches nothing.
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
