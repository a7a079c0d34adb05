package diff_test

import (
	"os"
	"strings"
	"testing"

	"auditrelay/internal/diff"
)

func ExampleWrite() {
	before := diff.Lines([]byte(`{"b":"{\"password\":\"x\",\"n\":1}","a":1}`))
	after := diff.Lines([]byte(`{"a":1,"b":"{\"n\":1}","c":null}`))
	_ = diff.Write(os.Stdout, before, after, false)
	// Output:
	//     {
	//       "a": 1
	//       "b": {
	//         "(text holding JSON)": {
	//           "n": 1
	//   -       "password": "x"
	//         }
	//       }
	//   +   "c": null
	//     }
}

func TestLargeDocumentsAreShownWhole(t *testing.T) {
	var out strings.Builder
	many := make([]string, 5000)
	if err := diff.Write(&out, many, many[:1], true); err != nil || strings.Count(out.String(), "\n") != 5001 {
		t.Errorf("%d lines, %v", strings.Count(out.String(), "\n"), err)
	}
}

func TestWhatIsNoJSONIsShownAsItIs(t *testing.T) {
	if got := diff.Lines([]byte("not json")); len(got) != 1 || got[0] != "not json" {
		t.Errorf("got %q", got)
	}
}
