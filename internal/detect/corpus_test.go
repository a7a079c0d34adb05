package detect_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"auditrelay/internal/detect"
	"auditrelay/internal/test/corpus"
)

func newSet(tb testing.TB, names ...string) *detect.Set {
	tb.Helper()
	s, err := detect.Shipped().Set(names...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// cleanEmails is the number of the 100,000 events below in which pii finds something, for
// docs/reference/detectors.md.
const cleanEmails = "84,939"

// No leaf in 100,000 clean events is taken for a secret. Only the e-mail addresses in them are
// found as personal data.
func TestCleanEvents(t *testing.T) {
	secrets, personal := newSet(t, "secrets"), newSet(t, "pii")
	g := corpus.New(11)
	var all []leaf
	var found []detect.Finding
	emails := 0
	for range 100_000 {
		all = leaves(all[:0], g.Next().Data, false)
		if len(all) < 20 {
			t.Fatalf("only %d leaves", len(all))
		}
		held := false
		for _, l := range all {
			if found = secrets.Append(found[:0], l.text, l.name); len(found) > 0 {
				t.Fatalf("%+v in %q: %q", found[0], l.key, l.text)
			}
			found = personal.Append(found[:0], l.text, l.name)
			for _, f := range found {
				if f.Detector != "email" || !bytes.HasSuffix(l.text[f.Start:f.End], []byte("@example.com")) {
					t.Fatalf("%+v in %q: %q", f, l.key, l.text)
				}
				held = true
			}
		}
		if held {
			emails++
		}
	}
	if got := strconv.Itoa(emails); got != strings.ReplaceAll(cleanEmails, ",", "") {
		t.Errorf("e-mails in %s events, and the documentation says %s", got, cleanEmails)
	}
}

// Tokens generated in the usual ways, with a prefix or under a meaningful name, are found,
// except for a few.
func TestDrawnTokensAreFound(t *testing.T) {
	s := newSet(t, "secrets")
	const base62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for _, test := range []struct {
		prefix, alphabet string
		length           int
		key              string
		missed           int // maximum per 100,000
	}{
		{"sk-", base62 + "-_", 22, "", 0}, // LiteLLM's
		{"sk-", base62, 48, "", 0},
		{"sk-or-v1-", "0123456789abcdef", 64, "", 0},
		{"", base62, 32, "api_key", 10},
		{"", base62, 20, "access_token", 60},
		{"", "0123456789abcdef", 32, "api_key", 10},
		{"", "abcdefghijklmnopqrstuvwxyz0123456789", 40, "token", 60},
		{"", base62 + "+/", 40, "aws_secret_access_key", 10},
	} {
		random := rand.New(rand.NewPCG(1, uint64(test.length)))
		missed := 0
		for range 100_000 {
			text := []byte(test.prefix)
			for range test.length {
				text = append(text, test.alphabet[random.IntN(len(test.alphabet))])
			}
			if found := s.Append(nil, text, s.Name([]byte(test.key))); len(found) != 1 || found[0].Start != 0 || found[0].End != len(text) {
				missed++
			}
		}
		if missed > test.missed {
			t.Errorf("%s and %d characters of %d under %q: %d of 100,000 are missed", test.prefix, test.length, len(test.alphabet), test.key, missed)
		}
		t.Logf("%s and %d characters of %d under %q: %d of 100,000 are missed", test.prefix, test.length, len(test.alphabet), test.key, missed)
	}
}

// A planted secret identified only by its own form is found whole, in every kind of place. A
// planted secret under a meaningful name is found too.
func TestPlantedSecretsAreFound(t *testing.T) {
	s := newSet(t, "secrets")
	for i, kind := range corpus.Kinds() {
		t.Run(kind.Name, func(t *testing.T) {
			g := corpus.New(uint64(i))
			g.Plant(1, kind)
			for range 200 {
				event := g.Next()
				for _, planted := range event.Planted {
					if !foundWhole(s, event.Data, planted.Secret) {
						t.Fatalf("%s is not found at %s", planted.Secret, planted.Path)
					}
				}
			}
		})
	}
}

// foundWhole reports whether no text of the event contains any part of the secret after the
// findings are removed.
func foundWhole(s *detect.Set, event []byte, secret string) bool {
	seen := false
	for _, l := range leaves(nil, event, false) {
		seen = seen || strings.Contains(string(l.text), secret)
		found := s.Append(nil, l.text, s.Name(l.key))
		rest := append([]byte(nil), l.text...)
		for i := len(found) - 1; i >= 0; i-- {
			rest = append(rest[:found[i].Start], rest[found[i].End:]...)
		}
		if strings.Contains(string(rest), corpus.Marker) {
			return false
		}
	}
	return seen
}
