package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAPeriodIsErased(t *testing.T) {
	now := base
	o := ticking(&now)
	j := open(t, "j", o)
	fill(t, j, &now, 4)
	before, err := j.options.FS.Open("j/" + keyringName)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	wrapped := j.keyring.Load().periods[1].Wrapped

	if _, err := j.Destroy(4); err == nil || errors.Is(err, ErrNoPeriod) {
		t.Errorf("the current period was destroyed: %v", err)
	}
	for _, n := range []uint64{0, 5, 99} {
		if _, err := j.Destroy(n); !errors.Is(err, ErrNoPeriod) {
			t.Errorf("period %d: %v", n, err)
		}
	}
	p, err := j.Destroy(2)
	if err != nil || p.Number != 2 || p.From != 2 || p.To != 3 || !p.Destroyed.Equal(now) {
		t.Fatalf("%+v, %v", p, err)
	}
	if again, err := j.Destroy(2); err != nil || again != p {
		t.Errorf("once more: %+v, %v", again, err)
	}
	// The file with the key is overwritten, and its replacement does not have the key.
	if b := make([]byte, 1<<20); true {
		n, _ := before.ReadAt(b, 0)
		if n == 0 || strings.Trim(string(b[:n]), "\x00") != "" {
			t.Errorf("what stood in the keyring before is still there: %d bytes", n)
		}
	}
	text, err := (&keyring{periods: []*period{{Wrapped: wrapped}}}).text("")
	if err != nil {
		t.Fatal(err)
	}
	if key := strings.Split(string(text), `"key": "`)[1][:40]; len(found(t, o.FS, key)) > 0 {
		t.Error("the wrapped key is still in a file")
	}

	for range 2 { // now, and after a restart
		for sequence, want := range map[uint64]bool{1: true, 2: false, 3: true, 4: true} {
			if got := left(t, j, sequence); got != want {
				t.Errorf("event %d is readable: %v", sequence, got)
			}
		}
		_, _, err := j.Read(2, 10, 1<<20)
		if e, ok := errors.AsType[*ErasedError](err); !ok || *e != (ErasedError{Period: 2, From: 2, To: 3}) {
			t.Errorf("read: %v", err)
		}
		if _, err := j.All("litellm", []string{planted + "1"}, 10); !errors.Is(err, ErrErased) {
			t.Errorf("lookup: %v", err)
		}
		if found, err := j.All("litellm", []string{planted + "2"}, 10); !slices.Equal(found, []uint64{3}) || err != nil {
			t.Errorf("lookup of another: %v, %v", found, err)
		}
		// An event with the same id cannot be compared with it.
		if a := appendEvents(t, j, event(planted+"1", body(1)))[0]; a.Status != Conflict || a.Sequence != 2 || a.Received.IsZero() {
			t.Errorf("the erased event once more: %+v", a)
		}
		if totals, err := j.Count(1, 5); totals.Events != 4 || err != nil {
			t.Errorf("counted %v, %v", totals, err)
		}
		tx := &Tx{}
		tx.SetAbout(2, DeadLetterKey("s3", 2), []byte("x"))
		if _, err := j.Commit(tx); !errors.Is(err, ErrErased) {
			t.Errorf("a value about an erased event: %v", err)
		}
		from, to := All(KindBody)
		if err := j.Scan(from, to, func(Key, []byte) error { return nil }); !errors.Is(err, ErrErased) {
			t.Errorf("scan: %v", err)
		}
		var erased []uint64
		if err := j.ScanAll(from, to, func(k Key, v []byte, gone bool) error {
			_, _, n, _ := k.Split()
			if gone {
				erased = append(erased, n)
			} else if string(v) != planted {
				t.Errorf("body %d: %q", n, v)
			}
			return nil
		}); err != nil || !slices.Equal(erased, []uint64{2}) {
			t.Errorf("scan of all: %v, %v", erased, err)
		}
		if k, _, _, err := j.Last(BodyKey("s3", 0), BodyKey("s3", 3)); !errors.Is(err, ErrErased) || !bytes.Equal(k, BodyKey("s3", 2)) {
			t.Errorf("last: %q, %v", k, err)
		}
		closeJournal(t, j)
		j = open(t, "j", o)
	}
	if err := j.Trim(3); err != nil || j.Oldest() != 3 {
		t.Errorf("trim: %v", err)
	}
	if err := j.ForgetPeriods(3); err != nil || len(j.Periods()) != 3 {
		t.Errorf("forget: %v, %v", err, j.Periods())
	}
	closeJournal(t, j)
	j = open(t, "j", o)
	if _, _, err := j.Get(BodyKey("s3", 1)); !errors.Is(err, ErrErased) {
		t.Errorf("a value of a period that is forgotten: %v", err)
	}
	if !left(t, j, 4) {
		t.Error("event 4 is not readable")
	}
}

