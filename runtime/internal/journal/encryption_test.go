package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/corpus"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

func masterKey(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

// ticking returns a journal's options with encryption and a clock moved by the test.
func ticking(now *time.Time) Options {
	return Options{FS: vfs.NewMem(), Now: func() time.Time { return *now }, Window: 1000, Encryption: Encryption{Key: masterKey(1), Period: time.Hour}}
}

// planted occurs in every event of fill, and in nothing else.
const planted = "alice@example.com"

// fill appends an event and values about it, for every hour from *now on.
func fill(t *testing.T, j *Journal, now *time.Time, hours int) {
	t.Helper()
	for h := range hours {
		id := fmt.Sprint(planted, h)
		e := event(id, fmt.Sprintf(`{"who":%q,"n":%d}`, planted, h))
		e.Provenance.Principal = planted
		sequence := appendEvents(t, j, e)[0].Sequence
		e.Provenance.Address = planted
		if again := appendEvents(t, j, e)[0]; again.Status != Duplicate {
			t.Fatal(again)
		}
		tx := &Tx{}
		for _, k := range valuesOf(sequence) {
			tx.SetAbout(sequence, k, []byte(planted))
		}
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
		*now = now.Add(time.Hour)
	}
}

func valuesOf(sequence uint64) []Key {
	return []Key{ChunkKey("s3", sequence), PayloadKey("s3", sequence), BodyKey("s3", sequence), ReceiptKey("s3", sequence),
		DeadLetterKey("s3", sequence), FrameKey("s3", sequence), DeadFrameKey("s3", sequence), MetaKey(fmt.Sprint("amendment/", sequence))}
}

// left reports whether an event is readable. It fails if only a part is.
func left(t *testing.T, j *Journal, sequence uint64) bool {
	t.Helper()
	_, err := j.Event(sequence)
	if err != nil && !errors.Is(err, ErrErased) {
		t.Fatal(err)
	}
	readable := err == nil
	also, err := j.AlsoFrom(sequence)
	if errors.Is(err, ErrErased) == readable || readable && (len(also) != 1 || also[0].Address != planted) {
		t.Errorf("event %d, readable: %v; its other provenances: %v, %v", sequence, readable, also, err)
	}
	for _, k := range valuesOf(sequence) {
		v, _, err := j.Get(k)
		if errors.Is(err, ErrErased) == readable || readable && string(v) != planted {
			t.Errorf("event %d, readable: %v; value %q: %q, %v", sequence, readable, k, v, err)
		}
	}
	return readable
}

// found returns the files below the journal's directory that contain text.
func found(t *testing.T, fs vfs.FS, text string) (names []string) {
	files := map[string][]byte{}
	readFiles(t, fs, "j", files)
	for name, b := range files {
		if bytes.Contains(b, []byte(text)) {
			names = append(names, name)
		}
	}
	return names
}

func TestNothingOfEventsIsReadableOnDisk(t *testing.T) {
	for _, test := range []struct {
		name string
		with Encryption
		want bool
	}{{"encrypted", Encryption{Key: masterKey(1)}, false}, {"control: plain", Encryption{}, true}} {
		t.Run(test.name, func(t *testing.T) {
			now := base
			o := ticking(&now)
			o.Encryption = test.with
			j := open(t, "j", o)
			fill(t, j, &now, 3)
			check := func(when string) {
				if names := found(t, o.FS, planted); (len(names) > 0) != test.want {
					t.Errorf("%s: the planted text stands in %q", when, names)
				}
			}
			check("in the log")
			if err := j.db.Flush(); err != nil {
				t.Fatal(err)
			}
			check("in tables")
			for sequence := uint64(1); sequence <= 3; sequence++ {
				if !left(t, j, sequence) {
					t.Errorf("event %d is not readable", sequence)
				}
			}
			closeJournal(t, j)
			check("closed")
		})
	}
}

func TestMasterKeys(t *testing.T) {
	now := base
	o := ticking(&now)
	j := open(t, "j", o)
	fill(t, j, &now, 2)
	closeJournal(t, j)
	files := map[string][]byte{}
	readFiles(t, o.FS, "j", files)
	with := func(key, previous []byte, off bool) Options {
		o.Encryption.Key, o.Encryption.Previous, o.Encryption.Off = key, previous, off
		return o
	}
	for _, test := range []struct {
		name          string
		key, previous []byte
		want          error
		text          string
	}{
		{"none", nil, nil, ErrNoKey, ""},
		{"wrong", masterKey(2), nil, ErrWrongKey, ""},
		{"both wrong", masterKey(2), masterKey(3), ErrWrongKey, ""},
		{"short", []byte("short"), nil, nil, "at least 32"},
		{"previous alone", nil, masterKey(1), nil, "no key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open("j", with(test.key, test.previous, false))
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Error(err)
			}
			now := map[string][]byte{}
			readFiles(t, o.FS, "j", now)
			if !maps.EqualFunc(now, files, bytes.Equal) {
				t.Error("something was written before the key was known to be right")
			}
		})
	}
	// Changed together with the previous key, then the new key alone, then the old key no more.
	for _, step := range []struct {
		key, previous byte
		want          error
	}{{2, 1, nil}, {2, 0, nil}, {2, 1, nil}, {1, 0, ErrWrongKey}, {1, 2, nil}, {1, 0, nil}} {
		var previous []byte
		if step.previous > 0 {
			previous = masterKey(step.previous)
		}
		j, err := Open("j", with(masterKey(step.key), previous, false))
		if !errors.Is(err, step.want) {
			t.Fatalf("%+v: %v", step, err)
		}
		if err == nil {
			if !left(t, j, 1) || !left(t, j, 2) {
				t.Errorf("%+v: not readable", step)
			}
			closeJournal(t, j)
		}
	}
	o.FS.Remove("j/" + keyringName)
	if _, err := Open("j", with(masterKey(1), nil, false)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), keyringName) {
		t.Errorf("without the keyring: %v", err)
	}
}

