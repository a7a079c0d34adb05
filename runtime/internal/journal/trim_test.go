package journal

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// timeline returns a journal with 10 commits of 3 events, a minute apart.
func timeline(t *testing.T, o Options) (*Journal, Options) {
	now := base
	o.Now = func() time.Time { return now }
	j := open(t, "j", o)
	for i := range 10 {
		now = base.Add(time.Duration(i) * time.Minute)
		tx := &Tx{}
		tx.Append(event(fmt.Sprint(i, "a"), body(1)))
		e := emitted(fmt.Sprint(i, "b"))
		e.Emission.Target = fmt.Sprint("t", i%2)
		tx.Append(e)
		tx.Append(event(fmt.Sprint(i, "c"), body(1)))
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
	}
	return j, o
}

func TestSeekTime(t *testing.T) {
	j, _ := timeline(t, mem())
	if err := j.Trim(5); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		at   time.Duration
		want uint64
	}{
		{-time.Hour, 5}, {0, 5}, {time.Minute, 5}, {time.Minute + 1, 7}, {2 * time.Minute, 7},
		{9 * time.Minute, 28}, {9*time.Minute + 1, 31}, {1e6 * time.Hour, 31},
	} {
		if got := j.SeekTime(base.Add(test.at)); got != test.want {
			t.Errorf("%v: %d, want %d", test.at, got, test.want)
		}
	}
}

func TestCount(t *testing.T) {
	j, _ := timeline(t, mem())
	for _, test := range []struct {
		from, to uint64
		want     Totals
	}{
		{1, 31, Totals{30, map[string]uint64{"t0": 5, "t1": 5}}},
		{2, 3, Totals{1, map[string]uint64{"t0": 1}}},
		{3, 6, Totals{3, map[string]uint64{"t1": 1}}},
		{0, 99, Totals{30, map[string]uint64{"t0": 5, "t1": 5}}},
		{9, 9, Totals{0, map[string]uint64{}}},
		{50, 60, Totals{0, map[string]uint64{}}},
	} {
		got, err := j.Count(test.from, test.to)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("[%d, %d): %v %s", test.from, test.to, err, diff)
		}
	}
}

func TestTrim(t *testing.T) {
	for _, before := range []uint64{0, 1, 2, 4, 5, 29, 31, 1000} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			j, o := timeline(t, mem())
			head := j.Head()
			appendEvents(t, j, event("0a", body(1)))
			if err := j.Trim(before); err != nil {
				t.Fatal(err)
			}
			want := min(max(before, 1), 31)
			for range 2 {
				if j.Oldest() != want {
					t.Errorf("oldest %d, want %d", j.Oldest(), want)
				}
				if diff := cmp.Diff(head, j.Head()); diff != "" {
					t.Error(diff)
				}
				events, next, err := j.Read(want, 100, 1<<20)
				if err != nil || len(events) != int(31-want) || next != 31 {
					t.Error(len(events), next, err)
				}
				totals, err := j.Count(0, 100)
				if err != nil || totals.Events != 31-want {
					t.Error(totals, err)
				}
				if want > 1 {
					if _, _, err := j.Read(want-1, 1, 1); !errors.Is(err, ErrTrimmed) {
						t.Error(err)
					}
					if _, err := j.Event(want - 1); !errors.Is(err, ErrTrimmed) {
						t.Error(err)
					}
				}
				if found, err := j.All("litellm", []string{"0a"}, 1); len(found) == 1 != (want == 1) || err != nil {
					t.Error(found, err)
				}
				u := j.Usage()
				if wantTime := base.Add(time.Duration(want-1) / 3 * time.Minute); want < 31 && !u.Oldest.Equal(wantTime) || want == 31 && !u.Oldest.IsZero() {
					t.Errorf("oldest is of %v", u.Oldest)
				}
				closeJournal(t, j)
				j = open(t, "j", o)
			}
			// A trimmed identity is unknown, a held one is not.
			for i, status := range map[int]Status{0: Stored, 9: Duplicate} {
				if before <= 1 {
					status = Duplicate
				}
				if want == 31 || want == 29 && i == 9 {
					status = Stored
				}
				got := appendEvents(t, j, event(fmt.Sprint(i, "a"), body(1)))[0]
				if got.Status != status {
					t.Errorf("event %d again: %+v, want %v", i, got, status)
				}
			}
		})
	}
}
