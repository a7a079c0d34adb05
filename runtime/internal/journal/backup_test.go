package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	o := Options{Now: clock}
	j := open(t, at("j"), o)
	for i := range 100 {
		tx := &Tx{}
		tx.Append(event(fmt.Sprint(i), body(i)))
		tx.Set(LaneKey("s3"), fmt.Append(nil, i))
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
	}
	want, err := readAll(j)
	if err != nil {
		t.Fatal(err)
	}
	if err := Backup(j, at("backup")); err != nil {
		t.Fatal(err)
	}
	appendEvents(t, j, event("later", body(1)))
	if err := Backup(j, at("backup")); err == nil {
		t.Error("a backup over another")
	}
	if err := Restore(at("j"), at("r"), o); !errors.Is(err, ErrLocked) {
		t.Errorf("restore of an open journal: %v", err)
	}
	if err := Restore(at("backup"), at("restored"), o); err != nil {
		t.Fatal(err)
	}
	if err := Restore(at("backup"), at("restored"), o); err == nil {
		t.Error("a restore over another journal")
	}
	r := open(t, at("restored"), o)
	got, err := readAll(r)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if v, _, err := r.Get(LaneKey("s3")); string(v) != "99" || err != nil {
		t.Error(v, err)
	}
	if r.Identity().ID != j.Identity().ID || r.Identity().Incarnation == j.Identity().Incarnation {
		t.Errorf("restored %v from %v", r.Identity(), j.Identity())
	}
	// Its hash key is the same, so it still recognises its contents.
	if a := appendEvents(t, r, event("7", body(7)))[0]; a.Status != Duplicate || a.Sequence != 8 {
		t.Errorf("%+v", a)
	}
	identity := r.Identity()
	closeJournal(t, r)
	if err := Migrate(at("restored"), o); err != nil {
		t.Error(err)
	}
	if r = open(t, at("restored"), o); r.Identity() != identity {
		t.Error("identity changed")
	}
	if strings.ContainsAny(identity.String(), "/ :") || len(identity.String()) > 40 {
		t.Errorf("%q in an object key", identity)
	}
}

func TestIdentitiesDiffer(t *testing.T) {
	o := mem()
	a, b := open(t, "a", o), open(t, "b", o)
	if a.Identity().ID == b.Identity().ID || a.Identity().Incarnation == b.Identity().Incarnation {
		t.Error(a.Identity(), b.Identity())
	}
	appendEvents(t, a, event("x", body(1)))
	if got := appendEvents(t, b, event("x", body(2)))[0]; got.Status != Stored {
		t.Error("two journals share something")
	}
}

func TestAnotherFormatIsRefused(t *testing.T) {
	o := mem()
	j := open(t, "j", o)
	appendEvents(t, j, event("a", body(1)))
	closeJournal(t, j)
	m, _, err := readMarker(o.FS, "j")
	if err != nil {
		t.Fatal(err)
	}
	newer := []byte(strings.Replace(string(m.text()), "format 2", "format 7", 1))
	newer = fmt.Appendf(newer[:len(newer)-len("crc32c 00000000\n")], "crc32c %08x\n", checksum(newer[:len(newer)-len("crc32c 00000000\n")]))
	writeFile(t, o.FS, "j/HEAD", newer)
	for name, err := range map[string]error{
		"open":    errOf(Open("j", o)),
		"migrate": Migrate("j", o),
		"restore": Restore("j", "r", o),
	} {
		format, ok := errors.AsType[*FormatError](err)
		if !ok || !errors.Is(err, ErrFormat) || format.Found != 7 || format.Expected != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func errOf(j *Journal, err error) error { return err }