func TestEncryptionIsTurnedOnAndOff(t *testing.T) {
	now := base
	o := ticking(&now)
	encryption := o.Encryption
	o.Encryption = Encryption{}
	j := open(t, "j", o)
	fill(t, j, &now, 2) // 1, 2: plain
	closeJournal(t, j)
	reopen := func(e Encryption) {
		t.Helper()
		o.Encryption = e
		j = open(t, "j", o)
		fillOne(t, j, &now)
		for sequence := uint64(1); sequence < j.Head().Next; sequence++ {
			if _, err := j.Event(sequence); err != nil {
				t.Error(err)
			}
		}
		closeJournal(t, j)
	}
	off := encryption
	off.Off = true
	reopen(encryption) // 3
	reopen(off)        // 4
	reopen(off)        // 5
	reopen(encryption) // 6
	o.Encryption = encryption
	j = open(t, "j", o)
	var got []string
	for _, p := range j.Periods() {
		got = append(got, fmt.Sprint(p.Number, " from ", p.From, " plain ", p.Plain))
	}
	if diff := cmp.Diff([]string{"1 from 3 plain false", "2 from 4 plain true", "3 from 6 plain false"}, got); diff != "" {
		t.Error(diff)
	}
	// Values that are read together belong to one period.
	var ranges []string
	for at := j.Oldest(); at < j.Head().Next; {
		events, next, err := j.Read(at, 100, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		ranges = append(ranges, fmt.Sprint(events[0].Sequence, "-", next-1))
		at = next
	}
	if diff := cmp.Diff([]string{"1-2", "3-3", "4-5", "6-6"}, ranges); diff != "" {
		t.Error(diff)
	}
	if _, err := j.Destroy(2); err == nil {
		t.Error("a period without a key was destroyed")
	}
	if _, err := j.Destroy(1); err != nil {
		t.Error(err)
	}
	closeJournal(t, j)
	// Once no period key is needed, no master key is.
	o.Encryption = off
	j = open(t, "j", o)
	fillOne(t, j, &now) // 7
	if _, err := j.Destroy(3); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	o.Encryption = Encryption{}
	j = open(t, "j", o)
	for sequence, want := range map[uint64]error{2: nil, 3: ErrErased, 5: nil, 6: ErrErased, 7: nil} {
		if _, err := j.Event(sequence); !errors.Is(err, want) {
			t.Errorf("event %d: %v", sequence, err)
		}
	}
}

func fillOne(t *testing.T, j *Journal, now *time.Time) {
	t.Helper()
	*now = now.Add(time.Minute)
	appendEvents(t, j, event(now.String(), body(1)))
}

// Neither a clock that is set back, nor a restart, nor another length makes a period begin
// before the last one, or splits the sequences of a period.
func TestPeriodsNeverGoBack(t *testing.T) {
	now := base.Truncate(time.Hour).Add(30 * time.Minute)
	o := ticking(&now)
	j := open(t, "j", o)
	periodOf := func() uint64 {
		t.Helper()
		sequence := appendEvents(t, j, event(fmt.Sprint(rand.Uint64()), body(1)))[0].Sequence
		p, _ := j.keyring.Load().at(sequence)
		return p.Number
	}
	for i, step := range []struct {
		by   time.Duration
		want uint64
	}{{0, 1}, {29 * time.Minute, 1}, {time.Minute, 2}, {-48 * time.Hour, 2}, {48 * time.Hour, 2}, {time.Hour, 3}, {-time.Hour, 3}, {240 * time.Hour, 4}} {
		now = now.Add(step.by)
		if got := periodOf(); got != step.want {
			t.Errorf("step %d: period %d, want %d", i, got, step.want)
		}
		closeJournal(t, j)
		j = open(t, "j", o)
	}
	closeJournal(t, j)
	o.Encryption.Period = 24 * time.Hour
	j = open(t, "j", o)
	if now = now.Add(time.Hour); periodOf() != 5 {
		t.Error("a new length does not count from the next period on")
	}
	last := Period{}
	for _, p := range j.Periods() {
		if p.Began.Before(last.Began) || p.From < last.From || last.To != p.From && p.Number > 1 {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}
}

func TestRecordsCannotStandInForOthers(t *testing.T) {
	now := base
	o := ticking(&now)
	o.Encryption.Period = 24 * time.Hour
	j := open(t, "j", o)
	fill(t, j, &now, 2)
	move := func(from, to []byte, fix func(b []byte)) {
		t.Helper()
		v, closer, err := j.db.Get(from)
		if err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(v)
		closer.Close()
		fix(b)
		if err := j.db.Set(to, b, nil); err != nil {
			t.Fatal(err)
		}
	}
	// With valid checksums, as an attacker with access to the disk would compute them.
	move(eventKey(1), eventKey(2), func(b []byte) {
		putPrefix(b, checksum(b[recordPrefix:]), 2, base.UnixNano())
	})
	j.recent.segments = nil // nobody can write to memory
	if _, err := j.Event(2); !errors.Is(err, ErrCorrupt) {
		t.Errorf("an event in another's place: %v", err)
	}
	from, to := BodyKey("s3", 1), BodyKey("s3", 2)
	move(from, to, func(b []byte) {
		sum := recordSum(to, b[valuePrefix:])
		b[5], b[6], b[7], b[8] = byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)
	})
	if _, _, err := j.Get(to); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a value in another's place: %v", err)
	}
	// A flipped bit is damage too, not an erased value.
	move(from, from, func(b []byte) { b[len(b)-1] ^= 1 })
	if _, _, err := j.Get(from); !errors.Is(err, ErrCorrupt) || errors.Is(err, ErrErased) {
		t.Errorf("a flipped bit: %v", err)
	}
}

