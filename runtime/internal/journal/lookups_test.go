package journal

import (
	"fmt"
	"slices"
	"testing"
)

func TestLookupsFindWithinTheWindowAndBeyond(t *testing.T) {
	j := open(t, "j", mem())
	var all []string
	for i := range 2500 {
		id := fmt.Sprint("id-", i)
		all = append(all, id)
		if i%500 == 499 {
			tx := new(Tx)
			for _, id := range all[i-499 : i+1] {
				tx.Append(event(id, `{}`))
			}
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
		}
	}
	asked := []string{"id-0", "never", "id-1499", "id-1500", "id-2499", ""}
	got, err := j.Lookups("litellm", asked, true)
	if want := []uint64{1, 0, 1500, 1501, 2500, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("all: %v, %v; want %v", got, err, want)
	}
	got, err = j.Lookups("litellm", asked, false)
	if want := []uint64{1, 0, 1500, 0, 0, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("beyond the window: %v, %v; want %v", got, err, want)
	}
	got, err = j.Lookups("emitted", asked, true)
	if err != nil || slices.Max(got) != 0 {
		t.Errorf("in another namespace: %v, %v", got, err)
	}
	if err := j.Trim(1000); err != nil {
		t.Fatal(err)
	}
	got, err = j.Lookups("litellm", asked, true)
	if want := []uint64{0, 0, 1500, 1501, 2500, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("after a trim: %v, %v; want %v", got, err, want)
	}
}
