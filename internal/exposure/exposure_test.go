package exposure_test

import (
	"reflect"
	"testing"

	"auditrelay/document"
	"auditrelay/internal/exposure"
)

func leaves(text string) map[string]string {
	var d document.Document
	d.Reset([]byte(text))
	return exposure.Leaves(&d)
}

func TestCompare(t *testing.T) {
	const event = `{"by":"alice@example.org","key":"sk-1234567890","n":7}`
	for _, tt := range []struct {
		name, before, after string
		want                exposure.Change
	}{
		{"the same", `{"by":"***"}`, `{"by":"***"}`, exposure.Change{}},
		{"a value comes out", `{"by":"***"}`, event, exposure.Change{Exposed: []string{"by", "key", "n"}}},
		{"a value is hidden", event, `{"by":"***","key":"***","n":7}`, exposure.Change{Hidden: []string{"by", "key"}}},
		{"removed", event, `{"n":7}`, exposure.Change{Hidden: []string{"by", "key"}}},
		{"a part of it", `{"by":"***"}`, `{"by":"***@example"}`, exposure.Change{Exposed: []string{"by"}}},
		{"less of it", `{"by":"alice@***"}`, `{"by":"***"}`, exposure.Change{Hidden: []string{"by"}}},
		{"under another name", `{"by":"***"}`, `{"by":"***","who":"alice@example.org"}`, exposure.Change{Exposed: []string{"who"}}},
		{"moved, and shown already", `{"who":"alice@example.org"}`, `{"actor":"alice@example.org"}`, exposure.Change{Otherwise: []string{"actor", "who"}}},
		{"inside a string of JSON", `{"by":"***"}`, `{"by":"***","x":"{\"y\":\"sk-1234567890\"}"}`, exposure.Change{Exposed: []string{"x.y"}}},
		{"masked in another way", `{"by":"***"}`, `{"by":"###"}`, exposure.Change{Otherwise: []string{"by"}}},
		{"nothing was there", `{}`, `{"new":true}`, exposure.Change{Otherwise: []string{"new"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := exposure.Compare(leaves(event), leaves(tt.before), leaves(tt.after)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