func TestValuesComeBackWhateverTheyBeginWith(t *testing.T) {
	for _, e := range []Encryption{{}, {Key: masterKey(1)}} {
		o := mem()
		o.Encryption = e
		j := open(t, "j", o)
		appendEvents(t, j, event("a", body(1)))
		for i, v := range [][]byte{nil, {}, valueMark[:], append(valueMark[:], 0), append(valueMark[:], 1, 2, 3, 4, 5, 6), []byte("{}")} {
			tx := &Tx{}
			tx.Set(MetaKey("m"), v)
			tx.SetAbout(1, BodyKey("s3", 1), v)
			tx.SetNow(MetaKey("n"), v)
			tx.SetPlain(ChunkKey("s3", 1), v)
			if _, err := j.Commit(tx); err != nil {
				t.Fatal(err)
			}
			for _, k := range []Key{MetaKey("m"), BodyKey("s3", 1), MetaKey("n"), ChunkKey("s3", 1)} {
				if got, ok, err := j.Get(k); !bytes.Equal(got, v) || !ok || err != nil {
					t.Errorf("value %d under %q: %x, %v, %v", i, k, got, ok, err)
				}
			}
		}
		if _, sealed, err := j.HeldBy(1, MetaKey("n"), MetaKey("o")); sealed != (len(e.Key) > 0) || err != nil {
			t.Errorf("what is set now belongs to the period: %v, %v", sealed, err)
		}
		tx := &Tx{}
		tx.Set(BodyKey("s3", 1), nil)
		if _, err := j.Commit(tx); err == nil {
			t.Error("a value about events was set without its period")
		}
	}
}

