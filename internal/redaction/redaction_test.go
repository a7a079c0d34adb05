package redaction_test

import (
	"testing"

	"auditrelay"
	"auditrelay/internal/redaction"
)

func TestPseudonyms(t *testing.T) {
	p := redaction.NewPseudonymiser("v1", auditrelay.Key{Secret: "k"})
	// HMAC-SHA-256 of "team-7" under "k", its first 128 bits.
	const want = "hmac:v1:56c18bd2ac6a5ef8c338f6203cadc0cf"
	for range 2 {
		if got := string(p.Append([]byte("x="), []byte("team-7"))); got != "x="+want {
			t.Errorf("got %s, want x=%s", got, want)
		}
	}
	if got := p.Append(nil, nil); len(got) != 0 {
		t.Errorf("the empty value became %s", got)
	}
	other := redaction.NewPseudonymiser("v1", auditrelay.Key{Secret: "another"})
	if string(other.Append(nil, []byte("team-7"))) == want {
		t.Error("another key gives the same pseudonym")
	}
	versioned := redaction.NewPseudonymiser("v1", auditrelay.Key{Version: 2, Secret: "k"})
	if got := string(versioned.Append(nil, []byte("team-7"))); got != "hmac:v1.2:56c18bd2ac6a5ef8c338f6203cadc0cf" {
		t.Errorf("under version 2: %s", got)
	}
	var out []byte
	value := []byte("team-7")
	if n := testing.AllocsPerRun(100, func() { out = p.Append(out[:0], value) }); n > 0 {
		t.Errorf("%v allocations a pseudonym", n)
	}
}

func TestTruncateCountsCharacters(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"añb", 2, "añ"},
		{"añb", 3, "añb"},
		{"añb", 9, "añb"},
		{"añb", 0, ""},
		{"añb", -1, ""},
		{"", 1, ""},
		{"\xff\xfe", 1, "\xff"},
	} {
		if got := string(redaction.Shorten([]byte(c.in), c.n)); got != c.want {
			t.Errorf("Truncate(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
