package confine

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
)

// decide runs a filter like the kernel. The interpreter reads big-endian words.
func decide(t *testing.T, m machine, now phase, arch, number uint32, args ...uint64) string {
	t.Helper()
	vm, err := bpf.NewVM(m.program(now, 77, false))
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[offNumber:], number)
	binary.BigEndian.PutUint32(data[offArch:], arch)
	for i, a := range args {
		binary.BigEndian.PutUint32(data[offArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[offArgs+8*i+4:], uint32(a>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	switch uint32(got) {
	case retAllow:
		return "allow"
	case retKill:
		return "kill"
	case retErrno | enosys:
		return "enosys"
	}
	t.Fatalf("it returns %#x", got)
	return ""
}

func numberOf(t *testing.T, m machine, name string) uint32 {
	t.Helper()
	for _, c := range calls {
		if c.name == name {
			return m.number(c)
		}
	}
	t.Fatalf("%s is not listed", name)
	return 0
}

// TestTheFilters lists the result of each call in each phase, for both processors.
func TestTheFilters(t *testing.T) {
	const (
		goThread = 0x50f00
		cThread  = 0x3d0f00
		vfork    = 0x4111
		newUser  = 0x10000000
	)
	for _, c := range []struct {
		call                    string
		args                    []uint64
		writing, loading, after string
	}{
		{"read", nil, "allow", "allow", "allow"},
		{"futex", nil, "allow", "allow", "allow"},
		{"close", nil, "allow", "allow", "allow"},
		{"openat", nil, "allow", "allow", "kill"},
		{"seccomp", nil, "allow", "allow", "kill"},
		{"unlinkat", nil, "allow", "kill", "kill"},
		{"utimensat", nil, "enosys", "enosys", "enosys"},
		{"mmap", []uint64{0, 4096, 3}, "allow", "allow", "allow"},
		{"mmap", []uint64{0, 4096, 5}, "allow", "allow", "kill"},
		{"mmap", []uint64{0, 4096, 4 | 1<<40}, "allow", "allow", "kill"},
		{"mprotect", []uint64{0, 4096, 7}, "allow", "allow", "kill"},
		{"clone", []uint64{goThread}, "allow", "allow", "allow"},
		{"clone", []uint64{cThread}, "allow", "allow", "allow"},
		{"clone", []uint64{17}, "kill", "kill", "kill"}, // a process
		{"clone", []uint64{vfork}, "kill", "kill", "kill"},
		{"clone", []uint64{goThread | newUser}, "kill", "kill", "kill"},
		{"clone3", nil, "enosys", "enosys", "enosys"},
		{"tgkill", []uint64{77, 78, 23}, "allow", "allow", "allow"},
		{"tgkill", []uint64{1, 1, 9}, "kill", "kill", "kill"},
		{"prctl", []uint64{prSetVMA}, "allow", "allow", "allow"},
		{"prctl", []uint64{4, 1}, "kill", "kill", "kill"}, // dumpable again
		{"fcntl", []uint64{3, 4, 0}, "allow", "allow", "kill"},
		{"fcntl", []uint64{3, 8, 1}, "kill", "kill", "kill"}, // signals to another process
	} {
		for name, m := range machines {
			number := numberOf(t, m, c.call)
			for now, want := range map[phase]string{writing: c.writing, loading: c.loading, always: c.after} {
				if got := decide(t, m, now, m.arch, number, c.args...); got != want {
					t.Errorf("%s: %s%x in phase %d: %s, want %s", name, c.call, c.args, now, got, want)
				}
			}
		}
	}
}

// Every unlisted call, and every number of another processor's table, kills in every phase.
func TestWhatIsNotListedKills(t *testing.T) {
	for name, m := range machines {
		listed := map[uint32]bool{}
		for _, c := range calls {
			if listed[m.number(c)] {
				t.Errorf("%s: %s has the number of another call", name, c.name)
			}
			listed[m.number(c)] = true
		}
		for _, now := range []phase{always, loading, writing} {
			for number := range uint32(1024) {
				if got := decide(t, m, now, m.arch, number, 0, 0, 0); !listed[number] && got != "kill" {
					t.Errorf("%s: call %d in phase %d: %s", name, number, now, got)
				}
				for _, other := range []uint32{0x40000003, 0xc000003e ^ 1, 0} { // 32-bit x86, and invalid ones
					if got := decide(t, m, now, other, number); got != "kill" {
						t.Fatalf("%s: call %d of processor %#x: %s", name, number, other, got)
					}
				}
			}
		}
		const x32 = 0x40000000
		if got := decide(t, m, loading, m.arch, x32|numberOf(t, m, "openat")); got != "kill" {
			t.Errorf("%s: an x32 call: %s", name, got)
		}
	}
}

func TestReports(t *testing.T) {
	r := Report{{Limits, Applied}, {NoNewPrivs, Applied}, {Calls, Applied}, {Files, CgoBuild}}
	if r.Holds() {
		t.Error("it holds without the second filter")
	}
	r = r.Join(Report{{TightCalls, Applied}, {Namespaces, Refused}})
	const want = "namespaces=refused no_new_privileges=applied limits=applied files=cgo calls=applied tight_calls=applied"
	if got := r.String(); got != want || !r.Holds() {
		t.Errorf("got %q, holds %t", got, r.Holds())
	}
	if got := r.Missing().String(); got != "namespaces=refused parent_death=unsupported not_dumpable=unsupported capabilities=unsupported files=cgo network=unsupported" {
		t.Errorf("missing: %s", got)
	}
	if back, err := Parse(want); err != nil || back.String() != want {
		t.Errorf("got %v, %v", back, err)
	}
	for _, lie := range []string{"calls", "calls=\x1b[2J", "calls=applied calls=refused", "x=applied", "calls=applied=applied"} {
		if r, err := Parse(lie); err == nil {
			t.Errorf("%q is taken: %v", lie, r)
		}
	}
}