func TestABackupHasItsKeys(t *testing.T) {
	now := base
	o := ticking(&now)
	j := open(t, "j", o)
	fill(t, j, &now, 3)
	if err := Backup(j, "b"); err != nil {
		t.Fatal(err)
	}
	// As if a period had begun between the copy of the database and that of the keyring.
	later := j.keyring.Load().with(append(slices.Clone(j.keyring.Load().periods), &period{Period: Period{Number: 4, From: 9, Plain: true}}))
	text, err := later.text(j.id.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeKeyring(o.FS, "b", text, false); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Destroy(1); err != nil {
		t.Fatal(err)
	}
	if err := Backup(j, "b2"); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{"b": true, "b2": false} {
		if err := Restore(dir, dir+"r", Options{FS: o.FS}); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir+"r", Options{FS: o.FS}); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s without a key: %v", dir, err)
		}
		r := open(t, dir+"r", o)
		if got := left(t, r, 1); got != want {
			t.Errorf("%s: the event of the period that was destroyed in between is readable: %v", dir, got)
		}
		if !left(t, r, 3) {
			t.Errorf("%s: event 3 is not readable", dir)
		}
		if a := appendEvents(t, r, event("new", body(1)))[0]; a.Sequence != 4 {
			t.Errorf("%s: %+v", dir, a)
		}
		if p, _ := r.keyring.Load().at(4); p == nil || p.Number != 4 || p.aead == nil {
			t.Errorf("%s: the new event's period is %+v", dir, p)
		}
	}
}

func TestNoncesAreNotRepeated(t *testing.T) {
	seen := map[string]bool{}
	for range 50 { // number of opens
		n := &nonces{}
		for i := range 100 {
			if i == 50 { // near the counter's end
				copy(n.next[8:], []byte{0xff, 0xff, 0xff, 0xf0})
			}
			nonce := string(n.append(nil))
			if len(nonce) != nonceBytes || seen[nonce] {
				t.Fatalf("%x once more", nonce)
			}
			seen[nonce] = true
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	// Real events: compressible data would cost nothing to flush.
	events := corpus.New(1)
	var data [1000][]byte
	size := 0
	for i := range data {
		data[i] = events.Next().Data
		size += len(data[i])
	}
	for _, test := range []struct {
		name string
		with Encryption
	}{{"plain", Encryption{}}, {"encrypted", Encryption{Key: masterKey(1)}}} {
		b.Run(test.name, func(b *testing.B) {
			j, err := Open(b.TempDir(), Options{Encryption: test.with})
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			b.SetBytes(int64(size / len(data) * 100))
			n := 0
			for b.Loop() {
				tx := &Tx{}
				for range 100 {
					n++
					tx.Append(auditrelay.Event{Namespace: "b", ID: fmt.Sprint(n), Data: data[n%len(data)]})
				}
				if _, err := j.Commit(tx); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