// An acknowledged destruction is durable. An interrupted one leaves the keyring complete,
// before or after it.
func TestDestroyOutlastsPowerLoss(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		now := base
		o := ticking(&now)
		o.FS = vfs.NewCrashableMem()
		j := open(t, "j", o)
		fill(t, j, &now, 3)
		// The power fails after a number of file system operations.
		cut := &cutFS{FS: o.FS, after: rng.IntN(10), clone: func() vfs.FS {
			return o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		}}
		j.options.FS = cut
		if _, err := j.Destroy(1); err != nil {
			t.Fatal(err)
		}
		answered := cut.at == nil
		if answered {
			cut.at = cut.clone()
		}
		o.FS = cut.at
		after := open(t, "j", o)
		if left(t, after, 1) && answered {
			t.Errorf("seed %d: destroyed, and readable after a power cut", seed)
		}
		if !left(t, after, 2) || !left(t, after, 3) {
			t.Errorf("seed %d: another period is gone", seed)
		}
		closeJournal(t, after)
		j.options.FS = cut.FS
	}
}

// cutFS takes a snapshot of the state after a power failure, after some operations.
type cutFS struct {
	vfs.FS
	after int
	at    vfs.FS
	clone func() vfs.FS
}

func (c *cutFS) count() {
	if c.after--; c.after < 0 && c.at == nil {
		c.at = c.clone()
	}
}

type cutFile struct {
	vfs.File
	fs *cutFS
}

func (f cutFile) Write(b []byte) (int, error)                 { f.fs.count(); return f.File.Write(b) }
func (f cutFile) WriteAt(b []byte, at int64) (int, error)     { f.fs.count(); return f.File.WriteAt(b, at) }
func (f cutFile) Sync() error                                 { f.fs.count(); return f.File.Sync() }
func (c *cutFS) Rename(from, to string) error                 { c.count(); return c.FS.Rename(from, to) }
func (c *cutFS) wrap(f vfs.File, err error) (vfs.File, error) { c.count(); return cutFile{f, c}, err }
func (c *cutFS) Create(n string, w vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.Create(n, w))
}
func (c *cutFS) OpenDir(n string) (vfs.File, error) { return c.wrap(c.FS.OpenDir(n)) }
func (c *cutFS) OpenReadWrite(n string, w vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return c.wrap(c.FS.OpenReadWrite(n, w, o...))
}

// If a period's key cannot be made durable, nothing is accepted. Everything continues once it
// can.
func TestNoEventBeforeItsKey(t *testing.T) {
	now := base
	o := ticking(&now)
	j := open(t, "j", o)
	fill(t, j, &now, 1)
	j.options.FS = noKeyring{o.FS}
	tx := &Tx{}
	tx.Append(event("a", body(1)))
	tx.Set(LaneKey("s3"), []byte("x"))
	if _, err := j.Commit(tx); !errors.Is(err, errNoSpace) || errors.Is(err, ErrFailed) {
		t.Errorf("without room for the keyring: %v", err)
	}
	if _, ok, err := j.Get(LaneKey("s3")); ok || err != nil || j.Head().Next != 2 || len(j.Periods()) != 1 {
		t.Errorf("half of it was written: next %d, %v", j.Head().Next, err)
	}
	tx = &Tx{}
	tx.Set(LaneKey("s3"), []byte("y")) // a transaction without events continues
	if _, err := j.Commit(tx); err != nil {
		t.Error(err)
	}
	if _, err := j.Destroy(1); err == nil {
		t.Error("destroyed the current period")
	}
	j.options.FS = o.FS
	if a := appendEvents(t, j, event("a", body(1)))[0]; a.Sequence != 2 || !left(t, j, 1) || len(j.Periods()) != 2 {
		t.Errorf("%+v, %v", a, j.Periods())
	}
	// A destruction that cannot be made durable has not happened.
	j.options.FS = noKeyring{o.FS}
	if _, err := j.Destroy(1); !errors.Is(err, errNoSpace) || !left(t, j, 1) {
		t.Errorf("destroyed without room for the keyring: %v", err)
	}
	j.options.FS = o.FS
}

var errNoSpace = errors.New("no space left on device")

type noKeyring struct{ vfs.FS }

func (n noKeyring) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(n.PathBase(name), keyringName) {
		return nil, errNoSpace
	}
	return n.FS.Create(name, c)
}
